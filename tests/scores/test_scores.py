"""What the sampled score says in the corners, and how scores are chosen; their contract is in `test_contracts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.ensemble import members
from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.architecture.spec import Spec
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.samplers.random_specs import random_specs
from nasjac.scores import Merit, Score
from nasjac.scores.apjn import Apjn
from nasjac.testing.scores import without_time

SPECS = [
    Spec.of(width=16, blocks=(Block(), Block(skip=0), Block(scale=0.5)), placement=placement, activation=activation)
    for placement, activation in (("none", "relu"), ("pre", "gelu"), ("post", "tanh"), ("sandwich", "relu"))
]


def inputs() -> torch.Tensor:
    return torch.randn(60, 10, generator=torch.Generator().manual_seed(1))


def test_the_profile_has_every_layer_in_both_directions(device: torch.device) -> None:
    [measurement] = nasjac.measure(SPECS[:1], inputs(), "apjn", device=device)
    names = [(layer.direction, layer.name) for layer in measurement.profile]
    assert names == [(direction, f"h_{n}") for direction in ("forward", "backward") for n in range(4)]
    ends = [layer.mean_log for layer in measurement.profile if (layer.direction, layer.name) in
            {("forward", "h_3"), ("backward", "h_0")}]  # fmt: skip
    assert ends[0] == pytest.approx(ends[1], abs=1.0)


def test_the_identity_costs_nothing_but_the_inputs_correlation(device: torch.device) -> None:
    [measurement] = nasjac.measure([Spec.of(width=16, blocks=(Block(keep=False),) * 3)], inputs(), "apjn", device=device)
    values = {name: measurement.terms[name].value for name in ("log_mean", "mean_log", "sd_log", "log_rank")}
    assert values == pytest.approx(dict.fromkeys(values, 0.0), abs=0.02)


def test_dead_networks_say_so(device: torch.device) -> None:
    """Two units, no skips: relu dies in some draws, and then E log is −∞, not a number."""
    [measurement] = nasjac.measure([Spec.of(width=2, blocks=(Block(skip=0),) * 6)], inputs(), "apjn", device=device)
    assert measurement.status == "diverged" and "zero Jacobian" in str(measurement.reason)
    assert 0 < (measurement.terms["dead_fraction"].value or 0) <= 1
    assert measurement.terms["trainability_cost"].value is None


def test_overflow_is_said_with_its_layer_and_touches_no_one_else(device: torch.device) -> None:
    overflow = Spec.of(width=16, blocks=(Block(),) * 60, activation="gelu", weight_gain=9.0)
    calm = [without_time(m) for m in nasjac.measure(SPECS, inputs(), "apjn", device=device)]
    *mixed, bad = nasjac.measure([*SPECS, overflow], inputs(), "apjn", device=device)
    assert [without_time(m) for m in mixed] == calm
    assert bad.status == "diverged" and "not finite at layer" in str(bad.reason)
    assert bad.terms["log_mean"].value is None


def test_an_ensemble_is_measured_with_its_patterns(device: torch.device) -> None:
    ensemble = Spec.of(width=16, blocks=(Block(skip=0.5),) * 6)
    score = Apjn(patterns=4, rel_error=None)
    [measurement] = nasjac.measure([ensemble], inputs(), score, device=device)
    patterns = members(ensemble, score.patterns, score.seed)
    assert [Spec.from_json(text).key for text, _ in measurement.patterns] == list(dict.fromkeys(m.key for m in patterns))
    assert measurement.terms["sd_log_patterns"].value is not None
    alone = nasjac.measure([Spec.from_json(text) for text, _ in measurement.patterns], inputs(), score, device=device)
    assert [without_time(m) for m in alone] == [without_time(inner) for _, inner in measurement.patterns]
    costs = {m.key: cost for m in alone if (cost := m.terms["trainability_cost"].value) is not None}
    assert measurement.kept_key == min(costs, key=costs.__getitem__)
    assert all(m.kept_key == m.key for m in alone)


@pytest.mark.parametrize(("options", "words"), [({"draws": 8}, "at least 16"), ({"dtype": "half"}, "float32, float64")])
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Apjn(**options)  # type: ignore[arg-type]


def test_bad_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="`inputs` must be"):
        nasjac.measure(SPECS, torch.zeros(1, 5), "apjn")


def test_merit_without_a_population_is_refused_and_measure_draws_one(device: torch.device) -> None:
    """The one that a search of the default space draws: of both the values are the same."""
    unbound = Merit(rel_error=None)
    with pytest.raises(nasjac.InputError, match=r"`score` must have a reference population to rank in, bound to one by"):
        unbound.measure(SPECS, inputs(), device)
    found = nasjac.measure(SPECS[:2], inputs(), device=device, rel_error=None)
    bound = unbound.bind(random_specs(ResidualMlpSpace(), 256))
    assert list(map(without_time, found)) == list(map(without_time, bound.measure(SPECS[:2], inputs(), device)))
    narrow = ResidualMlpSpace(depth_max=6, widths=(8,))
    [other] = nasjac.measure(SPECS[:1], inputs(), Merit(rel_error=None), space=narrow, device=device)
    assert other.terms["merit"] != found[0].terms["merit"]
    assert nasjac.measure(SPECS[:1], inputs(), bound)[0].terms["merit"] == found[0].terms["merit"]


def test_scores_are_chosen_by_name_class_or_object() -> None:
    """A score of one's own derives from Score, and measures like any other."""

    @dataclass(frozen=True)
    class Depth(Score):
        factor: float = 1.0
        name = "depth"

        def measure(self, specs: Sequence[Spec], inputs: torch.Tensor, device: torch.device) -> list[Measurement]:
            values = (Estimate(self.factor * len(spec.blocks), 0.0) for spec in specs)
            return [Measurement(spec.key, "ok", terms={"merit": value}) for spec, value in zip(specs, values, strict=True)]

    for score, options in ((Depth, {"factor": 2.0}), (Depth(2.0), {})):
        [found] = nasjac.measure(SPECS[:1], inputs(), score, **options)  # type: ignore[arg-type]
        assert found.terms["merit"].value == 6 and found.kept_key == found.key, "a search keeps what it measured"
    with pytest.raises(nasjac.InputError, match=r"`search\.racing` must be false for a score that does not sample"):
        Depth().race(SPECS, inputs(), torch.device("cpu"), [None] * len(SPECS))
    refused = {
        "`score` must be one of merit, apjn, meanfield, got 'meritt'": ("meritt", {}),
        r"`score.width` must be an option of Depth, one of factor, got 3": (Depth, {"width": 3}),
        "`score.factor` must be said with a name or a class": (Depth(), {"factor": 3.0}),
        r"or a class or an object that derives from nasjac\.scores\.base\.Score, got <function": (lambda specs: [], {}),
    }
    for said, (score, options) in refused.items():
        with pytest.raises(nasjac.InputError, match=said):
            nasjac.measure(SPECS[:1], inputs(), score, **options)  # type: ignore[arg-type]


def test_architectures_of_several_kinds_have_no_default_population() -> None:
    decoder = Spec.of(width=8, blocks=(Block(),), kind="transformer_lm", context=10)
    with pytest.raises(nasjac.InputError, match="`space` must be said to rank architectures of several kinds"):
        nasjac.measure([SPECS[0], decoder], inputs())
