"""Terms are right within their own standard errors, and those errors are right."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasjac.cost import trainability_cost, trainability_penalty
from nasjac.estimators import NAMES, log_bias, profile, terms
from nasjac.jacobian import PROBES
from nasjac.networks.draws import Draws
from nasjac.networks.population import sample
from nasjac.networks.samples import Samples
from nasjac.spec import Block, Spec

WIDTH, DRAWS, REPETITIONS = 32, 16, 480
T_QUANTILE = 2.131  # of Student's t with 15 degrees of freedom, 97.5%
SPECS = {
    "none relu": Spec(WIDTH, tuple(Block(skip=float(i % 4 > 0)) for i in range(6))),
    "pre gelu": Spec(WIDTH, (Block(),) * 5, placement="pre", activation="gelu", weight_gain=1.2),
    "post tanh": Spec(WIDTH, (Block(), Block(skip=0)) * 3, placement="post", activation="tanh", branch="one_matrix"),
}
CPU = torch.device("cpu")


def inputs() -> torch.Tensor:
    return torch.randn(400, 20, generator=torch.Generator().manual_seed(1))


def samples_of(spec: Spec, draws: Draws) -> Samples:
    [found] = sample([spec], inputs(), draws)
    return found


def chosen(samples: Samples, which: slice) -> Samples:
    return Samples(**{item.name: getattr(samples, item.name)[which] for item in fields(Samples)})


def true_terms(spec: Spec, draws: Draws) -> dict[str, float]:
    """From the whole Jacobian of every draw and input, in float64."""
    samples = draws.samples(inputs(), 2).double()
    h = torch.bmm(samples, draws.normal("embedding", WIDTH, 20).mT.double()) / 20**0.5
    jacobians = torch.eye(WIDTH, dtype=torch.float64).expand(*h.shape[:2], -1, -1)
    two = spec.branch == "two_matrix"
    norm = {"pre": "on_input", "post": "on_sum"}.get(spec.placement)
    act = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "tanh": torch.tanh}[spec.activation]
    for number, block in enumerate(spec.blocks):
        outer = draws.normal(f"outer {number}", WIDTH, WIDTH).double() * spec.weight_gain / WIDTH**0.5
        inner = draws.normal(f"inner {number}", WIDTH, WIDTH).double() * spec.weight_gain / WIDTH**0.5

        def step(x, outer, inner, skip=block.skip):  # type: ignore[no-untyped-def]
            y = torch.nn.functional.layer_norm(x, (WIDTH,)) if norm == "on_input" else x
            y = skip * x + outer @ act(inner @ y if two else y)
            return torch.nn.functional.layer_norm(y, (WIDTH,)) if norm == "on_sum" else y

        over_inputs = torch.func.vmap(torch.func.jacrev(step), in_dims=(0, None, None))
        jacobians = torch.func.vmap(over_inputs)(h, outer, inner).detach() @ jacobians
        h = torch.func.vmap(torch.func.vmap(step, in_dims=(0, None, None)))(h, outer, inner).detach()
    gram = jacobians @ jacobians.mT
    trace, fourth = gram.diagonal(dim1=-2, dim2=-1).sum(-1), gram.square().sum((-2, -1))
    logs = (trace / WIDTH).log()
    unit = torch.nn.functional.normalize(h, dim=-1)
    found = {
        "log_mean": float((trace / WIDTH).mean().log()),
        "mean_log": float(logs.mean()),
        "sd_log": float(logs.var(dim=0).mean().sqrt()),
        "log_rank": float((trace**2 / fourth / WIDTH).log().mean()),
        "log_decorrelation": float((1 - (unit[:, 0] * unit[:, 1]).sum(-1)).mean().log()),
    }
    names = ("mean_log", "sd_log", "log_rank", "log_decorrelation")
    costs = {
        of.__name__: of(*(np.float64(found[name]) for name in names)) for of in (trainability_cost, trainability_penalty)
    }
    return found | {name: float(cost) for name, cost in costs.items()}


@pytest.mark.parametrize("name", SPECS)
def test_intervals_cover_the_truth(name: str) -> None:
    """95% intervals (t quantile) of 480 independent measurements of 16 draws each cover the truth 90 to 99% of the time.

    The truth is that of all 7,680 draws, whose own error is a twenty-second of a measurement's.
    """
    spec = SPECS[name]
    draws = Draws(1, range(DRAWS * REPETITIONS), torch.float32, CPU)
    samples, truth = samples_of(spec, draws), true_terms(spec, draws)
    found = [terms([chosen(samples, slice(start, start + DRAWS))], WIDTH) for start in range(0, DRAWS * REPETITIONS, DRAWS)]
    for position, term in enumerate(NAMES[:-1]):
        values, errors = (np.array([pair[which][position] for pair in found]) for which in (0, 1))
        covered = float(np.mean(np.abs(values - truth[term]) < T_QUANTILE * errors))
        assert 0.90 <= covered <= 0.99, f"{term}: {covered}"


@pytest.mark.parametrize("name", SPECS)
def test_many_draws_are_right(name: str) -> None:
    """Over 2,000 draws the estimates are the truth of the same draws within a hundredth of a nat and 4 standard errors."""
    draws = Draws(2, range(2000), torch.float32, CPU)
    values, errors, _ = terms([samples_of(SPECS[name], draws)], WIDTH)
    truth = true_terms(SPECS[name], draws)
    for position, term in enumerate(NAMES[:-1]):
        assert abs(values[position] - truth[term]) < 4 * errors[position] + 0.01, term


def test_relu_resnet_is_exact_at_any_width() -> None:
    """Golden row 3: χ = ½, L = 4, so E 𝒥 = 1.5⁴ = 5.0625."""
    for width in (4, 9):
        spec = Spec(width, (Block(),) * 4)
        [found] = sample([spec], inputs(), Draws(3, range(4000), torch.float64, CPU))
        energies = np.exp(np.concatenate([found.forward[..., -1], found.backward[..., 0]], axis=-1)).mean(axis=(1, 2))
        assert abs(energies.mean() - 5.0625) < 4 * energies.std(ddof=1) / 4000**0.5


@pytest.mark.parametrize("probes", [1, 2, 4])
@pytest.mark.parametrize("spectrum", ["flat", "half", "linear", "cubic"])
def test_log_bias(probes: int, spectrum: str) -> None:
    """The bias of the logarithm of spherical estimates, for Jacobians of rank 20 down to about 6, within 0.02 nats."""
    size = 20
    line = torch.arange(1, size + 1, dtype=torch.float64)
    eigenvalues = {"flat": line**0, "half": (line > 10).double(), "linear": line, "cubic": line**3}[spectrum]
    rank = float(eigenvalues.sum() ** 2 / eigenvalues.square().sum())
    drawn = PROBES["sphere"][0](40_000 * probes, size, torch.Generator().manual_seed(1)).square() @ eigenvalues
    estimates = drawn.reshape(-1, probes).mean(dim=1)
    measured = (estimates / eigenvalues.sum()).log()
    expected = log_bias(probes, np.array([rank]), size)[0]
    assert abs(float(measured.mean()) - expected) < 4 * float(measured.std()) / 200 + 0.02
    assert spectrum != "flat" or expected == 0


def test_profile_ends_agree_with_the_terms() -> None:
    draws = Draws(4, range(400), torch.float64, CPU)
    found = samples_of(SPECS["none relu"], draws)
    truth = true_terms(SPECS["none relu"], draws)
    for energies, angles, end in ((found.forward, found.forward_angle, -1), (found.backward, found.backward_angle, 0)):
        log_mean, mean_log, error = profile(energies, angles, WIDTH)
        assert abs(mean_log[end] - truth["mean_log"]) < 4 * error[end]
        assert abs(log_mean[end] - truth["log_mean"]) < 8 * error[end]
        start = 0 if end == -1 else -1
        # the identity is exact probe by probe; what error there is comes from the estimated rank
        assert abs(mean_log[start]) <= 4 * error[start] + 1e-12 and error[start] < 0.003


def ensemble(bits: list[list[float]], draws: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bank = Draws(5, range(draws), torch.float64, CPU)
    specs = [Spec(WIDTH, tuple(Block(skip=bit) for bit in row), weight_gain=0.9) for row in bits]
    return terms(sample(specs, inputs(), bank), WIDTH)[:2]


def test_patterns_that_are_equal_have_no_spread_and_different_ones_have_theirs() -> None:
    same, _ = ensemble([[1, 0, 1]] * 4)
    assert same[NAMES.index("sd_log_patterns")] == 0
    rows = [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]
    mixed, errors = ensemble(rows)
    alone = [ensemble([row])[0][NAMES.index("mean_log")] for row in rows]
    expected = np.std(alone, ddof=1)
    assert mixed[NAMES.index("sd_log_patterns")] == pytest.approx(expected, abs=0.1)
    assert mixed[NAMES.index("mean_log")] == pytest.approx(np.mean(alone), abs=0.05)
    # a handful of patterns says less about the ensemble than their draws alone
    assert errors[NAMES.index("mean_log")] > expected / 4**0.5 * 0.9


def test_cost_is_asymmetric() -> None:
    vanishing, exploding = (
        float(trainability_cost(np.float64(x), np.float64(0), np.float64(0), np.float64(0))) for x in (-2.0, 2.0)
    )
    assert (vanishing, exploding) == (2.0, 1.0)
