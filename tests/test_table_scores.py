"""Contracts of the scores of tables, and each against its definition."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nasjac.networks.cell201 import Cell201
from nasjac.scores import TABLE_SCORES
from nasjac.scores.live_decorrelation import LiveDecorrelation, reference_population
from nasjac.scores.log_rank import LogRank
from nasjac.scores.synflow import Synflow
from nasjac.scores.tabular import Scored, TableScore, only_draw
from nasjac.spaces.nasbench201 import NasBench201

SPACE, CPU = NasBench201(), torch.device("cpu")
#: small passes
OPTIONS = {
    "live_decorrelation": LiveDecorrelation(draws=1, images=4, channels=2, pixels=8),
    **{name: TABLE_SCORES[name](images=4) for name in ("synflow", "jacob_cov", "naswot")},  # type: ignore[operator]
}
DEAD = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
SKIPS = "|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|"


def images() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def scored(score: TableScore, cells: list[Cell201]) -> list[float | None]:
    done: list[int] = []
    found = score(SPACE, cells, images(), CPU, done.append)
    assert done[-1] == len(cells) == len(found) and all(isinstance(item, Scored) for item in found)
    return [item.value for item in found]


@pytest.mark.parametrize("name", TABLE_SCORES)
def test_a_value_depends_on_the_architecture_alone(name: str) -> None:
    """Not on company, order or repetition (float32 rounding)."""
    score = OPTIONS.get(name, TABLE_SCORES[name])
    cells = [*SPACE.random(3, seed=1), Cell201.from_arch(SKIPS)]
    together = scored(score, cells)  # type: ignore[arg-type]
    assert None not in together
    assert scored(score, cells[::-1])[::-1] == pytest.approx(together, rel=1e-3)  # type: ignore[arg-type]
    assert scored(score, cells[1:2]) == pytest.approx(together[1:2], rel=1e-3)  # type: ignore[arg-type]
    assert score.name == name


def test_nothing_alive_is_below_everything() -> None:
    dead, skips, *_ = scored(OPTIONS["live_decorrelation"], [Cell201.from_arch(DEAD), Cell201.from_arch(SKIPS)])
    assert dead == -math.inf and skips is not None and math.isfinite(skips)


def test_dead_edges_change_nothing() -> None:
    cell = Cell201.from_arch("|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|")
    assert cell.canonical != cell
    first, second = scored(OPTIONS["live_decorrelation"], [cell, cell.canonical])
    assert first == pytest.approx(second, rel=1e-6)


def test_the_reference_population_is_frozen() -> None:
    """The same architectures for ever: a score would not be comparable otherwise."""
    texts = " ".join(cell.to_json() for cell in reference_population(SPACE, 256))
    assert hashlib.sha256(texts.encode()).hexdigest()[:12] == "365ab826068f"


def test_log_ranks() -> None:
    """Of the reference: log of its shares; monotone, continuous, linear beyond the ends, the same in any company."""
    reference = np.random.default_rng(0).normal(size=100)
    rank = LogRank(reference)
    assert rank(np.sort(reference)) == pytest.approx(np.log((np.arange(100) + 1) / 101))
    x = np.linspace(-9, 9, 1001)
    ranks = rank(x)
    assert (np.diff(ranks) > 0).all() and rank(x[5:6]) == ranks[5:6]
    for side in (slice(0, 300), slice(701, 1001)):
        assert np.diff(ranks[side], 2) == pytest.approx(0, abs=1e-9)
    assert rank([-math.inf])[0] == -math.inf
    tied = LogRank([0] * 5 + [1] * 5)
    assert tied([0, 1]) == pytest.approx(np.log([3 / 11, 8 / 11]))
    for few in ([1.0, 2.0], [1.0] * 20):
        with pytest.raises(ValueError, match="`reference` must hold at least 8 values, not all equal"):
            LogRank(few)


def test_synflow_is_the_derivative_along_the_weights() -> None:
    """Σ θ ∂R/∂θ against finite differences: R with all weights (1 + ε) θ, along the same direction, in float64."""
    [cell] = SPACE.random(1, seed=5)
    [value] = scored(Synflow(), [cell])
    network = SPACE.network(cell, only_draw(0, CPU)).double().eval()
    for parameter in network.parameters():
        parameter.detach().abs_()

    def outputs(factor: float) -> float:
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.detach().mul_(factor)
        with torch.no_grad():
            return float(network(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum())

    step = 1e-4
    above, below = outputs(1 + step), outputs((1 - step) / (1 + step))
    assert value == pytest.approx(math.log((above - below) / (2 * step)), abs=1e-3)


def test_a_synflow_that_overflows_is_missing_with_its_reason() -> None:
    cell = Cell201.from_arch("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")
    [found] = Synflow(dtype="float32")(SPACE, [cell], images(), CPU, lambda _: None)
    assert found.value is None and "not a finite number" in str(found.reason)
    assert scored(Synflow(), [cell])[0] is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, r"`score\.draws` must be a whole number of at least 1, got 0"),
        ({"reference": 10}, r"`score\.reference` must be .* at least 256, got 10"),
        ({"capacity": "depth"}, r"`score\.capacity` must be one of flops, params, got 'depth'"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LiveDecorrelation(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`score\.pixels` must divide .* got 7 for images of 32 x 32"):
        LiveDecorrelation(pixels=7)(SPACE, SPACE.random(1, 0), images(), CPU, lambda _: None)
