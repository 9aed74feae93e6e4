"""What every space checks of its options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nasjac.spec import check_choice


def check_range(space: Any, name: str, low: float, high: float = math.inf) -> None:
    """ValueError unless `name`_min and `name`_max are in order and in [low, high]."""
    start, end = getattr(space, f"{name}_min"), getattr(space, f"{name}_max")
    if not low <= start <= end <= high:
        within = f"in [{low:g}, {high:g}]" if high < math.inf else f"at least {low:g}"
        raise ValueError(
            f"`space.{name}_min` and `space.{name}_max` must be {within} and in order, got {start!r} and {end!r}"
        )


def check_names(space: Any, choices: Mapping[str, Iterable[Any]]) -> None:
    """ValueError unless every option of these names at least one of its choices, and nothing else."""
    for name, allowed in choices.items():
        values = getattr(space, name)
        if not values:
            raise ValueError(f"`space.{name}` must name at least one of {', '.join(map(str, allowed))}, got an empty list")
        for value in values:
            check_choice(f"space.{name}", value, list(allowed))


def check_widths(widths: tuple[int, ...]) -> None:
    """ValueError unless there are one to three widths of at least 2."""
    if not 1 <= len(widths) <= 3 or min(widths) < 2:
        raise ValueError(f"`space.widths` must be one to three whole numbers of at least 2, got {list(widths)}")
