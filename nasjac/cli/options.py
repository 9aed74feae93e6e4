"""From a configuration to the objects it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nasjac.cli.config import groups_of, open_node
from nasjac.foundation.errors import InputError
from nasjac.searching.load import load
from nasjac.searching.options import Chosen, checked, sampler_of

Choices = Mapping[str, str]


def option(group: str, choices: Choices, config: DictConfig, verb: str = "search") -> Any:
    """The object that an option group's choice and values stand for, in the groups of a verb."""
    return chosen(group, choices, config, verb).made


def chosen(group: str, choices: Choices, config: DictConfig, verb: str = "search") -> Chosen:
    """An option group's choice with its values.

    Raises:
        InputError: Options are given and no choice, or what is chosen is no option of this group.
    """
    name = choices[group]
    if not isinstance(name, str):
        known = ", ".join(groups_of(verb)[group])
        raise InputError(f"`{group}` must be chosen, one of {known}, for its options to be given, got {name}")
    if group == "sampler":
        return sampler_of(name, plain(config.sampler))
    kind = load(name) if ":" in name else groups_of(verb)[group][name]
    made = typed(kind if isinstance(kind, type) else type(kind), config[group]) if is_dataclass(kind) else kind
    return checked(group, name, made) if ":" in name else Chosen(name, made, plain(config[group]))


def chosen_or_none(group: str, choices: Choices, config: DictConfig) -> Chosen | None:
    """An option group's choice with its values, None where there is none."""
    return None if config[group] is None else chosen(group, choices, config)


def typed(kind: type, node: Any) -> Any:
    """The dataclass of a node. Its values take the fields' types, whether Hydra typed them or the database holds them."""
    values = OmegaConf.to_container(OmegaConf.merge(open_node(kind), plain(node)), throw_on_missing=True)
    assert isinstance(values, dict)
    return kind(**{str(name): tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def plain(node: Any) -> dict[str, Any]:
    """A node as a mapping; what names other parts of the configuration is resolved."""
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items()}
