"""The sampled score stops when it is precise enough, its intervals are right then, and racing stops only what is worse."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.kinds.tiles import tile
from nasjac.mathematics.rank_correlation import kendall_tau
from nasjac.sampling.samples import Samples
from nasjac.scores.apjn import Apjn
from tests.kinds.test_population import random_spec

# quantiles of Student's t, 97.5%, by draws
T_QUANTILES = {16: 2.131, 24: 2.069, 32: 2.040, 48: 2.012, 64: 1.998, 80: 1.990, 96: 1.985, 112: 1.982, 128: 1.979}
REPETITIONS = 240
CPU = torch.device("cpu")
SPECS = {
    "none relu": Spec.of(width=16, blocks=(Block(),) * 4),
    "pre gelu": Spec.of(width=16, blocks=(Block(),) * 3, placement="pre", activation="gelu"),
}
COSTLY = Spec.of(width=16, blocks=(Block(skip=0), Block()) * 4, weight_gain=1.8)
CHEAP = Spec.of(width=16, blocks=(Block(scale=0.3),) * 8, weight_gain=1.0)


def inputs() -> torch.Tensor:
    return torch.randn(200, 10, generator=torch.Generator().manual_seed(1))


def without_time(measurement: Measurement) -> Measurement:
    return replace(measurement, seconds=0)


@pytest.mark.parametrize("name", SPECS)
def test_intervals_cover_the_truth_after_early_stopping(name: str) -> None:
    """95% intervals of 240 measurements, each stopped when its own standard error was small enough, cover 90 to 99%.

    The truth is the float64 value of 16,384 draws, whose own error is a tenth of a measurement's at most.
    """
    spec = SPECS[name]
    [exact] = Apjn(draws=16384, rel_error=None, dtype="float64", seed=10**6).measure([spec], inputs(), CPU)
    truth = exact.terms["trainability_cost"].value
    assert truth is not None
    [first] = Apjn(rel_error=None).measure([spec], inputs(), CPU)
    asked = 0.6 * float(first.terms["trainability_cost"].standard_error or 0)
    covered, draws = [], []
    for seed in range(REPETITIONS):
        [found] = Apjn(rel_error=asked, max_draws=128, seed=seed).measure([spec], inputs(), CPU)
        value, error = found.terms["trainability_cost"].value, found.terms["trainability_cost"].standard_error
        assert value is not None and error is not None
        assert found.precision_reached is (error <= asked) and (found.precision_reached or found.draws == 128)
        covered.append(abs(value - truth) < T_QUANTILES[found.draws] * error)
        draws.append(found.draws)
    assert len(set(draws)) > 2, "stopped at different draws"
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("plan", ["independent", "forward"])
def test_precise_candidates_leave_and_the_others_go_on(plan: str, device: torch.device) -> None:
    """Bit for bit what each is alone, in any order, although they stop after different numbers of draws."""
    rng = random.Random(2)
    specs = [random_spec(rng) for _ in range(20)]
    score = Apjn(rel_error=0.15, max_draws=96, plan=plan)
    together = [without_time(m) for m in score.measure(specs, inputs(), device)]
    assert together == [without_time(m) for m in score.measure(specs[::-1], inputs(), device)][::-1]
    assert together == [
        without_time(Apjn(rel_error=0.15, max_draws=96, plan=plan).measure([s], inputs(), device)[0]) for s in specs
    ]
    assert len({m.draws for m in together if m.status == "ok"}) > 2
    for found in together:
        error = found.terms[score.objective].standard_error
        if found.status == "ok":
            assert error is not None and found.precision_reached is (error <= 0.15)
            assert found.precision_reached or found.draws == 96
        else:
            assert found.precision_reached is None


def test_without_a_precision_there_is_one_round() -> None:
    [found] = Apjn(rel_error=None).measure([COSTLY], inputs(), CPU)
    assert found.draws == 16 and found.precision_reached is None and not found.raced


def test_forward_gives_the_norm_alone() -> None:
    """The same tangents through the same weights, so the same spread within its error; no rank, no cost."""
    [whole] = Apjn(rel_error=None, draws=256).measure([SPECS["pre gelu"]], inputs(), CPU)
    [part] = Apjn(rel_error=None, draws=256, plan="forward").measure([SPECS["pre gelu"]], inputs(), CPU)
    for name in ("log_mean", "mean_log", "sd_log", "log_decorrelation"):
        one, other = whole.terms[name], part.terms[name]
        assert one.value is not None and other.value is not None and other.standard_error is not None
        assert abs(one.value - other.value) < 4 * other.standard_error + 1e-6
    assert part.terms["trainability_cost"].value is None and part.terms["log_rank"].value is None
    assert {layer.direction for layer in part.profile} == {"forward"}


def test_racing_stops_what_is_certainly_worse_and_nothing_else() -> None:
    score = Apjn(rel_error=0.02, max_draws=128)
    [alone] = score.measure([COSTLY], inputs(), CPU)
    raced, same, free = score.race([COSTLY, CHEAP, COSTLY], inputs(), CPU, [CHEAP, CHEAP, None])
    assert raced.raced and raced.draws < alone.draws == 128
    assert not same.raced and not free.raced and without_time(free) == without_time(alone)
    costs = [m.terms["trainability_cost"] for m in (raced, same)]
    assert costs[0].value is not None and costs[1].value is not None
    assert costs[0].value - costs[1].value > 4 * np.hypot(costs[0].standard_error or 0, costs[1].standard_error or 0)


def test_out_of_memory_halves_the_tile_and_no_value_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(4)
    specs = [random_spec(rng) for _ in range(24)]
    calm = [without_time(m) for m in Apjn(rel_error=None).measure(specs, inputs(), CPU)]
    run = tile.Tile.run

    def scarce(self: tile.Tile, samples: torch.Tensor, vocabulary: int | None) -> list[Samples]:
        if len(self.routes.depths) > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return run(self, samples, vocabulary)

    monkeypatch.setattr(tile.Tile, "run", scarce)
    score = Apjn(rel_error=None)
    assert [without_time(m) for m in score.measure(specs, inputs(), CPU)] == calm
    assert score.provenance["tiles_halved"] > 0 and score.provenance["largest_tile"] <= 5


def test_an_architecture_without_memory_says_so_and_touches_no_one_else(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [COSTLY, CHEAP, *SPECS.values()]
    calm = [without_time(m) for m in Apjn(rel_error=None).measure(specs, inputs(), CPU)]
    run = tile.Tile.run

    def scarce(self: tile.Tile, samples: torch.Tensor, vocabulary: int | None) -> list[Samples]:
        if any(spec.weight_gain == COSTLY.weight_gain for spec in self.routes.specs):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, samples, vocabulary)

    monkeypatch.setattr(tile.Tile, "run", scarce)
    bad, *rest = [without_time(m) for m in Apjn(rel_error=None).measure(specs, inputs(), CPU)]
    assert rest == calm[1:]
    assert bad.status == "out_of_memory" and bad.reason and bad.terms["trainability_cost"].value is None


def test_memory_bounds_the_tiles_and_no_value_changes() -> None:
    rng = random.Random(6)
    specs = [random_spec(rng) for _ in range(24)]
    wide, narrow = Apjn(rel_error=None), Apjn(rel_error=None, max_memory=1e-3)
    free, bounded = ([without_time(m) for m in score.measure(specs, inputs(), CPU)] for score in (wide, narrow))
    assert free == bounded
    assert narrow.provenance["largest_tile"] < wide.provenance["largest_tile"]


def test_rankings_survive_products_in_bfloat16() -> None:
    rng = random.Random(8)
    specs = list({spec.key: spec for spec in (random_spec(rng) for _ in range(60)) if spec.blocks}.values())
    pairs = zip(
        *(Apjn(rel_error=None, dtype=name).measure(specs, inputs(), CPU) for name in ("float32", "bf16")), strict=True
    )
    costs = [[m.terms["trainability_cost"].value for m in pair] for pair in pairs if all(m.status == "ok" for m in pair)]
    assert len(costs) > 40
    assert kendall_tau(*np.array(costs, dtype=float).T) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rel_error": 0.0}, "`score.rel_error` must be a finite number greater than 0"),
        ({"max_memory": -1.0}, "`score.max_memory` must be a finite number greater than 0"),
        ({"plan": "batched"}, "`score.plan` must be one of independent, forward"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Apjn(**options)  # type: ignore[arg-type]


def test_tf32_wants_a_gpu() -> None:
    with pytest.raises(ValueError, match="tf32 must be computed on a GPU"):
        Apjn(dtype="tf32").measure([CHEAP], inputs(), CPU)
