"""Growths and prunings of one checkpoint as a search space: which branches stay, and how many blocks come where.

A choice `keep_n` for each branch that can go, `insert_p` for each place where blocks can come (behind the first p blocks of
the checkpoint). Blocks come before branches go, so that both are numbered as the checkpoint's; a network's identity is its
choices, for equal Specs have different weights here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nasjac.architecture.space import Space, Trial
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.kinds.table import kind_of
from nasjac.mathematics.meanfield.growth import edge_time
from nasjac.surgery.compression import branches, check_prunable, prune, pruned_spec
from nasjac.surgery.growth import Grown, calibrated, grow
from nasjac.surgery.insertion import Beginning, check_growable, grown_spec, insertion_places
from nasjac.surgery.trained import CALIBRATED, Trained

Choices = Mapping[str, Any]


@dataclass(frozen=True)
class WarmOptions:
    """Options of a search from a checkpoint.

    `points`  validation inputs at which Jacobians are taken, an even number
    `insert`  most new blocks at each place (layers, in a transformer), at most 64
    `init`, `gain`  how they begin: small_gain (fresh) or copy, their branch `gain` times as large
    `tau`     they keep Σ ln(1 + ‖J_F‖₂) ≤ ln τ, measured
    `allow_pickle`  take a pickled state_dict
    """

    points: int = 64
    insert: int = 1
    init: str = "small_gain"
    gain: float = 0.1
    tau: float = 2.0
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.points < 16 or self.points % 2:
            raise InputError(f"`warm.points` must be an even number of at least 16, got {self.points!r}")
        arguments.whole("warm.insert", self.insert, 0, 64)
        edge_time(self.tau)  # its own check
        Beginning(self.init, self.gain)


@dataclass(frozen=True)
class WarmSpace(Space):
    """The space around a checkpoint: at most `insert` new blocks at each place, in a transformer layers of two blocks."""

    old: Trained
    insert: int = 1
    beginning: Beginning = field(default_factory=lambda: Beginning("small_gain"))

    def __post_init__(self) -> None:
        check_growable(self.old.spec)
        check_prunable(self.old.spec)
        if self.insert < 0:
            raise InputError(f"`warm.insert` must be at least 0, got {self.insert!r}")
        if self.beginning.is_identity:
            rule = "small_gain or copy, for a block that is the identity changes nothing that is measured"
            raise InputError(f"`warm.init` must be {rule}, got {self.beginning.init!r}")
        if not branches(self.old.spec):
            raise InputError("`search.warm_start` must have a residual branch that can go, got a network without one")

    def __call__(self, trial: Trial) -> Spec:
        """The grown and pruned Spec of a trial's choices."""
        kept = {f"keep_{n}": trial.suggest_categorical(f"keep_{n}", (True, False)) for n in self.prunable}
        added = {f"insert_{p}": trial.suggest_int(f"insert_{p}", 0, self.insert) for p in self.places if self.insert}
        return self.spec({**kept, **added})

    @cached_property
    def prunable(self) -> list[int]:
        """Blocks of the checkpoint whose branches can go."""
        return branches(self.old.spec)

    @cached_property
    def places(self) -> list[int]:
        """Where blocks can come."""
        return insertion_places(self.old.spec, self.beginning.init)

    def gone(self, choices: Choices) -> list[int]:
        """The blocks of the checkpoint whose branches go."""
        return [n for n in self.prunable if not choices.get(f"keep_{n}", True)]

    def added(self, choices: Choices) -> list[int]:
        """The places of new blocks, one entry a block."""
        size = kind_of(self.old.spec).surgery.layer_size
        return [p for p in self.places for _ in range(size * choices.get(f"insert_{p}", 0))]

    def spec(self, choices: Choices) -> Spec:
        """The Spec alone."""
        return pruned_spec(grown_spec(self.old.spec, self.added(choices), self.beginning), self._moved(choices))

    def network(self, choices: Choices) -> Grown:
        """The network with its weights, and the numbers of its new blocks. InputError: no branch stays."""
        old, sizes = self.old, self.old.sizes
        grown = grow(old.spec, old.module.state_dict(), self.added(choices), self.beginning, *sizes)
        pruned = prune(grown.spec, grown.state, self._moved(choices))
        new = tuple(number for number, before in enumerate(pruned.lasting) if before in grown.new)
        return calibrated(Grown(pruned.spec, pruned.state, new), old.data.train_inputs[:CALIBRATED], *old.sizes)

    def _moved(self, choices: Choices) -> list[int]:
        """`gone` as numbered in the grown network."""
        added = self.added(choices)
        return [n + sum(place <= n for place in added) for n in self.gone(choices)]

    @cached_property
    def least_flops(self) -> int:
        """FLOPs of the smallest network: one branch of the checkpoint, beside those that cannot go."""
        smallest = [pruned_spec(self.old.spec, [n for n in self.prunable if n != alone]) for alone in self.prunable]
        if any(block.keep for n, block in enumerate(self.old.spec.blocks) if n not in self.prunable):
            smallest = [pruned_spec(self.old.spec, self.prunable)]
        return min(known.flops for known in facts(smallest))
