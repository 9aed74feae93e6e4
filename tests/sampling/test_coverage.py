"""95% intervals of the sampled terms cover exact Jacobians in 90 to 99% of measurements, at small widths and any draws.

An interval is value ± t × standard error, t the quantile of Student's distribution with D − 1 degrees of freedom. The
architectures here are not those on which the estimators were chosen. `scripts/coverage` prints the table.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nasjac import Block, Spec
from nasjac.sampling.estimators import NAMES, terms
from tests.sampling.exact_jacobians import Population, population

A, F, CUT = Block(op="attention"), Block(), Block(skip=0)
#: kind and width -> Spec, inputs
QUICK = {
    "mlp 8, post": (Spec.of(width=8, blocks=(F, F, CUT, F), placement="post", activation="tanh", weight_gain=1.3), 10),
    "mlp 12, plain": (Spec.of(width=12, blocks=(F, CUT, CUT, F, CUT), weight_gain=1.2), 10),
    "decoder 8, pre": (
        Spec.of(
            width=8,
            blocks=(A, F) * 2,
            kind="transformer_lm",
            placement="pre",
            norm="rmsnorm",
            positions="rotary",
            context=4,
        ),
        12,
    ),
}
SLOW = {
    "mlp 16, residual": (Spec.of(width=16, blocks=(F,) * 8, activation="gelu", weight_gain=0.9), 10),
    "mlp 24, sandwich": (Spec.of(width=24, blocks=(F, CUT) * 3, placement="sandwich", activation="erf"), 10),
    "decoder 12, none": (
        Spec.of(
            width=12, blocks=(A, F, A, CUT), kind="transformer_lm", activation="gelu", heads=3, context=5, weight_gain=1.2
        ),
        12,
    ),
    "decoder 16, res_post": (
        Spec.of(width=16, blocks=(A, F) * 2, kind="transformer_lm", placement="res_post", heads=4, context=6),
        12,
    ),
    "vit 8, post": (
        Spec.of(width=8, blocks=(A, F) * 2, kind="vit", placement="post", heads=2, context=9, shape=(1, 6, 6), patch=2),
        36,
    ),
    "resnet 8": (
        Spec.of(
            width=8,
            blocks=(Block(op="basic"), Block(op="basic", stage=1)),
            kind="resnet",
            norm="groupnorm",
            shape=(1, 4, 4),
        ),
        16,
    ),
    "resnet 8, bottleneck": (
        Spec.of(width=8, blocks=(Block(op="bottleneck"),) * 3, kind="resnet", norm="none", order="pre", shape=(1, 3, 3)),
        9,
    ),
    "densenet 8": (
        Spec.of(width=8, blocks=(Block(op="dense"),) * 3, kind="densenet", norm="groupnorm", growth=4, shape=(1, 3, 3)),
        9,
    ),
}
#: draws of a measurement -> how many are made
REPETITIONS = {16: 1500, 64: 600, 1024: 200}
REPORTED = ("trainability_cost", "trainability_penalty", "mean_log", "sd_log", "log_rank", "log_decorrelation")


def coverage(truth: Population, draws: int, repetitions: int) -> dict[str, float]:
    """The share of measurements of so many draws whose intervals hold the truth, by term."""
    generator, quantile = np.random.default_rng(draws), stats.t.ppf(0.975, draws - 1)
    exact = np.array([truth.terms[name] for name in REPORTED])
    chosen = [NAMES.index(name) for name in REPORTED]
    inside = []
    for _ in range(repetitions):
        found = terms([truth.measured(draws, generator)])
        inside.append(np.abs(found.values[chosen] - exact) < quantile * found.errors[chosen])
    return dict(zip(REPORTED, np.mean(inside, axis=0), strict=True))


def check(truth: Population, draws: int, repetitions: int) -> None:
    """Within 90 and 99%, but for 3 standard errors of the share itself."""
    found = coverage(truth, draws, repetitions)
    slack = [3 * (share * (1 - share) / repetitions) ** 0.5 for share in (0.9, 0.99)]
    wrong = {name: share for name, share in found.items() if not 0.9 - slack[0] <= share <= 0.99 + slack[1]}
    assert not wrong, f"{draws} draws"


@pytest.mark.parametrize("name", QUICK)
def test_intervals_cover_exact_jacobians(name: str) -> None:
    truth = population(*QUICK[name], draws=300)
    for draws, repetitions in ((16, 400), (64, 200)):
        check(truth, draws, repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK | SLOW)
def test_intervals_cover_exact_jacobians_of_every_kind(name: str) -> None:
    truth = population(*(QUICK | SLOW)[name], draws=1500)
    for draws, repetitions in REPETITIONS.items():
        check(truth, draws, repetitions)
