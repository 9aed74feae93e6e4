"""Hydra around the verbs that are configured: options in, objects out, errors as one sentence."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
import optuna
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from nasjac.cli.config import config_of, open_node, register
from nasjac.cli.jobs import Jobs
from nasjac.cli.sentence import quoted, sentence
from nasjac.cli.words import check_values
from nasjac.foundation.errors import InputError
from nasjac.foundation.origin import origin
from nasjac.searching.load import load
from nasjac.searching.options import GROUPS

#: groups that take an option of the user's own as package.module:name, and samplers any class as package.Class
OPEN_GROUPS = (*GROUPS, "sampler")

#: packages that make a configuration of the words
READERS = ("hydra", "omegaconf", "antlr4", "yaml")

#: the dataset of a space that cannot take the default one, unless another is chosen
DATASETS_OF = {"space=transformer_lm": "text"}


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Run one configured verb, or a sweep of them (-m); returns the exit code."""
    check_values(words)
    words = _named(verb, list(words))
    register(verb)
    for word in words:
        _register_own(word)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back as exceptions instead of being printed
    before = sys.argv
    sys.argv = [f"nasjac {verb}", *words]
    GlobalHydra.instance().clear()
    try:
        with TemporaryDirectory(prefix="nasjac-jobs-") as failures:
            jobs = Jobs(verb, tuple(sys.argv), Path(failures), os.getpid())
            try:
                hydra.main(version_base="1.3", config_path=str(_conf()), config_name=verb)(jobs)()
            except Exception as error:
                if jobs.code or origin(error) not in READERS:  # a fault, in a job or here
                    raise
                raise InputError(sentence(error)) from error  # they could not make a configuration of the words
            return jobs.code
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        sys.argv = before


def _conf() -> Path:
    """The configuration folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def _named(verb: str, words: list[str]) -> list[str]:
    """`nasjac train KEY ...` as key=KEY, `nasjac theory depth=32 ...` as choices.depth=32: names that are the space's."""
    names = [entry.name for entry in fields(config_of(verb))]
    if "key" in names:
        words = [word if "=" in word or word.startswith("-") else f"key={quoted(_key(word))}" for word in words]
    if "choices" in names:
        words = [re.sub(rf"^(?!(?:{'|'.join(names)})=)(?=\w+=)", "++choices.", word) for word in words]
    if verb == "search" and not any(word.startswith("dataset=") for word in words):
        words += [f"dataset={DATASETS_OF[word]}" for word in words if word in DATASETS_OF]
    if any(re.match(r"sampler=[^=]*\.", word) for word in words):  # a class's options are known to its constructor alone
        words = [re.sub(r"^(?=sampler\.)", "++", word) for word in words]
    if "model" in names:  # model._target_=... although `model` has no options of its own
        words = [re.sub(r"^(?=(?:model|input)\.)", "++", word) for word in words]
    return words


def _key(word: str) -> str:
    if not re.fullmatch(r"\w+", word):
        rule = "the start of an architecture's key, or an option as name=value"
        raise InputError(f"a word of the command line must be {rule}, got {word!r}")
    return word


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
