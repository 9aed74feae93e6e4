"""Token Grams against a naive recursion, golden numbers and sampled transformers; kernels against quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.mathematics.meanfield import pair_laws
from nasjac.mathematics.meanfield.decoder import softmax_moments
from nasjac.mathematics.meanfield.kernels import half_distance, kernel
from nasjac.mathematics.meanfield.moments import MOMENTS, Array
from nasjac.mathematics.meanfield.token_stack import TokenStack
from nasjac.mathematics.meanfield.tokens import TokenNorms, token_norms
from tests.mathematics.closed_forms import linear_attention_norm

NORMS = {name: placement[:3] for name, placement in PLACEMENTS.items()}

erf = np.vectorize(math.erf, otypes=[np.float64])


def normal(x: Array) -> Array:
    """The normal distribution function."""
    return np.asarray((1 + erf(x / math.sqrt(2))) / 2)


PHI: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "linear": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "erf": (erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2))),
    "gelu": (lambda x: x * normal(x), lambda x: normal(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
}
PAIRS = [(1.0, 1.0, 0.3), (0.4, 2.0, -0.8), (9.0, 4.0, 0.99), (25.0, 100.0, 0.5), (1e-3, 2.0, 0.9), (100.0, 100.0, -1.0)]


# kernels


@pytest.mark.parametrize("name", ["linear", "erf", "gelu", "tanh"])
@pytest.mark.parametrize(("q1", "q2", "rho"), PAIRS)
def test_kernels_are_the_double_integrals(name: str, q1: float, q2: float, rho: float) -> None:
    """Against the trapezoid rule in two independent normal variables, exact to 1e-12 at this step for poles at ±iπ/2."""
    g = np.arange(-8.5, 8.5, 0.025)
    weight = np.exp(-(g**2) / 2) * 0.025 / math.sqrt(2 * math.pi)
    x, y = math.sqrt(q1) * g[:, None], math.sqrt(q2) * (rho * g[:, None] + math.sqrt(1 - rho**2) * g)
    expected = [float(weight @ (f(x) * f(y)) @ weight) for f in PHI[name]]
    top = [max(1.0, float(m)) for m in MOMENTS[name](np.array(max(q1, q2)))]
    found = kernel(name, q1, q2, rho * math.sqrt(q1 * q2))
    for one, other, size in zip(found, expected, top, strict=True):
        assert float(one) == pytest.approx(other, abs=2e-12 * size)


@pytest.mark.parametrize("name", PHI)
def test_kernels_are_sample_means(name: str) -> None:
    """Within 4 standard errors of 400,000 samples; a correlation 0.03 off is seen."""
    g = np.random.default_rng(1).standard_normal((2, 400_000))
    x, y = math.sqrt(1.7) * g[0], math.sqrt(0.6) * (0.4 * g[0] + math.sqrt(1 - 0.4**2) * g[1])
    covariance = 0.4 * math.sqrt(1.7 * 0.6)
    found, wrong = (kernel(name, 1.7, 0.6, c) for c in (covariance, covariance + 0.03))
    for order, f in enumerate(PHI[name]):
        product = f(x) * f(y)
        error = product.std() / math.sqrt(product.size)
        assert abs(product.mean() - float(found[order])) <= 4 * error
        if order == 0:
            assert abs(product.mean() - float(wrong[order])) > 4 * error


@pytest.mark.parametrize("name", PHI)
def test_price(name: str) -> None:
    """d/dc E phi phi = E phi'phi', by central differences: error of order h² times the third derivative."""
    q1, q2 = np.array([0.01, 1.0, 30.0])[:, None], np.array([0.02, 1.0, 50.0])[:, None]
    root, rho = np.sqrt(q1 * q2), np.array([-0.8, -0.3, 0.0, 0.5, 0.9])
    h = 1e-4 * root
    above, at, below = (kernel(name, q1, q2, rho * root + shift * h) for shift in (1, 0, -1))
    np.testing.assert_allclose((above.second - below.second) / (2 * h), at.derivative_second, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PHI)
def test_the_diagonal_is_the_moments(name: str) -> None:
    q = np.geomspace(1e-8, 1e4, 40)
    np.testing.assert_allclose(kernel(name, q, q, q), MOMENTS[name](q), rtol=1e-12)


def test_the_table_of_tanh_keeps_its_digits() -> None:
    """Against its kernel, another representation; between the nodes too, and whichever linear algebra numpy calls."""
    q = np.geomspace(1.1e-8, 0.9e8, 2000)
    for found, expected in zip(MOMENTS["tanh"](q), kernel("tanh", q, q, q), strict=True):
        np.testing.assert_allclose(found, expected, rtol=3e-14)  # rounding alone: about 6e-15


@pytest.mark.parametrize("name", PHI)
def test_half_distance(name: str) -> None:
    """½E(phi(x) - phi(y))² = (V1 + V2)/2 - E phi phi, where the subtraction keeps digits; likewise the derivative.

    Each of the four values is exact to a few 1e-15 of the larger moment.
    """
    q1, q2, rho = np.array(PAIRS[:5]).T
    root = np.sqrt(q1 * q2)
    found = half_distance(name, q1, q2, (1 - rho) * root, np.sqrt(q1) - np.sqrt(q2))
    one, other, both = MOMENTS[name](q1), MOMENTS[name](q2), kernel(name, q1, q2, rho * root)
    for order in (0, 1):
        scale, expected = np.maximum(one[order], other[order]), (one[order] + other[order]) / 2 - both[order]
        np.testing.assert_allclose(found[order] / scale, expected / scale, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", PHI)
def test_half_distance_of_all_but_equal_variables(name: str) -> None:
    """To first order gap E phi'², or ½ radial² E g² phi'², however small; relu's gates differ with probability t/π."""
    one, gap = np.ones(1), np.array([1e-40])
    s = MOMENTS[name](one).derivative_second
    near = half_distance(name, one, one, gap, 0 * one)
    np.testing.assert_allclose(near.second, gap * s, rtol=1e-12)
    if name == "relu":
        np.testing.assert_allclose(near.derivative_second, np.sqrt(2 * gap) / (2 * math.pi), rtol=1e-12)
    g = np.arange(-9, 9, 0.01)
    slope = float((g**2 * PHI[name][1](g) ** 2 * np.exp(-(g**2) / 2)).sum() * 0.01 / math.sqrt(2 * math.pi))
    radial = half_distance(name, one, one, 0 * one, np.array([1e-20])).second
    np.testing.assert_allclose(radial, 0.5e-40 * slope, rtol=1e-6)


@pytest.mark.parametrize(("name", "error"), [("relu", 0.05), ("gelu", 1e-5), ("tanh", 1e-4), ("erf", 1e-4)])
def test_kernels_without_closed_forms_are_quadratures(name: str, error: float) -> None:
    """Of equal and unequal variances; the drop keeps its digits at a gap of 1e-12."""
    q1, q2 = np.array([0.5, 2.0, 1.0, 1.0]), np.array([0.5, 1.0, 1.0, 1.0])
    gap = np.array([0.2, 0.7, 1.5, 1e-12])
    found, expected = pair_laws.by_quadrature(name)(q1, q2, gap), pair_laws.LAWS[name](q1, q2, gap)
    for one, other in zip((*found.top, *found.drop), (*expected.top, *expected.drop), strict=True):
        np.testing.assert_allclose(one[:3], other[:3], atol=error)
    assert found.drop.second[3] == pytest.approx(expected.drop.second[3], rel=max(error, 1e-4))


# the recursion


def naive(stack: TokenStack, start: int = 0) -> tuple[float, float, float]:
    """log tr(M)/T and log tr(PM)/T from block `start` on, and the mean correlation at the end: Σ and M as they are."""
    tokens, (on_input, on_branch, on_sum) = stack.tokens, stack.norms
    seen = np.tri(tokens) if stack.causal else np.ones((tokens, tokens))
    a = seen / seen.sum(axis=1, keepdims=True)
    sigma = stack.variance * ((1 - stack.correlation) * np.eye(tokens) + stack.correlation)
    m = np.eye(tokens)
    for block in range(stack.depth):
        scale, gain = (np.broadcast_to(v, stack.depth)[block] ** 2 for v in (stack.scale, stack.norm_gain))
        m = np.eye(tokens) if block == start else m
        for attention in (True, False):
            s, j, q = sigma, m, np.diag(sigma)
            if on_input:
                s, j = gain * s / np.sqrt(np.outer(q, q)), gain * j / np.sqrt(np.outer(q, q))
            if attention:
                s, j = stack.attention_gain * a @ s @ a.T, stack.attention_gain * a @ j @ a.T
            else:
                q = stack.inner_gain * np.diag(s)
                moments = kernel(stack.activation, q[:, None], q, stack.inner_gain * s)
                j = stack.inner_gain * stack.outer_gain * moments.derivative_second * j
                s = stack.outer_gain * moments.second
            if on_branch:
                q = np.diag(s)
                s, j = s / np.sqrt(np.outer(q, q)), j / np.sqrt(np.outer(q, q))
            sigma, m = stack.strength**2 * sigma + scale * s, stack.strength**2 * m + scale * j
            if on_sum:
                q = np.diag(sigma)
                sigma, m = sigma / np.sqrt(np.outer(q, q)), m / np.sqrt(np.outer(q, q))
    q = np.diag(sigma)
    rho = float((sigma / np.sqrt(np.outer(q, q))).sum() - tokens) / (tokens**2 - tokens)
    total, mean = float(np.trace(m)) / tokens, float(m.sum()) / tokens**2
    return math.log(total), math.log(total - mean), rho


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("placement", NORMS)
@pytest.mark.parametrize("activation", PHI)
def test_the_naive_recursion(activation: str, placement: str, causal: bool) -> None:
    """Both directions from every block and the correlations; 1e-9, what the naive recursion keeps of relu near ρ = 1."""
    scale, gain = (1.0, 0.8, 0.5, 1.2), (0.5, 1.0, 1.5, 0.7) if NORMS[placement][0] else (1.0,) * 4
    stack = TokenStack(5, 4, NORMS[placement], activation, causal, 0.7, 1.3, 0.9, 0.2, 1.6, 1.1, scale, gain)
    found = token_norms(stack)
    for block in range(4):
        total, differential, rho = naive(stack, block)
        assert found.backward_total[block] == pytest.approx(total, abs=1e-12)
        assert found.backward_differential[block] == pytest.approx(differential, abs=1e-9)
        shorter = replace(stack, depth=block, scale=scale[:block], norm_gain=gain[:block])
        total, differential, rho = naive(shorter)
        assert found.forward_total[block] == pytest.approx(total, abs=1e-12)
        assert found.forward_differential[block] == pytest.approx(differential, abs=1e-9)
        assert found.correlation[block] == pytest.approx(rho, abs=1e-12)


def test_the_ends_agree() -> None:
    for placement in NORMS:
        for causal in (False, True):
            found = token_norms(TokenStack(5, 60, NORMS[placement], "gelu", causal, correlation=0.4))
            assert found.forward_total[-1] == pytest.approx(found.backward_total[0], abs=1e-12)
            assert found.forward_differential[-1] == pytest.approx(found.backward_differential[0], abs=1e-11)
            starts = [found.forward_total[0], found.backward_total[-1]]
            ends = [found.forward_differential[0], found.backward_differential[-1]]
            np.testing.assert_allclose([*starts, *ends], [0, 0, math.log(0.8), math.log(0.8)], atol=1e-12)


def test_golden_rows() -> None:
    """Rows 17 and 18 (σ_f² is the outer gain at inner gain 1); the causal values to the digits of THEORY.md's section 5."""
    assert math.exp(linear_attention_norm(4, 3, 0.8)) == pytest.approx(2.208, rel=1e-12)
    assert math.exp(linear_attention_norm(4, 3, 0.8, causal=True)) == pytest.approx(3.813252572016461, rel=1e-12)
    expected = {
        "none": (16.43506051321935, 43.81, 0.005),
        "pre": (3.3103902880221696, 4.663, 0.0005),
        "post": (0.4242231412985906, 0.7139, 0.00005),
        "sandwich": (4.908400292165369, 6.687, 0.0005),
    }
    for placement, (both_ways, causal, digit) in expected.items():
        stack = TokenStack(6, 4, NORMS[placement], correlation=0.3)
        assert math.exp(token_norms(stack).forward_total[-1]) == pytest.approx(both_ways, rel=1e-9)
        assert math.exp(token_norms(replace(stack, causal=True)).forward_total[-1]) == pytest.approx(causal, abs=digit)


@pytest.mark.parametrize("causal", [False, True])
def test_linear_attention_is_the_recursion_without_ffn(causal: bool) -> None:
    """Without a norm the tokens' Gram does not matter."""
    found = token_norms(TokenStack(6, 40, NORMS["none"], "tanh", causal, 0.6, outer_gain=0.0, correlation=-0.1))
    expected = [linear_attention_norm(6, depth, 0.6, causal) for depth in range(41)]
    np.testing.assert_allclose(found.forward_total, expected, atol=1e-11)
    np.testing.assert_allclose(found.backward_total[::-1], expected, atol=1e-11)


def test_linear_attention_is_no_product_over_layers() -> None:
    """(1 + σ²/T)^L is 79 where the norm is 3.3e5, 1 + ((1 + σ²)^L - 1)/T."""
    norm = math.exp(linear_attention_norm(4, 24, 0.8))
    assert norm == pytest.approx(1 + (1.8**24 - 1) / 4, rel=1e-12)
    product = (1 + 0.8 / 4) ** 24
    assert product == pytest.approx(79.5, abs=0.05) and norm == pytest.approx(3.3e5, rel=0.02)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    assert math.exp(linear_attention_norm(4, 1, 0.8, causal=True)) == pytest.approx(1 + 0.8 * harmonic / 4)


def test_linear_attention_at_width_two_is_the_mean_over_sampled_weights() -> None:
    """Exact Jacobians of 40,000 networks of width 2, within 4 standard errors."""
    a = np.tri(3) / np.arange(1, 4)[:, None]
    weights = np.random.default_rng(0).standard_normal((40_000, 2, 2, 2)) * math.sqrt(0.8 / 2)
    layers = np.eye(6) + np.einsum("st,blij->blsjti", a, weights).reshape(40_000, 2, 6, 6)
    norm = ((layers[:, 1] @ layers[:, 0]) ** 2).sum(axis=(1, 2)) / 6
    expected = math.exp(linear_attention_norm(3, 2, 0.8, causal=True))
    assert abs(norm.mean() - expected) <= 4 * norm.std() / 200


def test_without_attention_every_token_is_a_chain() -> None:
    """relu, pre: 𝒥 = K_L / K_0 = 1 + L/2 (homogeneous), whatever the correlation; DeepNorm's constants keep it near one."""
    found = token_norms(TokenStack(3, 30, NORMS["pre"], attention_gain=0.0, correlation=0.5))
    np.testing.assert_allclose(np.exp(found.forward_total), 1 + np.arange(31) / 2, rtol=1e-12)
    alpha, beta = (2 * 12) ** 0.25, (8 * 12) ** -0.25
    deep = TokenStack(3, 12, NORMS["post"], "gelu", False, 0.0, beta**2, beta**2, strength=alpha)
    factor = (alpha**2 + beta**4 * MOMENTS["gelu"](np.array(beta**2)).derivative_second) / (
        alpha**2 + beta**2 * MOMENTS["gelu"](np.array(beta**2)).second
    )
    # the attention sublayer adds nothing: the norm takes the strength out again
    np.testing.assert_allclose(token_norms(deep).forward_total, np.arange(13) * math.log(factor), atol=1e-12)


def test_layernorm_scaling_is_a_branch_scale_where_the_branch_is_homogeneous() -> None:
    gains = tuple(1 / math.sqrt(block) for block in range(1, 9))
    stack = TokenStack(4, 8, NORMS["pre"], "relu", correlation=0.2)
    np.testing.assert_allclose(
        token_norms(replace(stack, norm_gain=gains)).forward_total,
        token_norms(replace(stack, scale=gains)).forward_total,
        atol=1e-12,
    )


# rank collapse


def test_rank_collapse_is_invisible_in_the_total() -> None:
    """Post norm, T = 16, ρ = 0.3, relu: the total saturates, the differential decays by (1 + σ_a²)^(-1/2) a block."""
    ends = []
    for depth in (6, 12, 24, 48):
        found = token_norms(TokenStack(16, depth, NORMS["post"], correlation=0.3))
        ends.append(math.exp(found.forward_total[-1]))
    np.testing.assert_allclose(ends, [0.1693, 0.1229, 0.12056, 0.12053], atol=5e-5)
    for gain in (0.5, 1.0, 2.0):
        found = token_norms(TokenStack(16, 400, NORMS["post"], attention_gain=gain, correlation=0.3))
        rate = np.diff(found.forward_differential)
        assert rate[-1] == pytest.approx(-math.log(1 + gain) / 2, abs=1e-9)
        assert abs(np.diff(found.forward_total)[-1]) < 1e-9
        assert np.diff(np.log(found.separation))[-1] == pytest.approx(-math.log(1 + gain), abs=1e-9)


@pytest.mark.parametrize("activation", ["linear", "erf", "gelu", "tanh"])
def test_smooth_activations_collapse_faster(activation: str) -> None:
    """relu's gates differ by √(1 - ρ). Smooth slopes differ by 1 - ρ, which shrinks by itself as 1/(1 + σ_a²) a block.

    With a = S(1), c = V(1) the energy of the mean and the squared distance of tokens each gain (1 + a)/(1 + c) a block.
    """
    found = token_norms(TokenStack(3, 600, NORMS["post"], activation, attention_gain=0.5))
    moments = MOMENTS[activation](np.ones(()))
    growth = math.log((1 + float(moments.derivative_second)) / (1 + float(moments.second)))
    assert np.diff(found.forward_total)[-1] == pytest.approx(growth, abs=1e-9)
    assert np.diff(np.log(found.separation))[-1] == pytest.approx(growth - math.log(1.5), abs=1e-9)
    assert np.diff(found.forward_differential)[-1] == pytest.approx(2 * growth - math.log(1.5), abs=1e-6)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_causal_attention_collapses_more_slowly(gain: float) -> None:
    """Its A has eigenvalues 1, 1/2, ...: the slowest difference shrinks by (1 + σ_a²/4)/(1 + σ_a²)."""
    found = token_norms(TokenStack(5, 400, NORMS["post"], causal=True, attention_gain=gain, correlation=0.3))
    rate = math.log((1 + gain / 4) / (1 + gain))
    assert np.diff(np.log(found.separation))[-1] == pytest.approx(rate, abs=1e-6)
    assert np.diff(found.forward_differential)[-1] == pytest.approx(rate / 2, abs=1e-6)


@pytest.mark.parametrize("placement", ["pre", "sandwich"])
def test_norms_before_the_branch_collapse_by_a_power_of_depth(placement: str) -> None:
    """log(𝒥_⊥/𝒥) against log depth: the slope settles, where an exponential would double it with the depth."""
    found = token_norms(TokenStack(8, 1600, NORMS[placement], correlation=0.3))
    ratio = found.forward_differential - found.forward_total
    slopes = [float(ratio[2 * depth] - ratio[depth]) / math.log(2) for depth in (200, 400, 800)]
    assert all(-1.5 < slope < 0 for slope in slopes)
    assert abs(slopes[2] - slopes[1]) < 0.1


def test_depth_ten_thousand() -> None:
    """The totals are finite; the differential is where it is more than 1e-290 of the total, and nan, not noise, beyond."""
    for placement in ("none", "pre"):
        found = token_norms(TokenStack(3, 10_000, NORMS[placement], causal=placement == "pre"))
        assert np.isfinite(found.forward_total).all() and np.isfinite(found.backward_total).all()
        held = np.isfinite(found.forward_differential)
        assert held[:400].all() and (held.all() == (placement == "pre"))
        assert found.backward_total[0] == pytest.approx(found.forward_total[-1], rel=1e-10, abs=1e-10)
    expected = 10_000 * math.log1p(0.8) - math.log(4)
    assert linear_attention_norm(4, 10_000, 0.8) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("placement", NORMS)
def test_edges(placement: str) -> None:
    """No blocks; branches scaled to nothing; equal tokens; a stream that dies away: finite, and exact where known."""
    empty = token_norms(TokenStack(3, 0, NORMS[placement]))
    assert empty.forward_total.tolist() == [0.0] and empty.backward_total.tolist() == [0.0]
    still = token_norms(TokenStack(3, 5, NORMS[placement], scale=0.0, correlation=0.2))
    np.testing.assert_allclose(still.forward_total, 0, atol=1e-12)
    np.testing.assert_allclose(still.separation, 0.8, rtol=1e-12)
    equal = token_norms(TokenStack(3, 5, NORMS[placement], correlation=1.0))
    assert equal.separation.tolist() == [0.0] * 6 and np.isfinite(equal.forward_differential).all()
    scale = (0.0,) * 1999 + (1.0,)
    dying = TokenStack(3, 2000, NORMS[placement], strength=0.5, scale=scale, correlation=0.2)
    for stack in (dying, replace(dying, causal=True)):
        found = token_norms(stack)
        assert np.isfinite([found.forward_total, found.backward_total]).all()
        # where the branch ends up alone, attention to all has made the tokens equal
        lost = not stack.causal and placement in ("pre", "res_post", "sandwich")
        assert math.isnan(found.forward_differential[-1]) == math.isnan(found.backward_differential[0]) == lost


# sampled transformers

TOKENS, WIDTH, DEPTH, PROBES, DRAWS = 4, 256, 2, 6, 120


def transformer(x: Tensor, weights: list[list[Tensor]], placement: str, causal: bool) -> Tensor:
    """Blocks of uniform attention with a value and an output matrix, and relu FFNs; x is [..., T, n]."""
    seen = torch.ones(TOKENS, TOKENS, dtype=x.dtype)
    seen = seen.tril() if causal else seen
    a = seen / seen.sum(dim=1, keepdim=True)
    norm = [(lambda z: F.layer_norm(z, (WIDTH,), eps=0.0)) if there else (lambda z: z) for there in NORMS[placement]]
    for value, output, inner, outer in weights:
        x = norm[2](x + norm[1](a @ norm[0](x) @ value @ output))
        x = norm[2](x + norm[1](torch.relu(norm[0](x) @ inner) @ outer))
    return x


def pushed(function: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> Tensor:
    """J u for each of the probes u."""
    image: Tensor = torch.func.jvp(function, (x.expand_as(probes).clone(),), (probes,))[1]
    return image


@pytest.fixture(scope="module")
def sampled() -> dict[tuple[str, bool], Array]:
    """Energies ‖Ju‖²/(nT) and ‖PJu‖²/(nT), [DRAWS, 2], means over probes u; weights shared by all stacks.

    Tokens have the Gram matrix (1 - 0.3) 1 + 0.3 · 11ᵀ exactly, and no mean over units.
    """
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"dtype": torch.float64, "generator": generator}
    root = torch.linalg.cholesky(0.7 * torch.eye(TOKENS, dtype=torch.float64) + 0.3)
    energies: dict[tuple[str, bool], list[list[float]]] = {(p, c): [] for p in NORMS for c in (False, True)}
    for _ in range(DRAWS):
        frame = torch.randn(WIDTH, TOKENS, **options)
        x = root @ torch.linalg.qr(frame - frame.mean(dim=0)).Q.T * math.sqrt(WIDTH)
        weights = [[torch.randn(WIDTH, WIDTH, **options) / math.sqrt(WIDTH) for _ in range(4)] for _ in range(DEPTH)]
        probes = torch.randn(PROBES, TOKENS, WIDTH, **options)
        for (placement, causal), rows in energies.items():
            image = pushed(partial(transformer, weights=weights, placement=placement, causal=causal), x, probes)
            apart = image - image.mean(dim=1, keepdim=True)
            rows.append([float((z**2).sum() / image.numel()) for z in (image, apart)])
    return {key: np.array(rows) for key, rows in energies.items()}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("placement", NORMS)
def test_sampled_transformers(placement: str, causal: bool, sampled: dict[tuple[str, bool], Array]) -> None:
    """Within 4 standard errors and 1.5 · depth/n of infinite width; branches with 10% more energy are told apart.

    Compared are the total, the differential and their ratio, whose error is small: they fluctuate together.
    """
    found = sampled[placement, causal]
    mean = found.mean(axis=0)
    total, differential = (found / mean).T
    spread = np.std([total, differential, differential - total], axis=1, ddof=1)

    def agrees(norms: TokenNorms) -> bool:
        expected = np.exp([norms.forward_total[-1], norms.forward_differential[-1]])
        off = mean / expected - 1
        deviations = np.array([*off, (1 + off[1]) / (1 + off[0]) - 1])
        return bool((np.abs(deviations) <= 4 * spread / math.sqrt(DRAWS) + 1.5 * DEPTH / WIDTH).all())

    stack = TokenStack(TOKENS, DEPTH, NORMS[placement], causal=causal, correlation=0.3)
    assert agrees(token_norms(stack))
    assert not agrees(token_norms(replace(stack, scale=math.sqrt(1.1))))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_softmax_branches(correlation: float) -> None:
    """T = 48, v = 0.25, both paths (values and logits) of one head: within 4 standard errors and 5% (leading order)."""
    tokens, width, v = 48, 128, 0.25
    generator = torch.Generator().manual_seed(3)
    options: dict[str, Any] = {"dtype": torch.float64, "generator": generator}
    energies = []
    for _ in range(24):
        shared, own = torch.randn(1, width, **options), torch.randn(tokens, width, **options)
        x = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        query, key, value = (torch.randn(width, width, **options) / math.sqrt(width) for _ in range(3))

        def branch(z: Tensor, q: Tensor = query, k: Tensor = key, w: Tensor = value) -> Tensor:
            logits = math.sqrt(v / width) * (z @ q) @ (z @ k).transpose(-2, -1)
            return torch.softmax(logits, dim=-1) @ z @ w

        probes = torch.randn(16, tokens, width, **options)
        image = pushed(branch, x, probes)
        energies.append(float((image**2).sum() / image.numel()))
    mean, error = np.mean(energies), np.std(energies, ddof=1) / math.sqrt(len(energies))
    seen = np.array(tokens)
    expected = softmax_moments(seen, v * (1 - correlation))[1]
    assert abs(mean - expected) <= 4 * error + 0.05 * expected
    assert softmax_moments(seen, 400.0 * (1 - correlation))[1] == pytest.approx(1)  # one weight is all
    uniform = softmax_moments(seen, 0.0)[1]
    assert uniform == pytest.approx(1 / tokens) and mean > 1.3 * uniform


# what is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", 1),
        ("depth", -1),
        ("activation", "swish"),
        ("attention_gain", -0.1),
        ("attention_gain", math.nan),
        ("inner_gain", 0.0),
        ("outer_gain", math.inf),
        ("correlation", -0.5),
        ("correlation", 1.1),
        ("variance", 0.0),
        ("strength", 0.0),
        ("scale", (1.0, 1.0)),
        ("scale", -1.0),
        ("norm_gain", 0.0),
    ],
)
def test_bad_stacks_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{field}` must be"):
        TokenStack(**{"tokens": 4, "depth": 3, field: value})  # type: ignore[arg-type]


def test_what_a_placement_rules_out_is_refused() -> None:
    with pytest.raises(ValueError, match="`norm_gain` must be 1 without a norm"):
        TokenStack(4, 3, NORMS["post"], norm_gain=0.5)
    with pytest.raises(ValueError, match="`attention_gain` must be a finite number greater than 0"):
        TokenStack(4, 3, NORMS["sandwich"], attention_gain=0.0)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="`activation` must be one of linear, relu"):
        kernel("swish", 1.0, 1.0, 0.0)
