"""Architectures of a table with their scores: inputs for the score, and networks that memory has no room for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.datasets import DATASETS, Data, Dataset
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.facts import facts
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.space import Material, TableSpace
from nasjac.tables.table import Entry

#: initializations of a network that are there at once, at least
DRAWS = 16
#: why an architecture that is too large has no score
NO_ROOM = "no memory for it on this machine, even alone"

#: where inputs come from
Source = str | type[Dataset] | Dataset | Data | Callable[[], Data]


class ScoredRow(NamedTuple):
    """A row of a table: its architecture, what the score says of that, and what is known of it without a pass."""

    entry: Entry
    scored: Scored
    facts: Mapping[str, float]


def inputs_of(dataset: Source | None, space: TableSpace, score: TableScore) -> Tensor:
    """Return the inputs that a score of a space's architectures takes; none if it runs no networks."""
    return space.inputs(_loaded(dataset)) if score.needs_inputs else torch.empty(0)


def _loaded(dataset: Source | None) -> Data:
    if isinstance(dataset, Data):
        return dataset
    if dataset is None:
        raise InputError(f"`dataset` must be said for a score that runs networks, such as {', '.join(DATASETS)}, got None")
    if isinstance(dataset, str):
        check_choice("dataset", dataset, DATASETS)
        dataset = DATASETS[dataset]
    made = dataset() if callable(dataset) else dataset
    return made if isinstance(made, Data) else made.load()


def scored_rows(
    space: TableSpace,
    known: Sequence[Entry],
    entries: Sequence[Entry],
    score: TableScore,
    inputs: Tensor,
    device: torch.device,
    done: Done,
) -> tuple[list[ScoredRow], float]:
    """Score `entries` of a table that holds all those `known`; return them, and the seconds that scoring took.

    A Spec that memory has no room for is not tried, and none of those that the score takes as its reference.
    """
    tried = {entry.row: entry.architecture for entry in entries}
    rest = space
    if score.needs_inputs and Material.SPECS in space.offers:
        small = {entry.row: entry.architecture for entry in known if has_room(entry.architecture, inputs, device)}
        rest, tried = space.bind(list(small.values())), {row: small[row] for row in tried if row in small}
    began = time.perf_counter()
    found = dict(zip(tried, score.measure(rest, list(tried.values()), inputs, device, done), strict=True))
    seconds = time.perf_counter() - began
    scored = [(entry, found.get(entry.row, Scored(None, NO_ROOM))) for entry in entries]
    return [ScoredRow(entry, one, space.facts(entry.architecture)) for entry, one in scored], seconds


def has_room(spec: Spec, inputs: Tensor, device: torch.device) -> bool:
    """Whether there is memory for the largest tensor that a Spec's network needs: weights or a layer, of each draw."""
    [found] = facts([spec])
    columns = inputs.shape[-1] if inputs.is_floating_point() else int(inputs.max()) + 1  # or as many ids
    weights = found.params // max(1, found.depth)
    return 4 * DRAWS * max(weights, spec.width * columns, spec.units) <= free(device)
