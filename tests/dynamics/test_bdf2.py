"""BDF-2 against closed forms, its own algebra, published references and scipy's Radau."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from nasjac.dynamics import NewtonMatrix, Solution, System, automatic, coefficients, integrate, march, newton_matrix
from nasjac.dynamics.formula import RATIO_LIMIT
from nasjac.dynamics.newton import Newton
from nasjac.dynamics.problems import Problem, decay, hires, prothero_robinson, robertson, van_der_pol

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "decay": decay,
    "prothero_robinson": prothero_robinson,
    "robertson": robertson,
    "van_der_pol": van_der_pol,
    "hires": hires,
}


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def grid(steps: int, alternating: float = 1.0, end: float = 1.0) -> Tensor:
    """[steps + 1] times whose steps alternate, h and `alternating` h."""
    h = torch.ones(steps, dtype=torch.float64)
    h[1::2] = alternating
    return torch.cat((vector(0.0), (h.cumsum(0) / h.sum()) * end))


def end_error(problem: Problem, found: Solution) -> float:
    """The largest error at the end, relative to each component."""
    return float(((found.states[-1] - problem.reference) / problem.reference).abs().max())


def orders(errors: list[float]) -> list[float]:
    """Of errors at steps that halve."""
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_golden_row_22() -> None:
    """y' = −y, h = 0.1, ten steps, the start's being the first of them."""
    problem, times = decay(), grid(10)
    exact = march(problem.system, problem.initial, times, start=torch.exp(-times[1:2]))
    euler = march(problem.system, problem.initial, times)
    assert float(exact.states[-1]) == pytest.approx(0.36675999155018035, rel=1e-12)
    assert float(euler.states[-1]) == pytest.approx(0.36954879760742154, rel=1e-12)
    assert exact.work.steps == euler.work.steps == 10


@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.5, 2.4])
def test_coefficients_are_exact_for_parabolas_and_leave_the_residual_of_cubics(ratio: float) -> None:
    found, h = coefficients(ratio), 0.7
    old, before = -h, -h - h / ratio  # t_n = 0
    for power, left in ((0, 0.0), (1, 0.0), (2, 0.0), (3, 6 * found.residual * h**3)):
        slope = 1.0 if power == 1 else 0.0
        value = 1.0 if power == 0 else 0.0
        gap = value - found.previous * old**power + found.before * before**power - h * found.beta * slope
        assert gap == pytest.approx(left, abs=1e-12)


def test_zero_stability_ends_at_one_plus_root_two() -> None:
    """y' = 0 on a constant ratio has the roots 1 and ω²/(1 + 2ω)."""
    assert coefficients(RATIO_LIMIT).before == pytest.approx(1, rel=1e-12)
    for ratio, stable in ((2.0, True), (RATIO_LIMIT - 0.01, True), (RATIO_LIMIT + 0.01, False)):
        found, old, new = coefficients(ratio), 0.0, 1.0
        steps = []
        for _ in range(4000):
            old, new = new, found.previous * new - found.before * old
            steps.append(abs(new - old))
        assert (steps[-1] < steps[0]) == stable
    with pytest.raises(ValueError, match=r"`times` must have steps below 1 \+ √2 times the one before, got 1 then 2.5"):
        march(decay().system, vector(1.0), [0.0, 1.0, 3.5])


def test_amplification_follows_the_characteristic_roots() -> None:
    """r = (2 ± √(1 + 2z))/(3 − 2z), of modulus 1/√(3 − 2z) for z <= −1/2: A-stable, and 0 at infinity."""
    for z in (-0.3, -2.0, -50.0):
        root = (2 + np.emath.sqrt(1 + 2 * z)) / (3 - 2 * z)
        system = System(lambda t, y, z=z: z * y, lambda t, y, z=z: torch.full((1, 1), z, dtype=torch.float64))
        first = march(system, vector(1.0), range(9), start=vector(root.real))
        # the real part of rⁿ solves the recursion that r solves
        np.testing.assert_allclose(first.states[:, 0], (root ** np.arange(9)).real, atol=1e-12)
        if z <= -0.5:
            assert abs(root) == pytest.approx(1 / math.sqrt(3 - 2 * z), rel=1e-12)


@pytest.mark.parametrize(
    ("exact", "alternating", "constant"), [(True, 1.0, 0.12263), (False, 1.0, None), (True, 1.5, None)]
)
def test_order_two_on_decay(exact: bool, alternating: float, constant: float | None) -> None:
    """Error h² e⁻¹/3 from an exact start; backward Euler changes the constant, alternating steps too, never the order."""
    problem, errors = decay(), []
    for steps in (80, 160, 320, 640):
        times = grid(steps, alternating)
        found = march(problem.system, problem.initial, times, start=torch.exp(-times[1:2]) if exact else None)
        errors.append(end_error(problem, found) * math.exp(-1))
    assert all(abs(order - 2) < 0.03 for order in orders(errors)), orders(errors)
    if constant:
        assert errors[-1] * 640**2 == pytest.approx(constant, rel=0.01)


@pytest.mark.parametrize("rate", [-1e2, -1e4, -1e6])
def test_no_order_reduction_on_prothero_robinson(rate: float) -> None:
    problem, errors = prothero_robinson(rate), []
    for steps in (40, 80, 160):
        times = grid(steps)
        start = torch.sin(times[1:2] + math.pi / 4)
        found = march(problem.system, problem.initial, times, start=start)
        errors.append(float((found.states[-1] - problem.reference).abs()))
    assert all(1.9 < order < 2.02 for order in orders(errors)), orders(errors)
    assert errors[-1] == pytest.approx(abs(math.cos(1 + math.pi / 4)) / (3 * -rate) / 160**2, rel=0.08)


def test_order_two_on_robertson_with_log_steps() -> None:
    problem, errors = robertson(40.0), []
    for steps in (200, 400, 800):
        times = torch.cat((vector(0.0), torch.logspace(-6, math.log10(40), steps, dtype=torch.float64)))
        found = march(problem.system, problem.initial, times)
        errors.append(end_error(problem, found))
        assert float((found.states.sum(dim=1) - 1).abs().max()) < 1e-10  # mass
    assert all(abs(order - 2) < 0.1 for order in orders(errors)), orders(errors)


@pytest.mark.parametrize("name", ["robertson", "van_der_pol", "hires"])
def test_tolerance_rules_the_end_error(name: str) -> None:
    """By one to three decades more than the tolerance, and falling like its power 2/3."""
    problem = PROBLEMS[name]()
    errors = []
    for tolerance in (1e-4, 1e-6):
        found = integrate(problem.system, problem.initial, problem.interval, rtol=tolerance, atol=tolerance * problem.floor)
        errors.append(end_error(problem, found))
        assert errors[-1] < 1e3 * tolerance
        steps = found.times.diff()
        assert float((steps[1:] / steps[:-1]).max()) <= 2 + 1e-6
    assert 0.4 < math.log(errors[0] / errors[1]) / math.log(100) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robertson", "van_der_pol", "hires"])
def test_references_are_those_of_radau(name: str) -> None:
    """Golden rows 23 and 24."""
    for problem in (robertson(40.0), robertson()) if name == "robertson" else (PROBLEMS[name](),):
        functions = problem.system.for_scipy()
        found = solve_ivp(
            functions["fun"],
            problem.interval,
            problem.initial.numpy(),
            method="Radau",
            jac=functions["jac"],
            rtol=3e-13,
            atol=1e-24 if name == "robertson" else 1e-16,
        )
        np.testing.assert_allclose(found.y[:, -1], problem.reference, rtol=1e-9 if problem.interval[1] == 40 else 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robertson", "van_der_pol", "hires"])
def test_tight_tolerance_reaches_the_reference(name: str) -> None:
    problem = PROBLEMS[name]()
    found = integrate(problem.system, problem.initial, problem.interval, rtol=1e-9, atol=1e-9 * problem.floor)
    assert end_error(problem, found) < 1e-5


def test_newton_matrix() -> None:
    """Eigenvalues 1 − hβλ, condition number of the matrix, β of the ratio."""
    problem = hires()
    jacobian = problem.system.jacobian(0.0, problem.initial)
    found = newton_matrix(problem.system, 0.0, problem.initial, step=0.3, ratio=1.5)
    assert isinstance(found, NewtonMatrix)
    c = 0.3 * 2.5 / 4
    torch.testing.assert_close(found.matrix, torch.eye(8, dtype=torch.float64) - c * jacobian, rtol=1e-12, atol=1e-12)
    expected = np.sort_complex(1 - c * np.linalg.eigvals(jacobian.numpy()))
    np.testing.assert_allclose(np.sort_complex(found.eigenvalues.numpy()), expected, rtol=1e-9, atol=1e-9)
    assert found.condition == pytest.approx(np.linalg.cond(found.matrix.numpy()), rel=1e-9)
    with pytest.raises(ValueError, match="`step` must be a finite number greater than 0, got 0"):
        newton_matrix(problem.system, 0.0, problem.initial, step=0)


def test_modified_newton_contracts_with_the_spectral_radius() -> None:
    """ρ((I − cJ*)⁻¹ c(J − J*)), J* of the guess, J of the solution: the ratio of successive displacements."""
    system = automatic(lambda t, y: torch.stack((-50 * y[0] ** 2 + y[1], -(y[1] ** 3) * 20)))
    guess, right, c = vector(1.0, 1.0), vector(0.9, 0.95), 0.01
    y = Newton(system, "full").solve(0.0, guess, right, c, torch.full((2,), 1e-13, dtype=torch.float64))
    kept = newton_matrix(system, 0.0, guess, step=1.5 * c).matrix  # β = 2/3
    change = torch.linalg.solve(kept, c * (system.jacobian(0.0, y) - system.jacobian(0.0, guess)))
    rate = float(torch.linalg.eigvals(change).abs().max())
    sizes, x = [], guess
    for _ in range(30):
        step = torch.linalg.solve(kept, right - x + c * system.function(0.0, x))
        x = x + step
        sizes.append(float(step.norm()))
    assert 0.05 < rate < 1 and sizes[8] / sizes[7] == pytest.approx(rate, rel=1e-2)
    torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10)


def test_both_newtons_agree_and_the_modified_one_reuses_its_lu() -> None:
    problem = hires()
    ways = {
        kind: integrate(problem.system, problem.initial, problem.interval, rtol=1e-5, newton=kind)
        for kind in ("modified", "full")
    }
    modified, full = ways["modified"].work, ways["full"].work
    torch.testing.assert_close(ways["modified"].states[-1], ways["full"].states[-1], rtol=1e-2, atol=1e-9)
    assert modified.jacobians < modified.steps / 20 < full.jacobians == full.iterations
    assert modified.factorizations < modified.steps


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_jacobians_are_those_of_forward_mode(name: str) -> None:
    problem = PROBLEMS[name]()
    y = problem.initial + 0.1 * torch.rand(len(problem.initial), generator=torch.Generator().manual_seed(0)).double()
    expected = automatic(problem.system.function).jacobian(0.3, y)
    torch.testing.assert_close(problem.system.jacobian(0.3, y), expected, rtol=1e-12, atol=1e-12)


def test_dense_output_is_as_exact_as_the_steps() -> None:
    """Order 2 between the steps, and the steps' own states at them."""
    problem, errors = decay(), []
    asked = torch.linspace(0, 1, 97, dtype=torch.float64)
    for steps in (20, 40, 80):
        times = grid(steps)
        found = march(problem.system, problem.initial, times, start=torch.exp(-times[1:2]))
        torch.testing.assert_close(found.at(times), found.states, rtol=1e-12, atol=1e-12)
        errors.append(float((found.at(asked)[:, 0] - torch.exp(-asked)).abs().max()))
    assert all(order > 1.9 for order in orders(errors))
    found = integrate(problem.system, problem.initial, problem.interval, rtol=1e-7, atol=1e-7)
    assert float((found.at(asked)[:, 0] - torch.exp(-asked)).abs().max()) < 1e-4
    with pytest.raises(ValueError, match=r"`times` must lie in \[0, 1\], got \[1.5\]"):
        found.at([1.5])


def test_a_line_is_what_one_step_has_between_its_ends() -> None:
    found = march(decay().system, vector(1.0), [0.0, 0.5])
    torch.testing.assert_close(found.at([0.25])[0], found.states.mean(dim=0))


def test_a_step_without_solution_is_halved_then_named() -> None:
    """y' = y² from 1 is infinite at t = 1."""
    system = System(lambda t, y: y**2, lambda t, y: torch.diag(2 * y))
    with pytest.raises(ArithmeticError, match=r"t = (0\.99|1).*h = .*"):
        integrate(system, vector(1.0), (0.0, 2.0), rtol=1e-4)
    broken = System(lambda t, y: y / 0 if t else y, lambda t, y: torch.eye(1, dtype=torch.float64))
    with pytest.raises(
        ArithmeticError, match=r"no solution of the step to t = 4.76837e-07, h = 4.77e-07: .*; residual inf"
    ):
        integrate(broken, vector(1.0), (0.0, 1.0), first_step=0.5)
    with pytest.raises(ArithmeticError, match=r"no solution of the step to t = 0.5, h = 0.5: .*; residual inf"):
        march(broken, vector(1.0), [0.0, 0.5])


def test_a_step_that_can_be_solved_after_halving_goes_on() -> None:
    """The first step makes I − hJ singular: y' = y with h = 1."""
    growth = System(lambda t, y: y, lambda t, y: torch.eye(1, dtype=torch.float64))
    with pytest.raises(ArithmeticError, match=r"the Newton matrix I − hβJ is singular, pivot 1 is 0; residual 1"):
        march(growth, vector(1.0), [0.0, 1.0])
    found = integrate(growth, vector(1.0), (0.0, 2.0), first_step=1.0)
    assert found.work.halved == 1
    assert float(found.states[-1]) == pytest.approx(math.exp(2), rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"rtol": 0.0}, r"`rtol` must be in \(0, 1\), got 0.0"),
        ({"atol": vector(1.0, 1.0)}, r"`atol` must be one finite number above 0, or 1 of them, got \[1.0, 1.0\]"),
        ({"first_step": -1.0}, "`first_step` must be a finite number greater than 0, got -1.0"),
        ({"newton": "chord"}, "`newton` must be one of modified, full, got 'chord'"),
        ({"interval": (1.0, 0.0)}, r"`interval` must be two finite numbers that increase, got \(1.0, 0.0\)"),
        ({"initial": vector(math.nan)}, r"`initial` must be a vector of finite numbers, got \[nan\]"),
        ({"initial": vector(1.0, 2.0)}, r"must give \[N\] and \[N, N\], N = 2, got \[2\] and \[1, 1\]"),
    ],
)
def test_bad_numbers_are_named(words: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        integrate(**{"system": decay().system, "initial": vector(1.0), "interval": (0.0, 1.0), **words})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`times` must hold two or more finite numbers that increase"):
        march(decay().system, vector(1.0), [0.0, 0.0])
    with pytest.raises(ValueError, match=r"`ratio` must be a number in \(0, 1e\+150\], got 0"):
        coefficients(0)
