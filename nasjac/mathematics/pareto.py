"""The Pareto front of several objectives: which points are on it, which few stand for it, which one to recommend.

`values` is [n, k]: n points, k objectives. `directions` says for each objective "minimize" (-1) or "maximize" (+1).
Nothing here depends on the units of an objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasjac.foundation.arguments import Kind, array, items, number, shown, whole
from nasjac.foundation.errors import InputError

Direction = int | str
SIGNS: dict[Direction, float] = {"minimize": 1.0, -1: 1.0, "maximize": -1.0, 1: -1.0}

#: hypervolume is counted up to here in every objective, the front spanning [0, 1]; beyond 1, so that extremes count
REFERENCE = 1.1


def pareto_front(values: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.intp]:
    """Find the points that no other dominates.

    A point dominates another if it is nowhere worse and somewhere better; equal points are on the front together.

    Args:
        values: [n, k] finite numbers, n points and k objectives.
        directions: Of each objective.

    Returns:
        Their indices along the front, the best in the first objective first.

    Raises:
        InputError: A value that is not finite, an unknown direction, a shape that does not fit.

    >>> pareto_front([[3, 9], [1, 5], [2, 4]], ("minimize", "maximize")).tolist()
    [1, 0]
    """
    costs = _costs(values, directions)
    left, front = np.lexsort(costs.T[::-1]), []
    while left.size:
        # the lexicographically least of what is left cannot be dominated by it
        first, left = left[0], left[1:]
        front.append(first)
        no_better, worse = costs[left] >= costs[first], costs[left] > costs[first]
        left = left[~(no_better.all(axis=1) & worse.any(axis=1))]
    return np.array(front, dtype=np.intp)


def covering_points(values: ArrayLike, directions: Sequence[Direction], count: int) -> NDArray[np.intp]:
    """Choose points that stand for the front, each adding the most hypervolume to those before it.

    The objectives are normalized to [0, 1] over the front; the reference point is `REFERENCE` in each.

    Args:
        values: [n, k] finite numbers, n points and k objectives.
        directions: Of each objective.
        count: How many points, at most.

    Returns:
        Their indices in the order of choosing, so that a shorter list is the beginning of a longer one.

    Raises:
        InputError: As of `pareto_front`.
    """
    count, directions = whole("count", count), _checked(directions)
    front, chosen = pareto_front(values, directions), list[int]()
    points = _costs(values, directions)[front]
    span = np.ptp(points, axis=0) if front.size else 1.0
    points = (points - points.min(axis=0, initial=np.inf)) / np.where(span > 0, span, 1.0)
    while len(chosen) < min(count, len(front)):
        volumes = [-np.inf if i in chosen else hypervolume(points[[*chosen, i]], REFERENCE) for i in range(len(front))]
        chosen.append(int(np.argmax(volumes)))
    return front[chosen]


def knee(
    values: ArrayLike, directions: Sequence[Direction], names: Sequence[str] = (), ratios: Sequence[bool] = ()
) -> tuple[int, str]:
    """Find the knee of the front: its point with the least sum of objectives, turned so that less is better.

    With a cost in nats and a depth to maximize it is the point of least cost - log depth: to either side, an e-fold of
    depth costs more than a nat, or saves less than one. No objective is scaled by the extent of the front, so its extremes
    do not move the knee. Ties go to the better first objective.

    Args:
        values: [n, k] finite numbers, n points and k objectives in nats.
        directions: Of each objective.
        names: What the objectives are called in the reason.
        ratios: Which objectives enter by their logarithm.

    Returns:
        The index of the knee, and the reason in one sentence with its numbers.

    Raises:
        InputError: No point, or as of `pareto_front`.

    Source: Das, "On characterizing the knee of the Pareto curve", Structural Optimization 18, 1999, with the unit slope as
    the line.
    """
    table, directions = array("values", values), _checked(directions)
    if not table.size:
        raise InputError("`values` must hold at least one point, got none")
    front = pareto_front(table, directions)
    logarithmic = np.array(_one_each("ratios", ratios, (bool, np.bool_), table.shape[1]) or [False] * table.shape[1])
    if not (table[:, logarithmic] > 0).all():
        raise InputError("`values` must be above 0 in an objective of `ratios`, which enters by its logarithm")
    nats = np.where(logarithmic, np.log(np.where(logarithmic, table, 1.0)), table)
    sums = _costs(nats, directions)[front].sum(axis=1)
    best = int(np.argmin(sums))
    index = int(front[best])
    labels = _one_each("names", names, str, table.shape[1]) or [f"objective {i + 1}" for i in range(table.shape[1])]
    where = ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, table[index], strict=True))
    if len(front) == 1:
        return index, f"the front is this one point: {where}"
    signs = [SIGNS[direction] for direction in directions]
    terms = [f"log {label}" if log else label for label, log in zip(labels, logarithmic, strict=True)]
    total = "".join(f" {'+' if sign > 0 else '-'} {term}" for sign, term in zip(signs, terms, strict=True)).strip(" +")
    return index, f"knee: {where}; of {len(front)} points of the front the least {total} ({sums[best]:.3f} nats)"


def hypervolume(points: NDArray[np.float64], reference: float) -> float:
    """Volume that `points` [n, k] (all minimized) dominate, up to `reference` in every objective.

    Sliced along the last objective: between two neighbouring values of it the dominated part is the same.
    """
    points, reference = array("points", points), number("reference", reference)
    if points.ndim != 2:
        raise InputError(f"`points` must be [points, objectives], got shape {points.shape}")
    return _volume(points, reference)


def _volume(points: NDArray[np.float64], reference: float) -> float:
    points = points[(points < reference).all(axis=1)]
    if not points.size:
        return 0.0
    if points.shape[1] == 1:
        return float(reference - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    thickness = np.diff(points[:, -1], append=reference)
    return sum(_volume(points[: i + 1, :-1], reference) * float(height) for i, height in enumerate(thickness) if height > 0)


def _costs(values: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.float64]:
    """`values` with every objective turned so that less is better."""
    table, known = array("values", values), _checked(directions)
    if table.ndim != 2 or table.shape[1] != len(known):
        rule = f"[points, {len(known)}] for {len(known)} directions"
        raise InputError(f"`values` must be {rule}, got shape {table.shape}")
    if not np.isfinite(table).all():
        raise InputError(f"`values` must be finite, got {table[~np.isfinite(table)][0]}")
    signs: NDArray[np.float64] = np.array([SIGNS[direction] for direction in known])
    return table * signs


def _checked(directions: Sequence[Direction]) -> list[Direction]:
    rule = "minimize (-1) or maximize (+1)"
    known = items("directions", directions, (int, np.integer, str), rule)
    if unknown := [direction for direction in known if direction not in SIGNS]:
        raise InputError(f"`directions` must be {rule}, got {shown(unknown[0])}")
    return known  # type: ignore[return-value]


def _one_each(name: str, given: Sequence[Any], kind: Kind[Any], count: int) -> list[Any]:
    """What is given of each of `count` objectives; nothing where nothing is given."""
    found = items(name, given, kind, "texts" if kind is str else "booleans")
    if found and len(found) != count:
        raise InputError(f"`{name}` must have one entry for each of {count} objectives, got {len(found)}")
    return found
