"""Few draws: intervals of 1.96 standard errors hold the truth, whatever the draws; streaming changes no bit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from nasjac import Block, Decoder, InputError, Spec
from nasjac.kinds.population import sample
from nasjac.kinds.tiles import routes
from nasjac.mathematics.moderated import MOST_DEGREES, NO_PRIOR, NORMAL, Prior, fitted, student_quantile
from nasjac.sampling.draws import Draws
from nasjac.scores import sample_bank
from nasjac.scores.apjn import Apjn
from nasjac.scores.few_draws import expected_log_norm, fitted_prior

A, F, CUT = Block(op="attention"), Block(), Block(skip=0.0)
CPU = torch.device("cpu")


study = SimpleNamespace(**run_path(str(Path(__file__).parents[2] / "experiments" / "017_few_draws" / "run.py")))


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("degrees", [0.5, 1.0, 1.7, 4.0, 37.5])
def test_the_quantile_is_students(degrees: float) -> None:
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-7)


@pytest.mark.parametrize("degrees", [3.0, 6.0])
def test_a_prior_is_found_from_the_variances_that_it_made(degrees: float) -> None:
    generator = np.random.default_rng(3)
    truths = 0.1 * degrees / generator.chisquare(degrees, 20_000)
    found = fitted(list(truths * generator.chisquare(7, 20_000) / 7), 7)
    assert found.variance == pytest.approx(0.1, rel=0.05) and found.degrees == pytest.approx(degrees, rel=0.15)


def test_variances_that_are_all_alike_claim_no_more_degrees_than_the_most() -> None:
    found = fitted([0.2] * 30, 7)
    assert found.degrees == MOST_DEGREES and 0.1 < found.variance < 0.4


@pytest.mark.parametrize("draws", [2, 3, 4, 8])
@pytest.mark.parametrize("spread", [0.1, 3.0])  # of log 𝒥: with 3 the mean of 𝒥 is 90 times its median
def test_moderated_intervals_hold_the_truth(draws: int, spread: float) -> None:
    generator = np.random.default_rng(draws)
    truths = spread**2 * 4 / generator.chisquare(4, 4000)
    values = generator.standard_normal((4000, draws)) * np.sqrt(truths)[:, None]
    held = [abs(row.mean()) <= NORMAL * Prior(spread**2, 4.0).error(row) for row in values]
    assert np.mean(held) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_without_a_prior_the_interval_is_students() -> None:
    values = np.array([0.0, 1.0, 3.0])
    expected = stats.t.ppf(0.975, 2) / NORMAL * values.std(ddof=1) / np.sqrt(3)
    assert NO_PRIOR.error(values) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["relu, plain, 8 x 12", "relu that may die, 10 x 3", "tanh, residual, 8 x 6"])
def test_intervals_hold_the_truth_after_stopping(name: str) -> None:
    found = study.row(name, study.NETWORKS[name], draws=8192, error=0.25)
    assert found.measured >= 100 and found.stopped >= 0.90 - 2 * 0.03, found  # two standard errors of so many at 0.90


def test_two_draws_are_enough_where_a_prior_says_so() -> None:
    spec = Decoder(width=16, blocks=(A, F) * 2, context=6, heads=2, placement="pre", norm="rmsnorm")
    ids = torch.arange(120).reshape(20, 6) % 11
    [blind] = expected_log_norm([spec], ids)
    [told] = expected_log_norm([spec], ids, prior=Prior(0.02, 8.0))
    assert (blind.draws, told.draws) == (6, 2) and told.degrees == 9.0


def test_streaming_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(width=16, blocks=(A, F) * 2, context=6, heads=2)
    ids = torch.arange(120).reshape(20, 6) % 11
    cases = [(decoder, ids), (Spec.of(width=12, blocks=(F, CUT, F)), normal(40, 5))]
    whole = [Apjn(draws=17).measure([spec], inputs, CPU)[0].terms for spec, inputs in cases]
    monkeypatch.setattr(sample_bank, "STREAMED", 0)
    assert [Apjn(draws=17).measure([spec], inputs, CPU)[0].terms for spec, inputs in cases] == whole


@pytest.mark.parametrize("context", [64, 128])
@pytest.mark.parametrize("width", [16, 48])
def test_rows_of_many_tokens_need_no_padding(context: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [(A, F), (A, F, A), (A, F, A, F), (F,), (A, F, F)]
    specs = [Decoder(width=width, blocks=each, context=context, heads=2, ffn_ratio=4, norm="rmsnorm") for each in blocks]
    ids, draws = torch.arange(20 * context).reshape(20, context) % 11, Draws(0, range(2), torch.float32, CPU)
    with monkeypatch.context() as patch:
        patch.setattr(routes, "MANY_TOKENS", 10**6)
        padded = sample(specs, ids, draws)
    alone = [sample([spec], ids, draws)[0] for spec in specs]
    for found in (alone, sample(specs, ids, draws)):
        for one, other in zip(found, padded, strict=True):
            for item in fields(one):
                np.testing.assert_array_equal(getattr(one, item.name), getattr(other, item.name), err_msg=item.name)


def test_few_draws_are_the_first_of_the_score() -> None:
    spec, inputs = Spec.of(width=8, blocks=(F, F)), normal(40, 5)
    [found] = expected_log_norm([spec], inputs, 1e-3, max_draws=16)
    [whole] = Apjn(draws=16, rel_error=None, plan="forward").measure([spec], inputs, CPU)
    assert found.draws == 16 and not found.reached and found.mean_log.value == pytest.approx(whole.terms["mean_log"].value)


def test_a_prior_is_fitted_on_architectures() -> None:
    specs = [Spec.of(width=8, blocks=(F,) * depth, activation="tanh") for depth in range(2, 12)]
    prior = fitted_prior(specs, normal(40, 5))
    assert 0 < prior.degrees <= MOST_DEGREES and 0 < prior.variance < 1
    with pytest.raises(InputError, match="at least 8 architectures"):
        fitted_prior(specs[:3], normal(40, 5))


def test_ensembles_and_single_draws_are_refused() -> None:
    with pytest.raises(InputError, match="without random skips"):
        expected_log_norm([Spec.of(width=8, blocks=(Block(skip=0.5),))], normal(40, 5))
    with pytest.raises(InputError, match="max_draws"):
        expected_log_norm([Spec.of(width=8, blocks=(F,))], normal(40, 5), max_draws=1)
