"""What Hydra and OmegaConf say, as one sentence."""

from __future__ import annotations

import re
import shlex

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    KeyValidationError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from nasjac.cli.config import Common
from nasjac.store.database import nearest

#: lines of their layout
SKIPPED = (
    "full_key:",
    "object_type=",
    "reference_type=",
    "Config search path",
    "provider=",
    "Set the environment",
    "See http",
)
#: what stands in help for the value of an option
PLACES = {"study": "NAME", "key": "KEY", "out": "DIR", "table": "FILE", "blocks": "N"}

#: one of them, several of them
KINDS = {"Integer": ("a whole number", "whole numbers"), "Float": ("a number", "numbers")}


def sentence(error: Exception) -> str:
    """Return what is wrong with the words: in our form for a known error of Hydra, else its message without layout."""
    cause = error.__cause__ or error
    if isinstance(error, OverrideParseException):
        return _malformed(error.override, " ".join(_lines(error)))
    known = _missing(error) or _several(error) or _unknown_key(error, cause) or _wrong_value(str(error), cause)
    return known or ". ".join(part.rstrip(".:") for part in dict.fromkeys([*_lines(error), *_lines(cause)]))


def _missing(error: Exception) -> str | None:
    """Of an option that must be given, or of a group's choice that there is not."""
    if isinstance(error, MissingMandatoryValue) and (found := re.search(r"Missing mandatory value: ([\w.]+)", str(error))):
        return f"`{found[1]}` must be given, as {found[1]}={PLACES.get(found[1], 'VALUE')}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return f"`{group}` must be one of {', '.join(error.options)}, got {choice!r}{nearest(choice, error.options)}"
    return None


def _several(error: Exception) -> str | None:
    """Of several values without a sweep."""
    found = re.match(r"Ambiguous value for argument '(.+)'\n", str(error))
    if not found:
        return None
    name, _, value = found[1].partition("=")
    return (
        f"`{name}` must be one value unless there is a sweep, got {value!r}: -m (--multirun) takes them in turn, "
        f"'{name}=[{value}]' is a list"
    )


def _unknown_key(error: BaseException, cause: BaseException) -> str | None:
    """Return the sentence, or None if the error is about something else."""
    if not isinstance(cause, KeyValidationError | ConfigAttributeError | ConfigKeyError):
        return None
    parent = cause.parent_node
    if not isinstance(parent, DictConfig):
        return None
    found = re.match(r"Could not override '([^']+)'", str(error))
    key = str(cause.key)
    path = str(parent._get_full_key(None))
    name = found[1] if found else ".".join(filter(None, (path, key)))
    options = [str(option) for option in parent if path or option != "hydra"]
    kind = OmegaConf.get_type(parent)
    of_verb = isinstance(kind, type) and issubclass(kind, Common) and not path
    whose = f"nasjac {kind.__module__.rpartition('.')[2]}" if of_verb else path or "the configuration"
    near = nearest(key, [option for option in options if not option.startswith("_")])
    near = near.replace("did you mean ", f"did you mean {path}." if path else "did you mean ")
    own = f"; others of the class's own are given by +{name}=VALUE" if "_target_" in options and not near else ""
    shown = ", ".join(option for option in options if option != "_target_")
    return f"`{name}` must be an option of {whose}, which has {shown or 'none'}{near}{own}"


def _wrong_value(told: str, cause: BaseException) -> str | None:
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


def _malformed(word: str, told: str) -> str:
    """Of a word that Hydra's grammar does not have: how its value is quoted."""
    name, equals, value = word.removeprefix("++choices.").partition("=")
    if not equals or not re.fullmatch(r"[+~]{0,2}[\w./@:$-]+", name):
        return f"an option must be written name=value, got {word!r}: {told}"
    rule = "be a value that Hydra's grammar has"
    if value.startswith(("[", "{", "(", "'", '"')):
        is_split = value[0] in "[{" and any(value.count(left) > value.count(right) for left, right in ("[]", "{}"))
        hint = "; put the whole option in single quotes, for the shell splits braces and spaces" if is_split else ""
        return f"`{name}` must {rule}, each bracket, brace and quote closed, got {value!r}{hint}: {told}"
    return (
        f"`{name}` must {rule}, or stand in quotes, got {value!r}: write {shlex.quote(f'{name}={quoted(value)}')} ({told})"
    )


def quoted(value: str) -> str:
    """Return a text in double quotes, as Hydra's grammar reads it: backslashes count before a quote alone."""
    escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    ending = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{chr(92) * ending}"'


def _lines(error: BaseException) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines()]
    return [line for line in lines if line and not line.startswith(SKIPPED)]
