"""Do intervals of a few draws hold E log 𝒥? README.md beside this file tells.

    python experiments/017_few_draws/run.py [name=value ...]

Draws each network very often, cuts the draws into runs, and lets each run stop where `expected_log_norm` would. Writes
table.csv into `out`. The last line is one JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from nasjac import Block, Spec
from nasjac.cli.experiment import experiment
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.population import Tally
from nasjac.mathematics.logarithms import debiased
from nasjac.mathematics.moderated import NORMAL, Prior
from nasjac.sampling.samples import FORWARD, Samples
from nasjac.scores.few_draws import UNINFORMED, closed_form_prior, log_norm, next_look
from nasjac.scores.sample_bank import SampleBank, Sampling
from nasjac.scores.sampled_terms import is_dead

A, F, CUT = Block(op="attention"), Block(), Block(skip=0.0)
#: every kind of tail: deep products (log-normal), units that may all die, nearly none
NETWORKS = {
    "relu, plain, 8 x 12": Spec.of(width=8, blocks=(CUT,) * 12, activation="relu", weight_gain=1.4),
    "linear, plain, 8 x 24": Spec.of(width=8, blocks=(CUT,) * 24, activation="linear"),
    "relu that may die, 10 x 3": Spec.of(width=10, blocks=(CUT,) * 3, activation="relu", weight_gain=1.4),
    "relu, residual, 8 x 8": Spec.of(width=8, blocks=(F,) * 8, activation="relu"),
    "tanh, residual, 8 x 6": Spec.of(width=8, blocks=(F,) * 6, activation="tanh"),
    "gelu decoder, 16 x 4": Spec.of(
        kind="transformer_lm", width=16, blocks=(A, F) * 2, context=6, heads=2, placement="pre", norm="rmsnorm"
    ),
}
FIXED = (2, 3, 4, 8)
MOST = 64


@dataclass
class Options:
    """`draws` of each network, cut into runs of 64, that stop at a standard error of `error` nats."""

    out: str = "reports/017_few_draws"
    draws: int = 65536
    error: float = 0.25


class Row(NamedTuple):
    """Of one network: `sd` of log 𝒥, the share of its square that is the probes' `noise`, and the `dead` draws.

    `ratio` of the variance to the closed form's; runs `measured`, and the share called `diverged`, which have no interval;
    the shares of intervals that hold the mean of all draws, at fixed draws and where a run `stopped`; the mean `taken`.
    """

    network: str
    prior: str
    sd: float
    noise: float
    dead: float
    ratio: float | None
    measured: int
    diverged: float
    at_2: float
    at_3: float
    at_4: float
    at_8: float
    stopped: float
    taken: float


def row(name: str, spec: Spec, draws: int, error: float) -> Row:
    """The coverage for one network."""
    samples = sampled(spec, draws)
    living = ~is_dead(samples).any(axis=1)
    logs = debiased(samples.forward[..., -1])
    values = logs.value.mean(axis=1)
    truth, variance = float(values[living].mean()), float(values[living].var())
    prior = closed_form_prior(spec.canonical)
    runs = [part(samples, start, start + MOST) for start in range(0, draws - MOST + 1, MOST)]
    ends = [stopped(run, prior, error) for run in runs]
    told_of = [end for end in ends if end is not None]  # the others are called diverged, and have no interval
    held = [abs(value - truth) <= NORMAL * its for value, its, _ in told_of]
    fixed = [covered(values[living], truth, prior, n) for n in FIXED]
    noise = float(logs.noise[living].mean()) / 2 / variance
    ratio = variance / prior.variance if prior.degrees else None
    taken = float(np.mean([n for *_, n in told_of]))
    told = "closed form" if prior.degrees else "none"
    return Row(
        name,
        told,
        variance**0.5,
        noise,
        1 - float(living.mean()),
        ratio,
        len(told_of),
        1 - len(told_of) / len(ends),
        *fixed,
        float(np.mean(held)),
        taken,
    )


def sampled(spec: Spec, draws: int) -> Samples:
    """Samples of many draws, on standard normal inputs or on random ids."""
    generator = torch.Generator().manual_seed(1)
    ids = spec.kind == "transformer_lm"
    inputs = (
        torch.randint(0, 11, (64, spec.tokens), generator=generator) if ids else torch.randn(64, 5, generator=generator)
    )
    bank = SampleBank(Sampling(256, FORWARD, 0, "float32", None), inputs, torch.device("cpu"), Tally())
    bank.reach(draws, [spec.canonical])
    samples = bank.samples[spec.canonical.key]
    assert samples is not None
    return samples


def part(samples: Samples, start: int, stop: int) -> Samples:
    return Samples(*(getattr(samples, item.name)[start:stop] for item in fields(Samples)))


def stopped(run: Samples, prior: Prior, error: float) -> tuple[float, float, int] | None:
    """Value, standard error and draws where a run ends; None where it is called diverged."""
    draws = 0
    while True:
        draws = next_look(draws)
        found = log_norm("", run.first(draws), prior, error, draws == MOST)
        if found.status != "ok":
            return None
        value, its = found.mean_log.value, found.mean_log.standard_error
        if value is not None and its is not None and (found.reached or draws == MOST):
            return value, its, draws


def covered(values: np.ndarray[Any, np.dtype[np.float64]], truth: float, prior: Prior, draws: int) -> float:
    """The share of intervals of so many draws, without stopping."""
    rows = values[: len(values) // draws * draws].reshape(-1, draws)[:4096]
    return float(np.mean([abs(each.mean() - truth) <= NORMAL * prior.error(each) for each in rows]))


def rows(options: Options) -> Sequence[Row]:
    return [row(name, spec, options.draws, options.error) for name, spec in NETWORKS.items()]


@experiment(Options, __doc__)
def main(options: Options, folder: Path) -> Mapping[str, Any]:
    """Write the table and return the least and the largest coverage."""
    found = rows(options)
    write_csv(folder / "table.csv", [one._asdict() for one in found])
    after = [one.stopped for one in found]
    before = [share for one in found for share in (one.at_2, one.at_3, one.at_4, one.at_8)]
    return {
        "runs": found[0].measured,
        "least_draws_without_prior": UNINFORMED,
        "stopped": [min(after), max(after)],
        "fixed": [min(before), max(before)],
        "rows": [one._asdict() for one in found],
    }


if __name__ == "__main__":
    main()
