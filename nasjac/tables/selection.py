"""Which architectures of a table are compared: those of a half, drawn at random, as many as memory has room for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from nasjac.architecture.fields import check_choice
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.tables.table import Entry

#: each is a ranking of all architectures
MOST_RESAMPLES = 1_000_000
#: architectures that are compared pair by pair, at most: every pair is a place in memory
MOST = 2**14
#: architectures of all bootstrap resamples together, at most
RESAMPLED = 2**26
HALVES = ("all", "choose", "report")


@dataclass(frozen=True)
class Options:
    """`target` column (null: the space's first that is there), `n` architectures drawn by `seed` (null: all), of which
    `half` by the table's column, or the parity of a hash: choose (to choose a score by), report (to report on), all;
    bootstrap `resamples`.
    """

    target: str | None = None
    n: int | None = None
    half: str = "all"
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        check_choice("half", self.half, HALVES)
        if self.n is not None:
            arguments.whole("n", self.n, 1)
        arguments.whole("resamples", self.resamples, 0, MOST_RESAMPLES)
        arguments.seed("seed", self.seed)


def is_in_half(entry: Entry, half: str) -> bool:
    """Use the table's column if it has one; otherwise the parity of a hash of the architecture as it is written.

    By its key, which equal functions share, halves would be unlike each other: a group of equal ones, such as all dead
    cells, can be some percent of a table.
    """
    parity = hashlib.sha256(entry.architecture.to_json().encode()).digest()[0] % 2
    return half == "all" or half == (entry.half or HALVES[1 + parity])


def drawn(entries: list[Entry], options: Options) -> list[Entry]:
    """Return `n` of the entries at random, in the table's order. InputError: too many to compare."""
    places = np.arange(len(entries))
    if options.n is not None and options.n < len(entries):
        places = np.sort(np.random.default_rng(options.seed).choice(len(entries), options.n, replace=False))
    check_size(len(places), options.resamples)
    return [entries[place] for place in places]


def check_size(count: int, resamples: int) -> None:
    """InputError where memory has no room for the pairs of `count` architectures, or for their resamples."""
    if count > MOST:
        raise InputError(f"`n` must be at most {MOST} to compare all pairs, got {count} architectures of the table")
    if count * resamples > RESAMPLED:
        rule = f"at most {RESAMPLED // count} for {count} architectures"
        raise InputError(f"`resamples` must be {rule}, got {resamples}")
