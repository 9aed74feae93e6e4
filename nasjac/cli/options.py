"""From a configuration to the objects it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

import hydra
import optuna
import torch
from omegaconf import DictConfig, OmegaConf

from nasjac.cli.config import groups_of, open_node
from nasjac.cli.load import load
from nasjac.datasets import Data, check_kind
from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError
from nasjac.searching.objectives import Budget
from nasjac.searching.search import Search, SearchOptions
from nasjac.searching.spaces import SPACES
from nasjac.searching.study import SamplerFactory, random_specs
from nasjac.searching.validate import ValidationOptions
from nasjac.store.database import path_of

Choices = Mapping[str, str]


def search_of(config: DictConfig, choices: Choices, device: torch.device) -> Search:
    """The search that a configuration describes.

    It makes whatever the configuration names: what a database says must have been checked before (`nasjac.cli.stored`).
    """
    data = option("dataset", choices, config).load()
    space = _fitted(option("space", choices, config), data)
    if type(space) in SPACES.values():  # a space of the user's own is called by the search alone
        check_kind(data, space(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()))
    score = option("score", choices, config)
    job = Search(
        space=space,
        score=score,
        sampler=sampler_of(config.sampler),
        data=data,
        names={group: names_of(group, choices, config) for group in ("space", "score", "sampler", "dataset")},
        budget=typed(Budget, config.budget),
        options=search_options(config),
        seed=config.seed,
        device=device,
    )
    return replace(job, score=score.among(random_specs(space, score.reference))) if hasattr(score, "among") else job


def sampler_of(node: DictConfig) -> SamplerFactory:
    """What makes the sampler that a node describes, called with a seed. InputError: an option without a name of its own."""
    if odd := [str(name) for name in node if str(name).startswith("_") and name != "_target_"]:
        rule = "be left out, for a sampler takes its options by name"
        raise InputError(f"`sampler.{odd[0]}` must {rule}, got {node[odd[0]]!r}")
    factory: SamplerFactory = hydra.utils.instantiate(node, _partial_=True)
    return factory


def _fitted(space: Any, data: Data) -> Any:
    """A space of images for those of the dataset; any other space as it is."""
    if not hasattr(space, "for_images"):
        return space
    if data.shape is None:
        got = "token ids" if data.is_tokens else f"{data.inputs} features without a shape"
        raise InputError(f"`dataset` must hold images for a space of images, got {got}")
    return space.for_images(data.shape)


def option(group: str, choices: Choices, config: DictConfig, verb: str = "search") -> Any:
    """The object that an option group's choice and values stand for, in the groups of a verb."""
    name = choices[group]
    if not isinstance(name, str):
        known = ", ".join(groups_of(verb)[group])
        raise InputError(f"`{group}` must be chosen, one of {known}, for its options to be given, got {name}")
    kind = load(name) if ":" in name else groups_of(verb)[group][name]
    made = typed(kind if isinstance(kind, type) else type(kind), config[group]) if is_dataclass(kind) else kind
    if ":" in name:
        _check_own(group, name, made)
    return made


#: what an option of a user's own must have, by its group
MEMBERS = {"space": ("__call__",), "score": ("__call__", "name"), "dataset": ("load",), "trainer": ("train", "name")}


def _check_own(group: str, name: str, made: object) -> None:
    """Refuse what an option of that group cannot be. InputError: a class without options, or a member is missing."""
    missing = [member for member in MEMBERS.get(group, ()) if not hasattr(made, member)]
    if isinstance(made, type) or missing:
        lacking = "is not callable" if missing[:1] == ["__call__"] else f"has no {missing[0]}" if missing else "is a class"
        rule = f"a {group}: a dataclass of options, or an object or function that is one"
        raise InputError(f"`{group}` must be {rule}, got {name}, {shown(made)}, which {lacking}")


def validation_of(config: DictConfig, choices: Choices) -> tuple[ValidationOptions, Any]:
    """The validation's options and its trainer."""
    return typed(ValidationOptions, config.validation), option("trainer", choices, config)


def existing(database: str) -> str:
    """The database, which must be there already."""
    if not path_of(database).exists():
        raise InputError(f"`database` must be a file that exists (nasjac search makes one), got {database!r}")
    return database


def device_of(name: str) -> torch.device:
    """auto: a GPU if there is one. ValueError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        there = "auto, cpu" + (", cuda" if torch.cuda.is_available() else " (no GPU is visible)")
        raise InputError(f"`device` must be one of {there}, got {name!r}")
    return torch.device(name)


def search_options(config: DictConfig) -> SearchOptions:
    """The options of a search but for the checkpoint that it may start from."""
    own = {name: value for name, value in config.search.items() if name != "warm_start"}
    options: SearchOptions = typed(SearchOptions, OmegaConf.create(own))
    return options


def typed(kind: type, node: Any) -> Any:
    """The dataclass of a node. Its values take the fields' types, whether Hydra typed them or the database holds them."""
    resolved = OmegaConf.to_container(node, resolve=True)  # where it stands: it may name other parts of the configuration
    values = OmegaConf.to_container(OmegaConf.merge(open_node(kind), resolved), throw_on_missing=True)
    assert isinstance(values, dict)
    return kind(**{str(name): tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def names_of(group: str, choices: Choices, config: DictConfig) -> dict[str, Any]:
    """An option by name and values, for a study's identity."""
    content = OmegaConf.to_container(config[group], resolve=True)
    assert isinstance(content, dict)
    return {"name": choices[group], **{str(key): value for key, value in content.items()}}
