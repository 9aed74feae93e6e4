"""Hydra around the verbs that are configured: options in, objects out, errors as one sentence."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import hydra
import optuna
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, KeyValidationError, OmegaConfBaseException

from nasjac.cli.commands import COMMANDS
from nasjac.cli.config import GROUPS, SCHEMAS, ArchitectureConfig, open_node, register
from nasjac.cli.load import load
from nasjac.cli.wrong import wrong
from nasjac.errors import InputError

#: groups that take an option of the user's own as package.module:name, and samplers any class as package.Class
OPEN_GROUPS = (*GROUPS, "sampler")

#: the dataset of a space that cannot take the default one, unless another is chosen
DATASETS_OF = {"space=transformer_lm": "text"}


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Run one configured verb, or a sweep of them (-m); returns the exit code."""
    words = _named(verb, list(words))
    register(verb)
    for word in words:
        _register_own(word)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back as exceptions instead of being printed
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        choices = {group: name for group, name in HydraConfig.get().runtime.choices.items() if group in OPEN_GROUPS}
        try:
            codes.append(COMMANDS[verb](config, choices))
        except OmegaConfBaseException as error:
            codes.append(wrong(_sentence(error)))
        except (InputError, OSError) as error:  # here, before Hydra prints it in its own way; a sweep goes on
            codes.append(wrong(error))
        if codes[-1] >= 128:
            raise SystemExit(codes[-1])  # a signal stops the whole sweep

    before = sys.argv
    sys.argv = [f"nasjac {verb}", *words]
    GlobalHydra.instance().clear()
    try:
        hydra.main(version_base="1.3", config_path=str(_conf()), config_name=verb)(task)()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_sentence(error)) from error
    finally:
        sys.argv = before
    return max(codes, default=0)


def _conf() -> Path:
    """The configuration folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def _named(verb: str, words: list[str]) -> list[str]:
    """`nasjac train KEY ...` as key=KEY, `nasjac theory depth=32 ...` as choices.depth=32: names that are the space's."""
    of_architecture = issubclass(SCHEMAS[verb], ArchitectureConfig)
    if verb == "train" or of_architecture:
        words = [word if "=" in word or word.startswith("-") else f"key='{word}'" for word in words]
    if of_architecture:
        own = "|".join(entry.name for entry in fields(SCHEMAS[verb]))
        words = [re.sub(rf"^(?!(?:{own})=)(?=\w+=)", "++choices.", word) for word in words]
    if verb == "search" and not any(word.startswith("dataset=") for word in words):
        words += [f"dataset={DATASETS_OF[word]}" for word in words if word in DATASETS_OF]
    if verb in ("diagnose", "prescribe", "grow", "prune"):  # model._target_=... although `model` has no options of its own
        words = [re.sub(r"^(?=(?:model|input)\.)", "++", word) for word in words]
    return words


def _register_own(word: str) -> None:
    """Make the options of a user's own known to Hydra, e.g. space=my_package.my_module:space."""
    group, _, names = word.lstrip("+").partition("=")
    if group not in OPEN_GROUPS:
        return
    for name in names.split(","):
        if ":" in name:
            option = load(name)
            node = open_node(option) if is_dataclass(option) else {}
            ConfigStore.instance().store(group=group, name=name, node=node)
        elif group == "sampler" and "." in name:
            ConfigStore.instance().store(group=group, name=name, node={"_target_": name})


def _sentence(error: Exception) -> str:
    """Hydra's message without its layout, with what the underlying error says, and the names that would have been right."""
    cause = error.__cause__ or error
    parts = dict.fromkeys([*_lines(error), *_lines(cause)])
    parent = getattr(cause, "parent_node", None)
    if isinstance(cause, KeyValidationError | ConfigAttributeError | ConfigKeyError) and isinstance(parent, DictConfig):
        parts[f"The options there are {', '.join(str(name) for name in parent)}"] = None
    return ". ".join(part.rstrip(".:") for part in parts)


def _lines(error: BaseException) -> list[str]:
    skipped = ("full_key:", "object_type=", "reference_type=", "Config search path", "provider=", "Set the environment")
    lines = [line.strip() for line in str(error).splitlines()]
    return [line for line in lines if line and not line.startswith(skipped)]
