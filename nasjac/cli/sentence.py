"""What Hydra and OmegaConf say, as one sentence."""

from __future__ import annotations

import re
import shlex

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue

from nasjac.cli.keys import unknown_key
from nasjac.cli.values import wrong_value
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


def sentence(error: Exception) -> str:
    """Return what is wrong with the words: in our form for a known error of Hydra, else its message without layout."""
    cause = error.__cause__ or error
    if isinstance(error, OverrideParseException):
        return _malformed(error.override, " ".join(_lines(error)))
    known = _missing(error) or _several(error) or unknown_key(error, cause) or wrong_value(str(error), cause)
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
