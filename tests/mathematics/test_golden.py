"""Golden numbers: every row of golden.json, at its tolerance, from the closed forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.mathematics.gradient_paths import energy_shares, path_lengths
from nasjac.mathematics.meanfield import Columns, expected_norms, fluctuations, growth
from nasjac.mathematics.meanfield.critical import annealed_density, critical_densities, critical_gain, quenched_density
from nasjac.mathematics.meanfield.graphs import densenet, random_dag, zero_padded_conv
from nasjac.mathematics.meanfield.moments import MOMENTS
from nasjac.mathematics.meanfield.norms import layernorm_energy, post_norm_factor, rmsnorm_energy
from nasjac.mathematics.meanfield.token_stack import TokenStack
from nasjac.mathematics.meanfield.tokens import token_norms
from tests.mathematics.closed_forms import (
    edge,
    gated_chain,
    gelu_critical_point,
    linear_attention_norm,
    power_law,
    vector_log_norm,
)
from tests.mathematics.probes import PROBES

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


def chain(depth: int, **columns: Any) -> Columns:
    """One chain of equal blocks, relu without norm unless said otherwise."""
    plain = {"activation": ["relu"], "two_matrix": True, "weight_gain": 1.0, "on_input": False, "on_branch": False}
    return Columns(**{**plain, "on_sum": False, "keep": np.ones((1, depth)), "skip": 1.0, "scale": 1.0, **columns})


def whole(columns: Columns, stream_variance: float = 1.0) -> float:
    """𝒥 of the chain, the same in both directions."""
    found = expected_norms(columns, stream_variance)
    assert found.forward[0, -1] == pytest.approx(found.backward[0, 0], abs=1e-12)
    return math.exp(found.forward[0, -1])


def moments_at_one() -> list[float]:
    return [float(m[0]) for name in ("gelu", "tanh", "erf") for m in MOMENTS[name](np.ones(1))]


def gelu_criticality() -> Sequence[float]:
    weight_variance, bias_variance, fixed_point = found = gelu_critical_point()
    critical = critical_gain("gelu", bias_variance)  # of the line of critical points, where it crosses this bias
    assert critical is not None and critical.weight_variance == pytest.approx(weight_variance, rel=1e-6)
    assert critical.fixed_point == pytest.approx(fixed_point, rel=1e-4)
    return found


def relu_residual_fourth_moments() -> list[float]:
    columns = chain(6)
    found, mean = fluctuations(columns, width=8, hidden=6), whole(columns)
    assert found.exact[0]
    fourth = math.exp(found.forward[0, -1]) * mean**2
    return [fourth, fourth / (8 * math.exp(found.log_effective_rank[0]))]


def relu_residual_relative_variance() -> list[float]:
    return [math.expm1(fluctuations(chain(6), width=8, hidden=6).backward[0, 0])]


def relu_plain_fourth_moment() -> list[float]:
    columns = chain(6, two_matrix=False, skip=0.0, weight_gain=math.sqrt(2))
    found = fluctuations(columns, width=8)
    assert found.exact[0] and whole(columns) == pytest.approx(1, rel=1e-12)
    return [math.exp(found.forward[0, -1])]


def probe_variances() -> list[float]:
    a = torch.diag(torch.arange(1.0, 5.0, dtype=torch.float64)) + 0.5 * (1 - torch.eye(4, dtype=torch.float64))
    return [float(PROBES[kind][1](a)) for kind in ("gaussian", "rademacher", "sphere", "coordinate")]


def pre_norm_power_law() -> list[float]:
    weights = {"two_matrix": False, "weight_gain": math.sqrt(1.5), "outer_bias": 0.2}
    columns = chain(1000, activation=["gelu"], on_input=True, **weights)
    second, derivative = (1.5 * float(m[0]) for m in MOMENTS["gelu"](np.ones(1)))
    c = second + 0.2
    assert math.exp(power_law(derivative / c, 0.7 / c, 1000)) == pytest.approx(whole(columns, 0.7), rel=1e-9)
    return [whole(columns, 0.7), derivative / c]


def critical_density_pair() -> Sequence[float | None]:
    found = [critical.density for critical in critical_densities(chain(20))]  # of a chain, by its root
    assert found == pytest.approx([annealed_density(0.5), quenched_density(0.5)], rel=1e-12)
    return annealed_density(0.5), quenched_density(0.5)


def gate_pattern_moments() -> Sequence[float | None]:
    columns = chain(20, weight_gain=0.8**0.25, skip=0.6)
    found, same = gated_chain(0.4, 20, skip=0.6), expected_norms(columns)
    assert [found.mean_log, found.variance_log] == pytest.approx([same.forward_typical[0, -1], same.gate_variance[0]])
    assert whole(columns) == pytest.approx(1, rel=1e-12)
    return math.exp(found.log_mean), math.exp(found.log_second_moment), found.mean_log, found.variance_log


def pre_norm_gated_identity() -> list[float]:
    return [whole(chain(30, two_matrix=False, weight_gain=math.sqrt(1.5), on_input=True, skip=0.8))]


def pruned_paths() -> list[float]:
    chi = np.array([0.9, 0.5, 0.3, 0.7, 0.2])
    found = path_lengths(energy_shares(chi))
    scale = np.sqrt(2 * chi)[None]  # relu of unit gain has chi = scale² / 2
    return [whole(chain(5, scale=scale)), found.effective_depth, found.variance, found.entropy, found.probability[2]]


def norm_jacobians() -> list[float]:
    x = np.array([1, 2, 4, -3, 0.5])
    return [float(layernorm_energy(x, 0.01)), float(rmsnorm_energy(x, 0.01))]


def post_norm_factors() -> list[float]:
    found = [whole(chain(1, activation=[name], on_sum=True)) for name in ("relu", "gelu", "tanh")]
    moments = [MOMENTS[name](np.ones(1)) for name in ("relu", "gelu", "tanh")]
    assert found == pytest.approx([float(post_norm_factor(s[0], v[0])) for v, s in moments], rel=1e-12)
    return found


def token_gram() -> list[float]:
    placements = (PLACEMENTS[name] for name in ("none", "pre", "post", "sandwich"))
    stacks = (TokenStack(6, 4, placement[:3], correlation=0.3) for placement in placements)
    return [math.exp(token_norms(stack).forward_total[-1]) for stack in stacks]


def uniform_attention() -> list[float]:
    return [math.exp(linear_attention_norm(4, 3, 0.8, causal)) for causal in (False, True)]


def growing_densenet() -> list[float]:
    found = densenet(6, 3, 8, 0.6)
    return [math.exp(found.raw[-1]), math.exp(found.per_unit[-1])]


def growth_rules() -> list[float | None]:
    worst_case, rms, _ = growth.rules(0.05, 0.05, 2.0)
    return [worst_case, rms, edge(0.5), growth.edge_time(2.0)]


COMPUTED: dict[str, Callable[[], Sequence[float | None]]] = {
    "moments_at_one": moments_at_one,
    "gelu_critical_point": gelu_criticality,
    "relu_residual_mean": lambda: [whole(chain(4))],
    "relu_residual_fourth_moments": relu_residual_fourth_moments,
    "relu_residual_relative_variance": relu_residual_relative_variance,
    "relu_plain_fourth_moment": relu_plain_fourth_moment,
    "single_vector_log_norm": lambda: vector_log_norm(16, 20),
    "probe_variances": probe_variances,
    "pre_norm_power_law": pre_norm_power_law,
    "critical_densities": critical_density_pair,
    "gate_pattern_moments": gate_pattern_moments,
    "random_dag": lambda: [math.exp(random_dag(0.3, 0.4, 6).log_energy[-1])],
    "pre_norm_gated_identity": pre_norm_gated_identity,
    "pruned_paths": pruned_paths,
    "norm_jacobians": norm_jacobians,
    "post_norm_factors": post_norm_factors,
    "uniform_attention": uniform_attention,
    "token_gram": token_gram,
    "densenet": growing_densenet,
    "zero_padded_convolution": lambda: [math.exp(zero_padded_conv(5, 5, 3).log_energy[-1])],
    "growth_rules": growth_rules,
}


def test_every_row_is_computed() -> None:
    assert [row["name"] for row in ROWS] == list(COMPUTED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_golden_row(row: dict[str, Any]) -> None:
    np.testing.assert_allclose(COMPUTED[row["name"]](), row["value"], rtol=row["relative_tolerance"], atol=1e-12)  # type: ignore[arg-type]
