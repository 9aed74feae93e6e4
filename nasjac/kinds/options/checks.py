"""Checks of options that several search spaces have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import MOST_BLOCKS
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.mathematics.activations import ACTIVATIONS

#: units of a layer: the weights of one draw between two layers of 65,536 take 16 GiB, at which a search ends
MOST_UNITS = 2**16
#: the largest factor on a width or divisor of it: an FFN's ratio, heads, rows of a patch, channels of growth
MOST_FACTOR = 2**12

#: a linear network has perfect Jacobians and learns nothing
SEARCHED_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name != "linear")


def check_depth(space: Any) -> None:
    """Raise InputError unless `depth_min` and `depth_max` are in order and a Spec may have so many blocks."""
    check_range(space, "depth", low=1)
    arguments.whole("space.depth_max", space.depth_max, 1, MOST_BLOCKS)


def check_range(space: Any, name: str, low: float, high: float = math.inf) -> None:
    """Raise InputError unless `name`_min and `name`_max are in order and in [low, high]."""
    start, end = getattr(space, f"{name}_min"), getattr(space, f"{name}_max")
    if not low <= start <= end <= high:
        within = f"in [{low:g}, {high:g}]" if high < math.inf else f"at least {low:g}"
        raise InputError(
            f"`space.{name}_min` and `space.{name}_max` must be {within} and in order, got {start!r} and {end!r}"
        )


def check_names(space: Any, choices: Mapping[str, Iterable[Any]]) -> None:
    """Raise InputError unless each option in `choices` holds at least one of its choices, and nothing else."""
    for name, allowed in choices.items():
        values = getattr(space, name)
        if not values:
            raise InputError(f"`space.{name}` must name at least one of {', '.join(map(str, allowed))}, got an empty list")
        for value in values:
            check_choice(f"space.{name}", value, list(allowed))


def check_widths(widths: tuple[int, ...] | None) -> None:
    """Raise InputError unless there are one to three widths, whole numbers of at least 2, or None."""
    if widths is None:
        return
    if not 1 <= len(widths) <= 3 or min(widths) < 2:
        raise InputError(f"`space.widths` must be one to three whole numbers of at least 2, or null, got {list(widths)}")
    for width in widths:
        arguments.whole("space.widths", width, 2, MOST_UNITS)


def check_sizes(space: Any, name: str) -> None:
    """Raise InputError unless the option `name` holds whole numbers of at least 1."""
    values = getattr(space, name)
    if not values or min(values) < 1:
        raise InputError(f"`space.{name}` must be whole numbers of at least 1, got {list(values)}")
    for value in values:
        arguments.whole(f"space.{name}", value, 1, MOST_FACTOR)


def check_shares(name: str, values: tuple[float, ...]) -> None:
    """Raise InputError unless the option `name` of a space holds numbers in (0, 16]."""
    if not values or not all(0 < value <= 16 for value in values):
        raise InputError(f"`space.{name}` must be numbers in (0, 16], got {list(values)}")
