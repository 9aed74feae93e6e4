"""The front against its definition, hypervolume against counting, the knee against a figure one can draw."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nasjac.mathematics.pareto import covering_points, hypervolume, knee, pareto_front

DIRECTIONS = ("minimize", "maximize")
grid_points = arrays(float, st.tuples(st.integers(1, 25), st.just(2)), elements=st.integers(0, 6).map(float))
cubes = arrays(float, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(0, 4).map(float))


def dominated(point: np.ndarray, points: np.ndarray) -> bool:
    """The definition, for minimized objectives."""
    return bool(((points <= point).all(axis=1) & (points < point).any(axis=1)).any())


@given(cubes)
def test_front_is_what_nothing_dominates(points: np.ndarray) -> None:
    front = pareto_front(points, ("minimize",) * 3)
    assert sorted(front) == [i for i, point in enumerate(points) if not dominated(point, points)]


@given(grid_points)
def test_front_runs_along_the_first_objective_and_knows_both_spellings(points: np.ndarray) -> None:
    front = pareto_front(points, DIRECTIONS)
    assert (np.diff(points[front, 0]) >= 0).all() and (np.diff(points[front, 1]) >= 0).all()
    assert front.tolist() == pareto_front(points, (-1, +1)).tolist()
    assert sorted(front) == sorted(pareto_front(points * [1, -1], ("minimize", "minimize")))


@given(cubes)
def test_hypervolume_counts_the_unit_cells_dominated(points: np.ndarray) -> None:
    corners = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3)
    covered = (points[None] <= corners[:, None]).all(axis=2).any(axis=1)
    assert hypervolume(points, 5.0) == pytest.approx(covered.sum())


@given(grid_points, st.integers(0, 8))
def test_covering_points_are_nested_on_the_front_and_without_repeats(points: np.ndarray, count: int) -> None:
    front, chosen = pareto_front(points, DIRECTIONS), covering_points(points, DIRECTIONS, count)
    assert set(chosen) <= set(front) and len(set(chosen)) == len(chosen) == min(count, len(front))
    assert covering_points(points, DIRECTIONS, 9)[:count].tolist() == chosen.tolist()


def test_covering_points_reaches_the_greedy_bound() -> None:
    """Hypervolume is submodular: greedy choice reaches at least 1 - 1/e of the best subset (Nemhauser et al. 1978)."""
    x = np.sort(np.random.default_rng(0).random(9))
    points = np.column_stack([(x - x[0]) / np.ptp(x), ((1 / (1 + x)) - 1 / (1 + x[-1])) / np.ptp(1 / (1 + x))])
    best = max(hypervolume(points[list(subset)], 1.1) for subset in combinations(range(9), 3))
    greedy = hypervolume(points[covering_points(points, ("minimize", "minimize"), 3)], 1.1)
    assert (1 - 1 / np.e) * best <= greedy <= best * (1 + 1e-12)


def test_knee_is_where_the_sum_is_least() -> None:
    points = np.array([[0.0, 10.0], [1.0, 5.0], [2.0, 2.0], [6.0, 1.0], [10.0, 0.0], [9.0, 9.0]])
    index, reason = knee(points, ("minimize", "minimize"), names=("cost", "time"))
    assert index == 2
    assert "cost 2, time 2" in reason and "of 5 points" in reason and "the least cost + time (4.000 nats)" in reason


def test_a_ratio_enters_the_knee_by_its_logarithm() -> None:
    """From one to the next a nat buys a factor 3, 2.9, 2 and 1.9 of depth: the second is the last worth its nat."""
    points = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 8.7], [4.0, 17.4], [5.0, 33.0]])
    index, reason = knee(points, DIRECTIONS, ("cost", "depth"), (False, True))
    assert index == 2 and "cost 3, depth 8.7" in reason and "the least cost - log depth" in reason
    assert knee(points * [1, 7], DIRECTIONS, ("cost", "depth"), (False, True))[0] == 2, "whatever the unit of depth"
    further = np.vstack([points, [[0.5, 1e-9], [90.0, 40.0]]])
    assert knee(further, DIRECTIONS, ("cost", "depth"), (False, True))[0] == 2, "whatever the extremes"


@given(grid_points, st.integers(-9, 9), st.integers(-50, 50))
def test_covering_points_does_not_depend_on_units(points: np.ndarray, exponent: int, shift: int) -> None:
    changed = points * [2.0**exponent, 1.0] + [0, shift]  # exact in binary, so ties stay ties
    assert covering_points(points, DIRECTIONS, 4).tolist() == covering_points(changed, DIRECTIONS, 4).tolist()


def test_small_fronts_have_a_knee_and_say_so() -> None:
    index, reason = knee([[2.0, 3.0], [1.0, 9.0]], DIRECTIONS)
    assert (index, reason) == (1, "the front is this one point: objective 1 1, objective 2 9")
    assert knee([[2.0], [1.0]], ("minimize",), names=["cost"]) == (1, "the front is this one point: cost 1")
    index, reason = knee([[0, 0, 9], [9, 0, 0], [1, 1, 1], [0, 9, 0]], ("minimize",) * 3)
    assert index == 2 and "(3.000 nats)" in reason
    assert covering_points(np.empty((0, 2)), DIRECTIONS, 3).size == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pareto_front([[1.0, np.nan]], DIRECTIONS), "`values` must be finite, got nan"),
        (lambda: pareto_front([[1.0]], DIRECTIONS), "`values` must be \\[points, 2\\]"),
        (lambda: pareto_front([[1.0]], ("up",)), "`directions` must be .* got 'up'"),
        (lambda: covering_points([[1.0]], ("minimize",), -1), "`count` must be a whole number of at least 0, got -1"),
        (lambda: knee(np.empty((0, 2)), DIRECTIONS), "at least one point"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
