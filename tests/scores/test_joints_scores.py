"""Joints of scores, closed forms and tables: the formula's value is the term's, and errors belong to their values."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import facts
from nasjac.mathematics.log_percentile import LogPercentile
from nasjac.mathematics.trainability import merit
from nasjac.models.prescribe import prescribe
from nasjac.sampling.estimators import NAMES, Terms
from nasjac.sampling.samples import Samples
from nasjac.scores.meanfield import Meanfield
from nasjac.scores.sampled_terms import measured_at
from nasjac.surgery.branches.norms import Norms
from tests.cli.test_cli import Run, run
from tests.mathematics.test_golden import ROWS
from tests.scores.test_merit import CPU, MERIT, POPULATION, SPECS, decorrelations, inputs, merit_of
from tests.tables.test_correlate import SPACE, answer, table

__all__ = ["run"]


# closed forms


def test_e_log_of_the_closed_form_is_that_of_the_log_normal_law() -> None:
    """E log 𝒥 = log E 𝒥 − ½ ln(1 + cv²), E 𝒥 = 1, and 1 + cv² of plain relu of gain 2 from the golden table."""
    [(second,)] = [row["value"] for row in ROWS if row["name"] == "relu_plain_fourth_moment"]
    plain = Spec.of(width=8, blocks=(Block(skip=0),) * 6, branch="one_matrix", weight_gain=math.sqrt(2))
    [found] = nasjac.measure([plain], torch.randn(50, 5, generator=torch.Generator().manual_seed(0)), Meanfield())
    value = {name: found.terms[name].value for name in ("log_mean", "mean_log", "sd_log")}
    assert value["log_mean"] == pytest.approx(0, abs=1e-9)
    assert value["mean_log"] == pytest.approx(-math.log(second) / 2, rel=1e-6)
    assert value["sd_log"] == pytest.approx(math.sqrt(math.log(second)), rel=1e-6)
    ends = {(layer.name, layer.direction): layer.mean_log for layer in found.profile}
    assert ends["h_6", "forward"] == pytest.approx(value["mean_log"]) == pytest.approx(ends["h_0", "backward"])
    assert ends["h_0", "forward"] == pytest.approx(0, abs=1e-9) == pytest.approx(ends["h_6", "backward"], abs=1e-9)


# sampled scores


def made_samples(**changes: tuple[int, int]) -> Measurement:
    """Of a calm network of 5 blocks, with not a number in some array at some layers, from the first to the last named."""
    drawn, layers = np.random.default_rng(0), 6
    norms = {
        "stream": (20, 2, layers),
        "forward": (20, 2, 4, layers),
        "backward": (20, 2, 2, layers),
        "round_trip": (20, 2, 4),
    }
    arrays = {name: drawn.normal(0, 0.1, shape) for name, shape in norms.items()}
    for name, (first, last) in changes.items():
        arrays[name][3, ..., first : last + 1] = math.inf
    empty = np.zeros((20, 0, 0))
    rest = {
        "decorrelation": np.full(20, 0.5), "cotangent_gram": empty,
        "stream_tokens": np.zeros((20, 2, 0, layers)), "forward_tokens": np.zeros((20, 2, 0, layers)),
        "backward_tokens": np.zeros((20, 2, 0, layers)),
    }  # fmt: skip
    return measured_at("k", Samples(**arrays, **rest))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stream": (2, 5)}, "the activations are not finite at layer 2"),
        ({"stream": (3, 5), "forward": (1, 5)}, "the activations are not finite at layer 3"),
        ({"forward": (2, 5)}, "the forward Jacobian is not finite at layer 2"),
        ({"backward": (0, 3)}, "the backward Jacobian is not finite at layer 3"),
    ],
)
def test_an_overflow_is_named_by_the_layer_where_it_begins(changes: dict[str, tuple[int, int]], reason: str) -> None:
    """Activations and forward norms begin at h_0, backward ones at the output."""
    found = made_samples(**changes)
    assert (found.status, found.reason) == ("diverged", reason)
    assert made_samples().status == "ok", "the made-up samples are those of a network"


def test_a_racing_difference_is_paired() -> None:
    """The jackknife's error of the difference: what both have in common, draw by draw, is no error."""
    index, draws = NAMES.index("trainability_cost"), 20
    common, own = np.random.default_rng(0).normal(0, 1, (2, draws))
    left_out = np.zeros((2, draws, len(NAMES)))
    left_out[:, :, index] = common
    left_out[0, :, index] += 0.5 + 0.01 * own
    values = left_out.mean(axis=1)
    one, other = (Terms(values[n], np.zeros(len(NAMES)), left_out[n]) for n in (0, 1))
    excess, error = one.excess(other, "trainability_cost")
    difference = 0.01 * own
    expected = math.sqrt((draws - 1) / draws * float(((difference - difference.mean()) ** 2).sum()))
    assert excess == pytest.approx(0.5 + float(difference.mean())) and error == pytest.approx(expected)


def test_the_error_of_merit_is_that_of_its_parts_times_their_slopes() -> None:
    """Both slopes by differences of merit itself."""
    reference, own, flops = decorrelations(POPULATION), decorrelations(SPECS), [fact.flops for fact in facts(SPECS)]
    measured = MERIT.bind(POPULATION).measure(SPECS, inputs(), CPU)
    capacity = LogPercentile([float(fact.flops) for fact in facts(POPULATION)])(flops)
    ranks = np.array([LogPercentile(one)(another) for one, another in zip(reference.T, own.T, strict=True)])
    told = []
    for number, found in enumerate(measured):
        penalty = found.terms["trainability_penalty"]
        assert penalty.value is not None and penalty.standard_error is not None
        expressivity = float(capacity[number] + ranks[:, number].mean())
        assert merit_of(found) == pytest.approx(float(merit(expressivity, penalty.value)), abs=1e-4)
        step = 1e-5
        slopes = [
            float(merit(expressivity + a, penalty.value + b) - merit(expressivity - a, penalty.value - b)) / (2 * step)
            for a, b in ((step, 0.0), (0.0, step))
        ]
        errors = (ranks[:, number].std(ddof=1) / math.sqrt(len(ranks)), penalty.standard_error)
        expected = math.hypot(*(slope * error for slope, error in zip(slopes, errors, strict=True)))
        assert found.terms["merit"].standard_error == pytest.approx(expected, rel=1e-3)
        told.append(abs(slopes[0] - 1 / 2) * abs(errors[0] - errors[1]))
    assert max(told) > 0.01, "exchanged parts would be another number"


def test_the_error_of_a_frobenius_norm_is_half_that_of_its_square_over_the_norm() -> None:
    squared = torch.tensor([3.0, 5.0])
    found = Norms(squared.sqrt(), squared, 0.2, 8, torch.ones(2))
    assert (found.frobenius, found.energy) == (2.0, 0.5)
    assert found.frobenius_error == pytest.approx((math.sqrt(4.2) - math.sqrt(3.8)) / 2, rel=1e-3)


# models of others, and prescriptions


def test_the_table_of_a_diagnosis_has_forward_norms_under_forward() -> None:
    """Three times twice the identity: 𝒥 is 4 a layer, from the input forward and from the output backward."""
    layers = [nn.Linear(4, 4, bias=False) for _ in range(3)]
    for layer in layers:
        nn.init.eye_(layer.weight)
        layer.weight.data *= 2
    found = nasjac.diagnose(nn.Sequential(*layers), torch.randn(3, 4), layers=["0", "1", "2"])
    text = found.as_text()
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    shown = {row[0]: [float(value.split(" ±")[0]) for value in row[1:3]] for row in rows if row[0] in ("input", "0", "1")}
    each = math.log(4)
    expected = {"input": [0, 3 * each], "0": [each, 2 * each], "1": [2 * each, each]}
    assert shown == {name: pytest.approx(values, abs=6e-4) for name, values in expected.items()}


def test_a_prescription_is_confirmed_at_its_target() -> None:
    found = prescribe(Spec.of(width=32, blocks=(Block(),) * 4), target=3.0, tolerance=0.4, seed=1).to_json()
    made = [change for change in found["prescriptions"] if change["after"] is not None]
    assert made and found["target"] == 3.0
    for change in made:
        assert change["log_norm_after"] == pytest.approx(3.0, abs=0.4 + 1e-6)
        away = abs(change["sampled_mean_log_after"] - 3.0)
        assert change["confirmed"] == (away <= 0.4 + 4 * change["sampled_mean_log_error_after"] + 1e-4)
    assert found["recommended"]["confirmed"] is True


# tables


def test_each_half_is_that_of_the_hash_of_its_architectures(run: Run) -> None:
    """choose those of even parity, report those of odd."""
    path = table(Path("t.csv"))
    parsed = [SPACE.parse(line.split(",")[0]) for line in path.read_text().splitlines()[1:]]
    parity = {str(n + 2): hashlib.sha256(cell.to_json().encode()).digest()[0] % 2 for n, cell in enumerate(parsed)}
    for half, wanted in (("choose", 0), ("report", 1)):
        answer(run, f"table={path}", "space=nasbench201", "score=flops", "resamples=0", f"half={half}", f"out={half}")
        with (Path(half) / "scores.csv").open(newline="") as file:
            assert [row["row"] for row in csv.DictReader(file)] == [row for row, odd in parity.items() if odd == wanted]
