"""A Spec's closed forms: the public profile, the score, and `nasjac theory` as a user meets it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.cli.show import measurement_lines
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.rank_correlation import kendall_tau
from nasjac.models.chosen_spec import spec_of
from nasjac.models.theory import theory
from nasjac.scores.apjn import Apjn
from nasjac.scores.closed_forms import expected_norms
from nasjac.scores.meanfield import Meanfield
from nasjac.store import Store
from tests.cli.test_cli import SMALL, Run, run  # noqa: F401 - a fixture

CPU = torch.device("cpu")


def inputs() -> torch.Tensor:
    return torch.randn(400, 20, generator=torch.Generator().manual_seed(1))


def test_the_profile_of_a_relu_residual_network_is_exact() -> None:
    found = nasjac.expected_norms(Spec.of(width=8, blocks=(Block(),) * 4))
    assert found.exact and all(layer.standard_error == 0 for layer in found.layers)
    forward, backward = ([layer for layer in found.layers if layer.direction == way] for way in ("forward", "backward"))
    assert [layer.name for layer in forward] == ["h_0", "h_1", "h_2", "h_3", "h_4"]
    assert [layer.log_mean for layer in forward] == pytest.approx([level * math.log(1.5) for level in range(5)])
    assert [layer.log_mean for layer in backward] == pytest.approx([level * math.log(1.5) for level in (4, 3, 2, 1, 0)])
    assert forward[-1].mean_log is not None and forward[-1].mean_log < 4 * math.log(1.5)


def test_e_log_is_given_only_where_second_moments_are_exact() -> None:
    for spec in (
        Spec.of(width=8, blocks=(Block(),), placement="pre"),
        Spec.of(width=8, blocks=(Block(skip=0.5),)),
        Spec.of(width=8, blocks=(Block(),), activation="tanh"),
    ):
        assert {layer.mean_log for layer in expected_norms(spec).layers} == {None}
    assert not expected_norms(Spec.of(width=8, blocks=(Block(),), activation="tanh")).exact
    nothing = expected_norms(Spec.of(width=8, blocks=(Block(keep=False),)))
    assert nothing.exact and [layer.log_mean for layer in nothing.layers] == [0.0] * 4


def test_closed_terms_are_those_that_sampling_finds() -> None:
    """Exact chains: mean, mean of the log, spread and rank within 4 standard errors and the log-normal law's error."""
    specs = [
        Spec.of(width=32, blocks=(Block(), Block(scale=0.6), Block(skip=0), Block()), activation=a)
        for a in ("relu", "linear")
    ]
    for closed, sampled in zip(
        nasjac.measure(specs, inputs(), Meanfield()), nasjac.measure(specs, inputs(), Apjn(draws=256)), strict=True
    ):
        assert closed.model_error == 0 and sampled.model_error is None
        for name, slack in (("log_mean", 0.0), ("mean_log", 0.03), ("sd_log", 0.05), ("log_rank", 0.05)):
            value, other = closed.terms[name], sampled.terms[name]
            assert value.standard_error == 0
            assert value.value == pytest.approx(other.value, abs=4 * (other.standard_error or 0) + slack), name


def random_specs(count: int) -> list[Spec]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, space = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5)), ResidualMlpSpace()
    return [space(study.ask()).canonical for _ in range(count)]


def test_streams_of_any_size_are_measured() -> None:
    """Deep chains without skips shrink the stream below the square root of the least double."""
    specs = [
        Spec.of(width=32, blocks=(Block(skip=0.0, scale=1 / 8),) * 64, weight_gain=0.7),
        Spec.of(width=32, blocks=(Block(),) * 300, weight_gain=1.8),
    ]
    for closed in nasjac.measure(specs, inputs(), Meanfield()):
        value = closed.terms["log_decorrelation"].value
        assert closed.status == "ok" and value is not None and -20 < value < -2


def test_terms_of_an_ensemble_are_those_that_sampling_finds() -> None:
    ensembles = [
        Spec.of(width=64, blocks=(Block(skip=0.6, scale=0.9),) * 6, activation=a, placement=p)
        for a, p in (("relu", "none"), ("gelu", "pre"))
    ]
    closed, sampled = (nasjac.measure(ensembles, inputs(), score) for score in (Meanfield(), Apjn(draws=32, patterns=48)))
    for one, other in zip(closed, sampled, strict=True):
        for name, slack in (("mean_log", 0.1), ("log_rank", 0.15), ("log_decorrelation", 0.05), ("sd_log_patterns", 0.1)):
            value, found = one.terms[name].value, other.terms[name]
            assert value == pytest.approx(found.value, abs=4 * (found.standard_error or 0) + slack), name


def cost(measurement: Measurement) -> float:
    value = measurement.terms["trainability_cost"].value
    assert value is not None
    return value


def test_closed_and_sampled_costs_rank_architectures_alike() -> None:
    """All placements, activations, branches and gains of the space."""
    specs = random_specs(64)
    closed, sampled = (nasjac.measure(specs, inputs(), score) for score in (Meanfield(), Apjn()))
    assert all(m.status == "ok" and m.draws == 0 for m in closed)
    pairs = [(cost(a), cost(b)) for a, b in zip(closed, sampled, strict=True) if b.status == "ok"]
    tau = kendall_tau(*zip(*pairs, strict=True))
    assert len(pairs) > 55 and tau is not None and tau > 0.85


def test_what_a_closed_form_does_not_cover_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "swish", ACTIVATIONS["gelu"])
    swish, plain = Spec.of(width=8, blocks=(Block(),), activation="swish"), Spec.of(width=8, blocks=(Block(),))
    with pytest.raises(ValueError, match=r"`activation` must be one of .* for a closed form, got 'swish'"):
        expected_norms(swish)
    unsupported, fine = Meanfield().measure([swish, plain], inputs(), CPU)
    assert unsupported.status == "unsupported" and "`activation`" in str(unsupported.reason)
    assert unsupported.terms["trainability_cost"].value is None and fine.status == "ok"


def test_an_ensemble_is_measured_over_all_patterns_and_keeps_the_cheapest_drawn() -> None:
    ensemble = Spec.of(width=16, blocks=(Block(skip=0.5),) * 6)
    [found] = Meanfield(patterns=4).measure([ensemble], inputs(), CPU)
    assert found.terms["log_mean"].value == pytest.approx(6 * math.log(0.5 + 0.5))
    spread = math.sqrt(6 * 0.25) * math.log(3)
    assert found.terms["sd_log_patterns"].value == pytest.approx(spread)
    kept = {Spec.from_json(text).key: cost(inner) for text, inner in found.patterns}
    assert found.kept_key == min(kept, key=kept.__getitem__) and len(kept) > 1


def test_bad_options_and_inputs_are_named() -> None:
    with pytest.raises(ValueError, match=r"`score\.patterns` must be a whole number of at least 3, got 2"):
        Meanfield(patterns=2)
    with pytest.raises(ValueError, match="`inputs` must hold at least 2 rows that are not zero"):
        nasjac.measure([Spec.of(width=8, blocks=(Block(),))], torch.zeros(5, 3), Meanfield())


def test_a_search_by_the_closed_form(run: Run) -> None:  # noqa: F811
    """Every architecture of the space is scored; the report and the database say what the numbers are."""
    code, out, err = run("search", "score=meanfield", "study=k", "budget.trials=40", "format=json", *SMALL)
    assert code == 0 and err == "" and json.loads(out)["recommended"]["key"]
    with Store("nasjac.db", read_only=True) as store:
        rows = store.select("SELECT score, status, draws, model_error FROM measurement").rows
    assert {row[:3] for row in rows} == {("meanfield", "ok", 0)} and all(row[3] >= 0 for row in rows)
    code, out, _ = run("show", json.loads(out)["recommended"]["key"])
    assert code == 0 and ("closed form, a finite width usually adds about" in out or ": ok, exact" in out)
    assert run("theory", json.loads(run("report", "study=k", "format=json")[1])["recommended"]["key"], "out=null")[0] == 0


def test_theory_prints_a_table_and_draws(run: Run) -> None:  # noqa: F811
    code, out, err = run("theory", "space=residual_mlp", "depth=32", "weight_gain=0.9")
    assert code == 0 and err == ""
    for words in (["exact", "at every width"], ["paths", "4294967296"], ["h_32"], ["s_quenched"]):
        assert any(all(word in line for word in words) for line in out.splitlines()), words
    [folder] = Path("reports/theory").iterdir()
    names = {f"{name}.{suffix}" for name in ("norms", "skip_density", "path_lengths") for suffix in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == names and all(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("choice", ["placement=pre", "activation=gelu", "placement=post"])
def test_the_usual_size_of_a_finite_width_is_not_printed_as_a_bound(run: Run, choice: str) -> None:  # noqa: F811
    """1.5 L / N, in `nasjac theory` and of a stored measurement in `nasjac show`; an exact value has none."""
    out = run("theory", choice, "depth=8", "width=64", "out=null")[1]
    assert "0.1875 (usual size at this width, no bound)" in out and "±" not in out
    exact = run("theory", "depth=8", "width=64", "out=null")[1]
    assert ["model_error", "0"] in [line.split() for line in exact.splitlines()] and "no bound" not in exact
    fields = dict([choice.split("=")])
    spec = Spec.of(width=64, blocks=(Block(),) * 8, **fields)
    [measured] = nasjac.measure([spec], inputs(), Meanfield())
    row: dict[str, Any] = {"model_error": measured.model_error, "draws": 0, "reason": None, "raced": 0, "seconds": 1.0}
    row |= {
        "score": "meanfield",
        "score_id": "x",
        "status": "ok",
        "precision_reached": None,
        "pattern_of": None,
        "created": "now",
        "run_id": None,
        "fingerprint": None,
    }
    first, *_ = measurement_lines({**row, "terms": {}, "profile": {}})
    assert "closed form, a finite width usually adds about 0.1875 nats" in first and "±" not in first


def test_what_is_meant_by_effective_is_said(run: Run) -> None:  # noqa: F811
    """Papers give the words other meanings: of the rank two, of the depth one."""
    out = run("theory", "depth=4", "out=null")[1]
    assert "participation ratio (tr A)² / tr A²" in out and "weighs gradient paths by their energy" in out
    out = run("theory", "depth=4", "placement=pre", "out=null")[1]
    assert "participation ratio" not in out and "weighs gradient paths by their energy" in out, "no rank is printed"


def test_theory_as_json(run: Run) -> None:  # noqa: F811
    def asked(*words: str) -> dict[str, Any]:
        code, out, _ = run("theory", "format=json", "out=null", *words)
        found = json.loads(out)
        assert code == 0 and isinstance(found, dict)
        return found

    plain = asked("depth=6", "weight_gain=0.8")
    chi = 0.8**4 / 2
    assert plain["exact"] is True and plain["paths"] == 64 and plain["model_error"] == 0
    assert plain["forward_log_norm"] == pytest.approx([level * math.log1p(chi) for level in range(7)])
    assert plain["backward_log_norm"] == pytest.approx(plain["forward_log_norm"][::-1])
    assert plain["effective_depth"] == pytest.approx(6 * chi / (1 + chi))
    assert plain["s_annealed"] == pytest.approx(1 - chi)
    assert plain["s_quenched"] == pytest.approx(math.log(chi) / math.log(chi / (1 + chi)))
    gated = asked("depth=6", "skip_density=0.5")
    assert gated["paths"] == pytest.approx(1.5**6) and gated["log_norm"] == pytest.approx(0, abs=1e-12)
    assert gated["typical_log_norm"] < -0.5 and gated["sd_log_norm_patterns"] > 0
    post = asked("depth=6", "placement=post", "activation=tanh")
    assert post["exact"] is False and post["s_annealed"] is None and "above 0 at every density" in post["s_annealed_reason"]
    assert asked("prune_ratio=1")["forward_log_norm"] == [0.0]
    deep = asked("depth=10000")
    assert asked("activation=linear", "depth=3")["exact"] is True and asked("activation=erf")["exact"] is False
    assert asked("depth=20000")["paths"] is None
    assert deep["log_norm"] == pytest.approx(10_000 * math.log(1.5)) and deep["paths"] == 2**10_000
    code, out, _ = run("theory", "-m", "placement=none,pre", "depth=4", "format=json", "out=null", "quiet=true")
    assert code == 0 and len(out.splitlines()) == 2


@pytest.mark.parametrize("branch", ["two_matrix", "one_matrix"])
@pytest.mark.parametrize("activation", ["relu", "linear", "gelu", "tanh", "erf"])
def test_the_critical_weight_variance_is_that_of_the_architectures_own_branches(activation: str, branch: str) -> None:
    """A chain without skips, of unlike scales and steps of h = 1/2, has no growth there: of a small stream, or of any."""
    blocks = (Block(), Block(scale=0.3), Block(keep=False), Block(scale=1.7, skip=0.5))
    spec = Spec.of(width=16, blocks=blocks, activation=activation, branch=branch, step=0.5)
    found = theory(spec).to_json()
    small = found["critical_stream_variance"] is not None
    assert small == (activation not in ("relu", "linear")) and found["critical_weight_variance_reason"] is None
    plain = replace(
        spec, weight_gain=math.sqrt(found["critical_weight_variance"]), blocks=tuple(replace(b, skip=0.0) for b in blocks)
    )
    assert theory(plain, 1e-14 if small else 3.0).to_json()["log_norm"] == pytest.approx(0, abs=1e-9)


def test_the_critical_weight_variance_is_printed_by_branch(run: Run) -> None:  # noqa: F811
    for branch, value in (("two_matrix", 2**0.5), ("one_matrix", 2.0)):
        found = json.loads(run("theory", f"branch={branch}", "depth=3", "out=null", "format=json")[1])
        assert found["critical_weight_variance"] == pytest.approx(value, rel=1e-12)
    out = run("theory", "depth=3", "activation=gelu", "out=null")[1]
    assert "2 (each matrix, no skips, tiny stream)" in out
    out = run("theory", "depth=3", "placement=pre", "out=null")[1]
    assert "no critical_weight_variance: with norms" in out
    out = run("theory", "prune_ratio=1", "out=null")[1]
    assert "no critical_weight_variance: every branch is pruned" in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["depht=3"], ["depht", "depth", "weight_gain"]),
        (["placement=preln"], ["`placement`", "preln", "sandwich"]),
        (["depth=3.5"], ["`depth`", "whole number", "3.5"]),
        (["depth=-1"], ["`depth`", "at least 0", "-1"]),
        (["weight_gain=1e-90"], ["`weight_gain`", "1e-09", "1e-90"]),
        (["weight_gain=big"], ["`weight_gain`", "number", "big"]),
        (["skip_density=1.5"], ["`skip_density`", "1.5", "[0, 1]"]),
        (["stream_variance=0"], ["`stream_variance`", "greater than 0"]),
        (["3f2a", "depth=3"], ["`key`", "depth"]),
        (["3f2a"], ["database", "nasjac.db"]),
        (["format=xml"], ["`format`", "xml", "json"]),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, words: list[str], parts: list[str]) -> None:  # noqa: F811
    code, out, err = run("theory", *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err


def test_a_space_of_ones_own_needs_no_typical_choices() -> None:
    def space(trial: Any) -> Spec:
        block = Block(scale=trial.suggest_float("scale", 0.5, 1.0))
        norm = "pre" if trial.suggest_categorical("normed", [False, True]) else "none"
        gain = trial.suggest_categorical("gain", [1.0, 1.1])
        width, depth = trial.suggest_categorical("width", [16, 32]), trial.suggest_int("depth", 2, 5)
        return Spec.of(width=width, blocks=(block,) * depth, placement=norm, weight_gain=gain)

    assert spec_of(space, {"depth": 3}) == Spec.of(width=16, blocks=(Block(scale=0.5),) * 3)
    assert spec_of(space, {"normed": True, "width": 20}) == Spec.of(
        width=20, blocks=(Block(scale=0.5),) * 2, placement="pre"
    )
    assert np.exp(theory(spec_of(space, {})).to_json()["log_norm"]) == pytest.approx((1 + 0.125) ** 2)
    with pytest.raises(ValueError, match=r"`gain` must be one of 1\.0, 1\.1, got 0\.7"):
        spec_of(space, {"gain": 0.7})
