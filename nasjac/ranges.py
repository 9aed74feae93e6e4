"""Checks of numbers that a user gave: of the right kind, finite, and in a range that the work has memory for."""

from __future__ import annotations

import math

from nasjac.errors import InputError

#: seeds are 32 bits, as everywhere in numpy and Optuna
LARGEST_SEED = 2**32 - 1
#: the largest whole number that a database column holds
LARGEST = 2**63 - 1


def check_whole(name: str, value: object, low: int, high: int = LARGEST) -> None:
    """Raise InputError unless `value` is a whole number in [low, high]; `name` is that of the option."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"`{name}` must be a whole number in [{low}, {high}], got {_short(value)}")
    if not low <= value <= high:
        rule = f"at least {low}" if value < low else f"at most {high}"
        raise InputError(f"`{name}` must be {rule}, got {_short(value)}")


def check_seed(name: str, value: object) -> None:
    """Raise InputError unless `value` is a seed."""
    check_whole(name, value, 0, LARGEST_SEED)


def check_real(name: str, value: object, low: float, high: float = math.inf, open_low: bool = False) -> None:
    """Raise InputError unless `value` is a finite number in [low, high], above `low` if that end is open."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not _within(value, low, high) or (open_low and value == low):  # type: ignore[arg-type]
        least = f"greater than {low:g}" if open_low else f"at least {low:g}"
        rule = f"a number in {'(' if open_low else '['}{low:g}, {high:g}]" if high < math.inf else f"finite and {least}"
        raise InputError(f"`{name}` must be {rule}, got {_short(value)}")


def _within(value: float, low: float, high: float) -> bool:
    return low <= value <= high and value < math.inf


def _short(value: object) -> str:
    """The value as Python writes it, of a large whole number its size."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"one of {value.bit_length()} bits"
    return repr(value)
