"""Of a value of the wrong type: what it must be."""

from __future__ import annotations

import re

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

#: one of them, several of them
KINDS = {"Integer": ("a whole number", "whole numbers"), "Float": ("a number", "numbers")}


def wrong_value(told: str, cause: BaseException) -> str | None:
    """Return the sentence about the override of which Hydra tells, or None if that is about something else."""
    found = re.match(r"Error merging override ([^=]+)=(.*)", told, re.DOTALL)
    if not found:
        return None
    name, given = found[1].lstrip("+"), found[2].split("\n")[0]
    message = str(cause).split("\n")[0]
    if number := re.fullmatch(r"Value '(.*)' of type '\w+' could not be converted to (Integer|Float)", message):
        one, several = KINDS[number[2]]
        if number[1] == "{}" != given:  # a name of an option below a number
            return f"`{name.rpartition('.')[0]}` must be {one}, which has no options, got {name}={given}"
        kind = f"made of {several}" if given.startswith(("[", "{")) else one
        return f"`{name}` must be {kind}, got {number[1]!r}{_percent(*number.groups())}"
    if truth := re.fullmatch(r"Value '(.*)' is not a valid bool \(type '?\w+'?\)", message):
        return f"`{name}` must be true or false, got {truth[1]!r}"
    if re.fullmatch(r"field '.*' is not Optional", message):
        return f"`{name}` must have a value, got {given}"
    if re.fullmatch(r"Invalid value assigned: \w+ is not a ListConfig, list or tuple\.?", message):
        return f"`{name}` must be a list, got {given}; write '{name}=[{given}]'"
    if re.match(r"Invalid type assigned: \w+ is not a subclass of \w+\.", message):
        return f"`{name}` must be given by its options{_example(name, given, cause)}, got {given}"
    return None


def _percent(value: str, kind: str) -> str:
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)%", value)
    return f" (write {float(percent[1]) / 100:g})" if percent and kind == "Float" else ""


def _example(name: str, given: str, cause: BaseException) -> str:
    parent = cause.parent_node if isinstance(cause, OmegaConfBaseException) else None
    node = parent._get_node(name.rpartition(".")[2]) if isinstance(parent, DictConfig) else None
    options = list(node) if isinstance(node, DictConfig) and not node._is_none() else []
    return f", such as {name}.{options[0]}={given}" if options else ""
