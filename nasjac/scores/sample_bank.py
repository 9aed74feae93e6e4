"""The Jacobian samples that a score has so far: a round of draws at a time, kept while they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.population import Tally, sampled
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples, joined

#: precision -> dtype of everything but the matrix products, and theirs
DTYPES = {"float32": torch.float32, "float64": torch.float64, "tf32": torch.float32, "bf16": torch.float32}
#: draws whose weights are in memory together
TOGETHER = 256
#: Bytes of one architecture's weights in all draws of a round beyond which two draws go together, and their weights are
#: then forgotten: of so many the cache would keep few for the next architectures.
STREAMED = 2**28


class Sampling(NamedTuple):
    """How samples are drawn: the draws of a round, what is propagated, seed, precision, and GiB of memory (None: half)."""

    draws: int
    plan: Plan
    seed: int
    dtype: str
    max_memory: float | None


class SampleBank:
    """The samples on one set of inputs, [n, features] or [n, T] token ids, and how the work was cut."""

    def __init__(self, sampling: Sampling, inputs: Tensor, device: torch.device, tally: Tally) -> None:
        self.sampling, self.inputs, self.device, self._tally = sampling, inputs, device, tally
        #: by the architecture's key; None where there is no memory for it
        self.samples: dict[str, Samples | None] = {}
        self._drawn: Counter[str] = Counter()

    def reach(self, draws: int, specs: Iterable[Spec]) -> None:
        """Sample until each architecture has that many draws, few at a time: all share the weights while they are there."""
        how, unique = self.sampling, {spec.key: spec for spec in specs}
        memory = None if how.max_memory is None else how.max_memory * 2**30
        self._check_room(draws, unique.values(), memory)
        while behind := {key: self._drawn[key] for key in unique if self._drawn[key] < draws}:
            start = min(behind.values())
            group = [unique[key] for key, drawn in behind.items() if drawn == start]
            together, lasting = self._piece(group)
            stop = min(start + together, draws)
            numbers = Draws(how.seed, range(start, stop), DTYPES[how.dtype], self.device, lasting)
            for position, samples in sampled(group, self.inputs, numbers, how.plan, how.dtype, memory, self._tally):
                key = group[position].key
                before = self.samples.get(key)
                self.samples[key] = samples if before is None or samples is None else joined([before, samples])
                self._drawn[key] = stop

    def _piece(self, specs: Sequence[Spec]) -> tuple[int, bool]:
        """How many draws go together, and whether their weights are kept for other architectures."""
        most = min(self.sampling.draws, TOGETHER)
        draw = 4 * max(kind_of(spec).sampling.largest_layer(spec) * len(spec.blocks) for spec in specs)
        if draw * most <= STREAMED:
            return most, True
        return min(2, most), False

    def _check_room(self, draws: int, specs: Collection[Spec], memory: float | None) -> None:
        """Refuse what would not fit beside the sampling: all samples stay until their architectures are measured."""
        plan = self.sampling.plan
        numbers = 1 + 2 * (plan.tangents + plan.cotangents) if any(spec.tokens > 1 for spec in specs) else 1
        numbers += plan.tangents + plan.cotangents
        needed = 8 * draws * plan.inputs * numbers * sum(len(spec.blocks) + 1 for spec in specs)
        room = free(torch.device("cpu")) / 2 if memory is None else memory
        if needed > room:
            rule = f"few enough for {room / 2**30:.3g} GiB, half of what is free or `score.max_memory`"
            told = f"{draws} draws of {len(specs)} architectures, whose samples take {needed / 2**30:.3g} GiB"
            raise InputError(f"`score.draws`, `score.max_draws` and `search.batch` must be {rule}, got {told}")

    def keep(self, keys: Collection[str]) -> None:
        """Forget the samples of all other architectures."""
        for key in self.samples.keys() - keys:
            del self.samples[key], self._drawn[key]
