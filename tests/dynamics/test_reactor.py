"""Stirred tanks against algebra by hand: Brusselator, Gray–Scott, Van de Vusse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from nasjac.dynamics import (
    Branch,
    Reactions,
    Reactor,
    branches,
    critical_dilutions,
    mass_action,
    numerical_abscissa,
    spectral_abscissa,
    steady_states,
)
from nasjac.dynamics.problems import robertson
from nasjac.dynamics.reactions import brusselator, gray_scott, van_de_vusse

REACTORS = {
    "brusselator": brusselator((0.0, 0.0)),
    "gray_scott": gray_scott(),
    "van_de_vusse": van_de_vusse(),
}
BRUSSELATOR_BOX = ([0.0, 0.0], [5.0, 10.0])
GRAY_SCOTT_BOX = ([0.0, 0.0], [1.5, 1.0])


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def frozen_dilution(reactor: Reactor, x: Tensor) -> float:
    """More dilution than this makes x stable *if it stays a steady state*."""
    return max(0.0, spectral_abscissa(reactor.reactions.jacobian(x)))


@pytest.fixture(scope="module")
def gray_scott_branches() -> list[Branch]:
    return branches(gray_scott(), (0.001, 0.5), GRAY_SCOTT_BOX)


def test_golden_row_25(gray_scott_branches: list[Branch]) -> None:
    """Brusselator fed with its steady state, with nothing; Gray–Scott: Hopf point and folds."""
    for feed, expected in (((1.0, 3.0), 0.5), ((0.0, 0.0), 0.09804699991979271)):
        [event] = critical_dilutions(branches(brusselator(feed), (0.01, 3.0), BRUSSELATOR_BOX))
        assert event.kind == "hopf" and event.dilution == pytest.approx(expected, rel=1e-10)
    hopf, fold = critical_dilutions(gray_scott_branches)
    assert (hopf.kind, fold.kind) == ("hopf", "fold")
    assert hopf.dilution == pytest.approx(0.015278640450004204, rel=1e-10)
    folds = sorted(e.dilution for branch in gray_scott_branches for e in branch.events if e.kind == "fold")
    assert folds == pytest.approx([0.01, 0.16], rel=1e-10) and fold.dilution == folds[1]


@pytest.mark.parametrize("name", list(REACTORS))
def test_dilution_shifts_every_eigenvalue_at_a_frozen_state(name: str) -> None:
    reactor, x, dilution = REACTORS[name], vector(0.7, 2.3), 0.83
    closed = np.linalg.eigvals(reactor.reactions.jacobian(x).numpy())
    open_ = np.linalg.eigvals(reactor.jacobian(dilution, x).numpy())
    np.testing.assert_allclose(np.sort_complex(open_), np.sort_complex(closed) - dilution, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(REACTORS))
def test_jacobians_are_those_of_forward_mode(name: str) -> None:
    reactor, x = REACTORS[name], vector(0.7, 2.3)
    expected = torch.func.jacfwd(lambda y: reactor.change(0.2, y))(x)
    torch.testing.assert_close(reactor.jacobian(0.2, x), expected, rtol=1e-12, atol=1e-12)
    many = torch.rand(5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(reactor.jacobian(0.2, many)[2, 1], reactor.jacobian(0.2, many[2, 1]))
    torch.testing.assert_close(reactor.change(0.2, many)[2, 1], reactor.change(0.2, many[2, 1]))


def test_mass_action_in_a_closed_vessel_is_robertsons_problem() -> None:
    """a → b, b + c → a + c, 2b → b + c, in three species; D = 0."""
    stoichiometry = [[-1.0, 1.0, 0.0], [1.0, -1.0, -1.0], [0.0, 0.0, 1.0]]
    orders = [[1.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 0.0]]
    reactions = mass_action("abc", stoichiometry, orders, [0.04, 1e4, 3e7])
    tank, expected = Reactor(reactions, vector(0.0, 0.0, 0.0)).system(0.0), robertson().system
    x = vector(0.7, 1e-5, 0.3)
    torch.testing.assert_close(tank.function(0.0, x), expected.function(0.0, x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tank.jacobian(0.0, x), expected.jacobian(0.0, x), rtol=1e-12, atol=1e-12)


def test_orders_below_one_and_of_zero_have_their_derivatives() -> None:
    reactions = mass_action("ab", [[-1.0, 1.0], [1.0, 0.0]], [[0.5, 0.0], [0.0, 1.0]], [2.0, 3.0])
    expected = [[-0.5, 3.0], [0.5, 0.0]]
    torch.testing.assert_close(reactions.jacobian(vector(4.0, 0.0)), torch.tensor(expected, dtype=torch.float64))


def test_a_rate_law_of_any_form() -> None:
    """Michaelis–Menten: a → b at a/(1 + a), fed with a = 3: a = 3 − b, D b = a/(1 + a)."""
    reactions = Reactions(
        ("a", "b"),
        torch.tensor([[-1.0], [1.0]], dtype=torch.float64),
        lambda x: x[..., :1] / (1 + x[..., :1]),
        lambda x: torch.stack((1 / (1 + x[..., :1]) ** 2, torch.zeros_like(x[..., :1])), dim=-1),
    )
    [state] = steady_states(Reactor(reactions, vector(3.0, 0.0)), 0.5, ([0.0, 0.0], [3.0, 3.0]))
    a, b = state.tolist()
    assert a + b == pytest.approx(3) and 0.5 * b == pytest.approx(a / (1 + a))


def test_brusselator_fed_with_its_state_stays_there() -> None:
    reactor = brusselator((1.0, 3.0))
    for dilution in (0.05, 0.5, 2.0):
        torch.testing.assert_close(steady_states(reactor, dilution, BRUSSELATOR_BOX), vector(1.0, 3.0)[None])
    closed = reactor.reactions.jacobian(vector(1.0, 3.0))
    assert frozen_dilution(reactor, vector(1.0, 3.0)) == pytest.approx(0.5, rel=1e-12)
    assert sorted(torch.linalg.eigvals(closed).imag.tolist()) == pytest.approx([-math.sqrt(0.75), math.sqrt(0.75)])
    assert numerical_abscissa(closed) == pytest.approx(0.5 + math.sqrt(13) / 2, rel=1e-12)
    shifted = reactor.jacobian(0.6, vector(1.0, 3.0))  # stable, and yet a disturbance grows at first
    times = torch.linspace(0, 10, 400, dtype=torch.float64)
    assert max(float(torch.linalg.matrix_norm((t * shifted).matrix_exp(), 2)) for t in times) == pytest.approx(
        3.69, abs=0.01
    )


def test_brusselator_fed_with_nothing_moves() -> None:
    """y = (A − x)/D − x; stable five times sooner than the shift of its closed eigenvalues foretells."""
    reactor = brusselator((0.0, 0.0))
    [event] = critical_dilutions(branches(reactor, (0.01, 3.0), BRUSSELATOR_BOX))
    x, y = event.state.tolist()
    assert (x, y) == pytest.approx((0.53918887, 4.16071146), abs=1e-8)
    assert y == pytest.approx((1 - x) / event.dilution - x, rel=1e-9)
    assert event.eigenvalue.imag == pytest.approx(0.5302, abs=1e-4)
    assert frozen_dilution(reactor, event.state) == pytest.approx(event.dilution, rel=1e-9)
    for factor, expected in ((0.8, 0.23560), (1.2, -0.31840)):
        [state] = steady_states(reactor, factor * event.dilution, BRUSSELATOR_BOX)
        found = spectral_abscissa(reactor.jacobian(factor * event.dilution, state))
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("dilution", "stays"), [(0.45, False), (0.55, True)])
def test_trajectories_grow_and_decay_at_the_rate_of_the_abscissa(dilution: float, stays: bool) -> None:
    """Linear theory, from a disturbance of 2e-3: e^{αt} over two whole periods."""
    reactor, period = brusselator((1.0, 3.0)), 2 * math.pi / math.sqrt(0.75)
    found = reactor.trajectory(dilution, vector(1.002, 3.0), (0.0, 4 * period), rtol=1e-8, atol=1e-10)
    gaps = (found.at([2 * period, 4 * period]) - vector(1.0, 3.0)).norm(dim=1)
    rate = float((gaps[1] / gaps[0]).log()) / (2 * period)
    assert rate == pytest.approx(0.5 - dilution, abs=2e-3) and (rate < 0) == stays


def test_gray_scott_by_hand(gray_scott_branches: list[Branch]) -> None:
    """ab = D + k, b = D(1 − a)/(D + k) on an isola between the folds; (1, 0) at every D."""
    isola = next(branch for branch in gray_scott_branches if branch.closed)
    [washed] = [branch for branch in gray_scott_branches if not branch.closed]
    torch.testing.assert_close(washed.states, vector(1.0, 0.0).expand_as(washed.states), rtol=0, atol=1e-9)
    torch.testing.assert_close(washed.abscissa, -washed.dilutions, rtol=1e-6, atol=1e-9)
    a, b, out = isola.states[:, 0], isola.states[:, 1], isola.dilutions + 0.04
    torch.testing.assert_close(a * b, out, rtol=1e-9, atol=0)
    torch.testing.assert_close(b, isola.dilutions * (1 - a) / out, rtol=1e-9, atol=0)
    [hopf] = [event for event in isola.events if event.kind == "hopf"]
    assert float(hopf.state[1]) ** 2 == pytest.approx(0.04, rel=1e-9)
    stable = isola.dilutions[isola.abscissa < 0]
    assert float(stable.min()) > hopf.dilution and float(stable.max()) < 0.16
    for dilution, count in ((0.005, 1), (0.05, 3), (0.17, 1)):
        assert len(steady_states(gray_scott(), dilution, GRAY_SCOTT_BOX)) == count


def test_frozen_advice_is_wrong_for_gray_scott() -> None:
    """At D = .05 the closed Jacobian is stable, so no dilution seems needed; without it there is no reacting state."""
    reactor = gray_scott()
    reacting = steady_states(reactor, 0.05, GRAY_SCOTT_BOX)[0]
    assert frozen_dilution(reactor, reacting) == 0.0
    assert spectral_abscissa(reactor.reactions.jacobian(reacting)) == pytest.approx(-0.028, abs=1e-3)
    assert float(steady_states(reactor, 0.005, GRAY_SCOTT_BOX)[:, 1].max()) < 1e-9


@pytest.mark.parametrize(
    ("dilution", "stays"), [(0.0145, False), (0.016, True), (0.05, True), (0.1599, True), (0.17, False)]
)
def test_gray_scott_stays_only_between_hopf_and_fold(dilution: float, stays: bool) -> None:
    reactor = gray_scott()
    start = steady_states(reactor, min(dilution, 0.1599), GRAY_SCOTT_BOX)[0]
    found = reactor.trajectory(dilution, start + vector(0.0, 0.002), (0.0, 20000.0), rtol=1e-6, atol=1e-10)
    gap = float((found.states[-1] - start).norm())
    assert (gap < 1e-3) == stays
    assert stays or float(found.states[-1, 1]) < 1e-6  # washed out


def test_van_de_vusse_by_hand() -> None:
    reactor = van_de_vusse()
    for dilution in (1.0, 30.0, 100.0, 400.0):
        [state] = steady_states(reactor, dilution, ([0.0, 0.0], [11.0, 5.0]))
        a = (math.sqrt((50 + dilution) ** 2 + 40 * dilution * 10) - 50 - dilution) / 20
        assert state.tolist() == pytest.approx([a, 50 * a / (100 + dilution)], rel=1e-10)
        found = torch.linalg.eigvals(reactor.jacobian(dilution, state))
        assert sorted(found.real.tolist()) == pytest.approx(sorted([-50 - 20 * a - dilution, -100 - dilution]))
    [branch] = branches(reactor, (1.0, 1000.0), ([0.0, 0.0], [11.0, 5.0]))
    assert branch.events == () and float(branch.abscissa.max()) < 0
    assert (float(branch.dilutions[0]), float(branch.dilutions[-1])) == pytest.approx((1.0, 1000.0))


def test_exchange_of_stability() -> None:
    """x' = x − x² − D x: the states 0 and 1 − D meet at D = 1, where a real eigenvalue crosses without a fold."""
    reactor = Reactor(mass_action(["x"], [[1.0, -1.0]], [[1.0, 2.0]], [1.0, 1.0]), vector(0.0))
    washed = [branch for branch in branches(reactor, (0.3, 2.0), ([0.0], [2.0])) if float(branch.states.max()) < 1e-6]
    [event] = critical_dilutions(washed)
    assert event.kind == "exchange" and event.dilution == pytest.approx(1, rel=1e-9)


def test_our_integration_is_scipys() -> None:
    reactor, start, times = brusselator((0.0, 0.0)), vector(0.5, 4.0), np.linspace(0, 20, 41)
    functions = reactor.system(0.08).for_scipy()
    expected = solve_ivp(
        functions["fun"], (0, 20), start.numpy(), "Radau", times, jac=functions["jac"], rtol=1e-9, atol=1e-11
    )
    found = reactor.trajectory(0.08, start, (0.0, 20.0), rtol=1e-8, atol=1e-10).at(times)
    np.testing.assert_allclose(found, expected.y.T, rtol=2e-4, atol=2e-4)


def test_bad_input_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"`orders` and `constants` must be \[S, R\] and \[R\], as `stoichiometry` \[1, 2\]"
    ):
        mass_action(["a"], [[1.0, -1.0]], [[1.0]], [1.0])
    with pytest.raises(
        ValueError, match=r"`stoichiometry` must have one row of finite numbers a species, 2, got shape \(1, 1\)"
    ):
        mass_action(["a", "b"], [[1.0]], [[1.0]], [1.0])
    with pytest.raises(ValueError, match=r"`rates` and `rate_jacobian` must give shapes \(1,\) and \(1, 1\).*got \(2,\)"):
        Reactions(("a",), torch.ones(1, 1).double(), lambda x: torch.ones(2), lambda x: torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"`constants` must hold finite numbers of at least 0, got \[-1.0\]"):
        mass_action(["a"], [[1.0]], [[1.0]], [-1.0])
    with pytest.raises(ValueError, match=r"`feed` must hold 2 finite concentrations of at least 0, got \[-1.0, 0.0\]"):
        gray_scott(feed=(-1.0, 0.0))
    reactor = gray_scott()
    with pytest.raises(ValueError, match=r"`initial` must hold 2 finite concentrations of at least 0, got \[1.0, -0.5\]"):
        reactor.trajectory(0.1, vector(1.0, -0.5), (0.0, 1.0))
    with pytest.raises(ValueError, match=r"`dilution` must be a finite number of at least 0, got -0\.1"):
        reactor.system(-0.1)
    with pytest.raises(ValueError, match=r"`box` must hold a steady state at dilution 0.17, got none from \[0.0, 0.1\]"):
        steady_states(reactor, 0.17, ([0.0, 0.1], [1.0, 1.0]))
    with pytest.raises(ValueError, match=r"`box` must hold a steady state between dilutions 0\.2 and 0\.4, got none"):
        branches(reactor, (0.2, 0.4), ([0.0, 0.1], [1.0, 1.0]))
    with pytest.raises(ValueError, match="`box` must be 2 concentrations twice, 0 <= low < high"):
        steady_states(reactor, 0.17, ([0.0, 1.0], [1.0, 1.0]))
    with pytest.raises(ValueError, match=r"`dilutions` must be two finite numbers above 0 that increase, got \(0, 1\)"):
        branches(reactor, (0, 1), GRAY_SCOTT_BOX)
