"""Terms are right within their own standard errors, and those errors are right."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.population import sample
from nasjac.mathematics.logarithms import debiased, debiased_ratio
from nasjac.mathematics.trainability import trainability_cost, trainability_penalty
from nasjac.sampling.draws import Draws
from nasjac.sampling.estimators import NAMES, profile, terms
from nasjac.sampling.samples import Samples
from tests.mathematics.probes import PROBES

WIDTH, DRAWS, REPETITIONS = 32, 16, 480
T_QUANTILE = 2.131  # of Student's t with 15 degrees of freedom, 97.5%
SPECS = {
    "none relu": Spec.of(width=WIDTH, blocks=tuple(Block(skip=float(i % 4 > 0)) for i in range(6))),
    "pre gelu": Spec.of(width=WIDTH, blocks=(Block(),) * 5, placement="pre", activation="gelu", weight_gain=1.2),
    "post tanh": Spec.of(
        width=WIDTH, blocks=(Block(), Block(skip=0)) * 3, placement="post", activation="tanh", branch="one_matrix"
    ),
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
    found = [terms([chosen(samples, slice(start, start + DRAWS))]) for start in range(0, DRAWS * REPETITIONS, DRAWS)]
    for position, term in enumerate(NAMES[:-1]):
        values, errors = (np.array([pair[which][position] for pair in found]) for which in (0, 1))
        covered = float(np.mean(np.abs(values - truth[term]) < T_QUANTILE * errors))
        assert 0.90 <= covered <= 0.99, f"{term}: {covered}"


@pytest.mark.parametrize("name", SPECS)
def test_many_draws_are_right(name: str) -> None:
    """Over 2,000 draws the estimates are the truth of the same draws within a hundredth of a nat and 4 standard errors."""
    draws = Draws(2, range(2000), torch.float32, CPU)
    values, errors, _ = terms([samples_of(SPECS[name], draws)])
    truth = true_terms(SPECS[name], draws)
    for position, term in enumerate(NAMES[:-1]):
        assert abs(values[position] - truth[term]) < 4 * errors[position] + 0.01, term


def test_relu_resnet_is_exact_at_any_width() -> None:
    """Golden row 3: χ = ½, L = 4, so E 𝒥 = 1.5⁴ = 5.0625."""
    for width in (4, 9):
        spec = Spec.of(width=width, blocks=(Block(),) * 4)
        [found] = sample([spec], inputs(), Draws(3, range(4000), torch.float64, CPU))
        energies = np.exp(np.concatenate([found.forward[..., -1], found.backward[..., 0]], axis=-1)).mean(axis=(1, 2))
        assert abs(energies.mean() - 5.0625) < 4 * energies.std(ddof=1) / 4000**0.5


SPECTRA = {"flat": 0, "linear": 1, "cubic": 3, "steep": 12}


def estimates(spectrum: str, probes: int, power: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues λ [20] of a JJᵀ with trace 1, and log vᵀ(JJᵀ)^power v of spherical probes v [60,000, probes]."""
    size = 20
    line = torch.arange(1, size + 1, dtype=torch.float64) ** SPECTRA[spectrum]
    eigenvalues = line / line.sum()
    probe = PROBES["sphere"][0](60_000 * probes, size, torch.Generator().manual_seed(1)).square()
    return eigenvalues.numpy(), (probe @ eigenvalues**power).log().reshape(-1, probes).numpy()


@pytest.mark.parametrize("probes", [2, 4, 6, 12])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_logarithms_of_few_probes_have_no_bias(spectrum: str, probes: int) -> None:
    """Of Jacobians of rank 20 down to 2.9: what is left is a twentieth of the bias at most, and is 0 of an isotropic one.

    The noise is the variance that the probes give the estimate, to a twentieth.
    """
    _, logs = estimates(spectrum, probes)
    found, plain = debiased(logs), np.log(np.exp(logs).mean(axis=1))
    if spectrum == "flat":
        np.testing.assert_allclose(found.value, 0, atol=1e-10)
        return
    error = 4 * found.value.std() / len(logs) ** 0.5
    assert abs(found.value.mean()) < error + abs(plain.mean()) / (20 if probes > 2 else 5)
    lost = found.value - plain
    assert lost.mean() > 4 * lost.std() / len(logs) ** 0.5, "without it there is a bias"
    assert found.noise.mean() == pytest.approx(found.value.var(), rel=0.05 if probes > 2 else 0.2)


@pytest.mark.parametrize("spectrum", ["linear", "cubic", "steep"])
def test_a_ratio_of_two_norms_of_the_same_probes_has_no_bias(spectrum: str) -> None:
    """log (tr A² / tr A) of four probes, within 4 standard errors and a twentieth of the plain ratio's bias."""
    eigenvalues, first = estimates(spectrum, 4)
    _, second = estimates(spectrum, 4, power=2)
    truth = np.log((eigenvalues**2).sum())
    found = debiased_ratio(second, first)
    plain = np.log(np.exp(second).mean(axis=1)) - np.log(np.exp(first).mean(axis=1)) - truth
    assert abs(found.mean() - truth) < 4 * found.std() / len(found) ** 0.5 + abs(plain.mean()) / 20


def test_a_zero_jacobian_is_minus_infinity_and_nothing_else_is() -> None:
    logs = np.array([[-np.inf] * 4, [-np.inf, 0.0, 0.0, 0.0], [-800.0] * 4, [800.0] * 4])
    value = debiased(logs).value
    assert np.isneginf(value[0]) and value[1] == pytest.approx(np.log(0.75))
    np.testing.assert_allclose(value[2:], [-800, 800])


def test_profile_ends_agree_with_the_terms() -> None:
    draws = Draws(4, range(400), torch.float64, CPU)
    found = samples_of(SPECS["none relu"], draws)
    truth = true_terms(SPECS["none relu"], draws)
    for energies, end in ((found.forward, -1), (found.backward, 0)):
        log_mean, mean_log, error = profile(energies)
        assert abs(mean_log[end] - truth["mean_log"]) < 4 * error[end]
        assert abs(log_mean[end] - truth["log_mean"]) < 8 * error[end]
        start = 0 if end == -1 else -1
        assert abs(mean_log[start]) < 1e-9 and error[start] < 1e-9, "the identity is exact probe by probe"


def ensemble(bits: list[list[float]], draws: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bank = Draws(5, range(draws), torch.float64, CPU)
    specs = [Spec.of(width=WIDTH, blocks=tuple(Block(skip=bit) for bit in row), weight_gain=0.9) for row in bits]
    return terms(sample(specs, inputs(), bank))[:2]


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
