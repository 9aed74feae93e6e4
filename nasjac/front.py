"""The Pareto front of several objectives: which points are on it, which few stand for it, which one to recommend.

`values` is [n, k]: n points, k objectives. `directions` says for each objective "minimize" (-1) or "maximize" (+1).
Nothing here depends on the units of an objective.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = int | str
SIGNS: dict[Direction, float] = {"minimize": 1.0, -1: 1.0, "maximize": -1.0, 1: -1.0}

#: hypervolume is counted up to here in every objective, the front spanning [0, 1]; beyond 1, so that extremes count
REFERENCE = 1.1


def pareto_front(values: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.intp]:
    """Indices of the points that no other dominates, along the front: best first in the first objective.

    A point dominates another if it is nowhere worse and somewhere better; equal points are on the front together.
    Errors: ValueError for a value that is not finite, an unknown direction, a shape that does not fit.

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


def spread(values: ArrayLike, directions: Sequence[Direction], count: int) -> NDArray[np.intp]:
    """Indices of at most `count` points of the front, each adding the most hypervolume to those before it.

    The order is that of choosing, so a shorter list is the beginning of a longer one. The objectives are normalized to
    [0, 1] over the front; the reference point is `REFERENCE` in each.
    """
    if count < 0:
        raise ValueError(f"`count` must be at least 0, got {count}")
    front, points = _normalized_front(values, directions)
    chosen: list[int] = []
    while len(chosen) < min(count, len(front)):
        volumes = [-np.inf if i in chosen else hypervolume(points[[*chosen, i]], REFERENCE) for i in range(len(front))]
        chosen.append(int(np.argmax(volumes)))
    return front[chosen]


def knee(
    values: ArrayLike, directions: Sequence[Direction], names: Sequence[str] = (), ratios: Sequence[bool] = ()
) -> tuple[int, str]:
    """Index of the knee of the front, and the reason in one sentence with its numbers.

    An objective marked in `ratios` enters by its logarithm: a doubling is worth the same anywhere. The objectives are normalized to [0, 1] over the front, 0 the best. The knee is the point farthest from the line
    through the two extremes, on its better side: with two objectives the line is x + y = 1 and the distance
    (1 - x - y) / sqrt(2), so it is the point of the least sum, which is the rule for any number of objectives. Where
    the front nowhere bends to the better side an extreme is returned. Ties go to the better first objective. (Das, "On
    characterizing the knee of the Pareto curve", Structural Optimization 18, 1999.)
    """
    shown = np.asarray(values, dtype=float)
    if not shown.size:
        raise ValueError("`values` must hold at least one point, got none")
    logarithmic = np.array(list(ratios) or [False] * shown.shape[1])
    array = np.where(logarithmic, np.log(np.where(logarithmic, shown, 1.0)), shown)
    front, points = _normalized_front(array, directions)
    sums = points.sum(axis=1)
    best = int(np.argmin(sums))
    index, objectives = int(front[best]), points.shape[1]
    labels = list(names) or [f"objective {i + 1}" for i in range(objectives)]
    where = ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, shown[index], strict=True))
    if objectives == 1 or len(front) == 1:
        return index, f"the front is this one point: {where}"
    if objectives > 2:
        rule = f"the least sum of the objectives, each normalized to [0, 1] (sum {sums[best]:.3f})"
        return index, f"knee: {where}; of {len(front)} points of the front {rule}"
    first, last = (f"({shown[end][0]:.4g}, {shown[end][1]:.4g})" for end in front[[0, -1]])
    scale = "".join(f", {label} on a log scale" for label, log in zip(labels, logarithmic, strict=True) if log)
    line = f"the line from {first} to {last}, both objectives normalized to [0, 1]{scale}"
    distance = (1 - sums[best]) / np.sqrt(2)
    if distance < 1e-9:
        return index, f"no knee: {where}; no point of the front of {len(front)} lies on the better side of {line}"
    rule = f"the farthest on the better side of {line} (distance {distance:.3f})"
    return index, f"knee: {where}; of {len(front)} points of the front {rule}"


def hypervolume(points: NDArray[np.float64], reference: float) -> float:
    """Volume that `points` [n, k] (all minimized) dominate, up to `reference` in every objective.

    Sliced along the last objective: between two neighbouring values of it the dominated part is the same.
    """
    points = points[(points < reference).all(axis=1)]
    if not points.size:
        return 0.0
    if points.shape[1] == 1:
        return float(reference - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    thickness = np.diff(points[:, -1], append=reference)
    return sum(
        hypervolume(points[: i + 1, :-1], reference) * float(height) for i, height in enumerate(thickness) if height > 0
    )


def _costs(values: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.float64]:
    """`values` with every objective turned so that less is better."""
    array = np.asarray(values, dtype=float)
    unknown = [direction for direction in directions if direction not in SIGNS]
    if unknown:
        raise ValueError(f"`directions` must be minimize (-1) or maximize (+1), got {unknown[0]!r}")
    if array.ndim != 2 or array.shape[1] != len(directions):
        rule = f"[points, {len(directions)}] for {len(directions)} directions"
        raise ValueError(f"`values` must be {rule}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"`values` must be finite, got {array[~np.isfinite(array)][0]}")
    signs: NDArray[np.float64] = np.array([SIGNS[direction] for direction in directions])
    return array * signs


def _normalized_front(values: ArrayLike, directions: Sequence[Direction]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Indices of the front, and its points with every objective in [0, 1], 0 the best (0 throughout if constant)."""
    front = pareto_front(values, directions)
    points = _costs(values, directions)[front]
    if not front.size:
        return front, points
    span = np.ptp(points, axis=0)
    return front, (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
