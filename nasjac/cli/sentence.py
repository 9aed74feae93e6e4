"""What Hydra and OmegaConf say, as one sentence."""

from __future__ import annotations

import re
import shlex

from hydra.errors import OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, KeyValidationError

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


def sentence(error: Exception) -> str:
    """Hydra's message without its layout, with what the underlying error says, and the names that would have been right."""
    cause = error.__cause__ or error
    if isinstance(error, OverrideParseException):
        return _malformed(error.override, " ".join(_lines(error)))
    parts = dict.fromkeys([*_lines(error), *_lines(cause)])
    parent = getattr(cause, "parent_node", None)
    if isinstance(cause, KeyValidationError | ConfigAttributeError | ConfigKeyError) and isinstance(parent, DictConfig):
        parts[f"The options there are {', '.join(str(name) for name in parent)}"] = None
    return ". ".join(part.rstrip(".:") for part in parts)


def _malformed(word: str, told: str) -> str:
    """Of a word that Hydra's grammar does not have: how its value is quoted."""
    name, equals, value = word.removeprefix("++choices.").partition("=")
    if not equals or not re.fullmatch(r"[+~]{0,2}[\w./@:$-]+", name):
        return f"an option must be written name=value, got {word!r}: {told}"
    rule = "be a value that Hydra's grammar has"
    if value.startswith(("[", "{", "(", "'", '"')):
        return f"`{name}` must {rule}, each bracket, brace and quote closed, got {value!r}: {told}"
    return (
        f"`{name}` must {rule}, or stand in quotes, got {value!r}: write {shlex.quote(f'{name}={quoted(value)}')} ({told})"
    )


def quoted(value: str) -> str:
    """A text in double quotes, as Hydra's grammar reads it: backslashes count before a quote alone."""
    escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    ending = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{chr(92) * ending}"'


def _lines(error: BaseException) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines()]
    return [line for line in lines if line and not line.startswith(SKIPPED)]
