"""One call of a configured verb: its options as Python's values and objects, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.searching.options import GROUPS, Chosen, device_of, named, sampler_of


class Answer(NamedTuple):
    """What a verb prints: text for people, or one JSON object under format=json."""

    text: str
    json: str


def answer(text: str, content: object) -> Answer:
    """Return an answer of this text and these values for JSON."""
    return Answer(text, json.dumps(content, allow_nan=False))


@dataclass(frozen=True)
class Call:
    """The options of a call, and the choice of each option group by its name."""

    config: DictConfig
    choices: Mapping[str, str]

    @property
    def console(self) -> Console:
        """Return where progress and remarks go."""
        return Console(self.config.quiet)

    @property
    def device(self) -> torch.device:
        """Return the device that is asked for."""
        return device_of(self.config.device)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return options of these names, as Python has them."""
        return {name: plain(self.config[name]) for name in names}

    def chosen(self, group: str) -> Chosen:
        """Return an option group's choice with its values.

        Raises:
            InputError: Options are given and no choice, or what is chosen is no option of this group.
        """
        name = self.choice(group, GROUPS)
        options = plain(self.config[group])
        return sampler_of(name, options) if group == "sampler" else named(group, name, options)

    def choice(self, group: str, known: Mapping[str, Mapping[str, Any]]) -> str:
        """Return the name that is chosen in an option group, one of `known`.

        Raises:
            InputError: The group was taken off the command line, or has options and no choice.
        """
        name = self.choices.get(group)
        if not isinstance(name, str):
            names = ", ".join(known[group])
            raise InputError(f"`{group}` must be chosen, one of {names}, for its options to be given, got {name}")
        return name

    def chosen_or_none(self, group: str) -> Chosen | None:
        """Return an option group's choice with its values, None where there is none."""
        return None if self.config[group] is None else self.chosen(group)


def given_names() -> list[str]:
    """Return the names that the command line sets."""
    return [word.lstrip("+~").partition("=")[0] for word in HydraConfig.get().overrides.task]


def names_of(kind: type, apart: type) -> list[str]:
    """Return the names of a dataclass's fields that another one does not have."""
    others = {entry.name for entry in fields(apart)}
    return [entry.name for entry in fields(kind) if entry.name not in others]


def plain(node: Any) -> Any:
    """Return a node as Python has it, what names other parts of the configuration resolved; a list as a tuple."""
    value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    return tuple(value) if isinstance(value, list) else value
