"""nasjac correlate: what a score is worth on a table of trained architectures."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.datasets import Data, check_kind
from nasjac.foundation import arguments
from nasjac.foundation import text_tables as tables
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.errors import InputError
from nasjac.mathematics.rank_correlation import noise_ceiling, spearman
from nasjac.tables.agreement import agreement, strata, warnings
from nasjac.tables.correlate_size import NO_ROOM, check_size, has_room
from nasjac.tables.file import read_table
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.scores.fact import FACTS
from nasjac.tables.space import LOWER_IS_BETTER, Entry, TableSpace, of_seeds
from nasjac.tables.spaces import TABLE_SPACES
from nasjac.tables.spec_table import BoundSpecTable

#: each is a ranking of all architectures
MOST_RESAMPLES = 1_000_000
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


def correlate(
    path: str | Path,
    space: TableSpace,
    score: TableScore,
    inputs: Callable[[TableSpace], Tensor],
    options: Options,
    device: torch.device,
    bar: Callable[[int], Any],
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Score architectures of a table and say how the ranking agrees with its targets; the object of `format=json`.

    `inputs` gives what the space's networks take if the score needs it (`inputs_for`); `bar(total)` is a context that
    yields what is told (done, text). Targets of which less is better are turned round: a positive tau says that the score
    is right. In the folder `out`: summary.json, and scores.csv with a line an architecture. InputError: see `read_table`; a
    score that the space does not have.
    """
    _check_score(score, space)
    if out is not None:
        check_replaceable(out)
    table = read_table(path, space, options.target)
    target, *others = table.targets
    half = [entry for entry in table.entries if _is_in_half(entry, options.half)]
    failed = [entry.failure for entry in half if entry.failure is not None]
    entries = _drawn([entry for entry in half if target in entry.targets], options)
    check_size(len(entries), options.resamples)
    space = space.bound(table.entries) if hasattr(space, "bound") else space
    given = inputs(space) if score.needs_images else torch.empty(0)
    with bar(len(entries)) as advance:
        began = time.perf_counter()
        scored = _scored(space, table.entries, entries, score, given, device, lambda done: advance(done, ""))
        seconds = time.perf_counter() - began
    rows = [_Row(*row, space.facts(row[0].architecture)) for row in zip(entries, scored, strict=True)]
    found = _figures(rows, target, options)
    bad = table.left_out()
    unscored = [item.reason or "" for item in scored if item.value is None]
    summary = {
        "table": str(path),
        "space": space.name,
        "score": {"name": score.name, **asdict(score)},  # type: ignore[call-overload]
        "target": target,
        "half": options.half,
        **found,
        "seconds_per_architecture": seconds / len(entries) if entries else None,
        "missing": len(bad) + len(failed) + len(unscored),
        "missing_rows": len(bad),
        "missing_row_reasons": _counts([f"{problem.column}: {problem.rule}" for problem in bad]),
        "missing_targets": _counts(failed),
        "missing_scores": _counts(unscored),
        "elsewhere": len(table.elsewhere),
        "problems": [asdict(problem) for problem in table.problems],
        "warnings": [*_too_few(entries, options, space), *warnings(found, score.name)],
        "other_targets": {name: _figures(rows, name, options) for name in others},
    }
    if out is not None:
        _write(Path(out), summary, rows, table.targets)
    return summary


def _scored(
    space: TableSpace,
    known: Sequence[Entry],
    entries: Sequence[Entry],
    score: TableScore,
    inputs: Tensor,
    device: torch.device,
    done: Done,
) -> list[Scored]:
    """What the score says of entries; a Spec that memory has no room for is not tried, and none of those it is known by."""
    if not (score.needs_images and isinstance(space, BoundSpecTable)):
        return score(space, [entry.architecture for entry in entries], inputs, device, done)
    small = {entry.row for entry in known if has_room(entry.architecture, inputs, device)}
    rest = space.bound([entry for entry in known if entry.row in small])
    found = iter(score(rest, [entry.architecture for entry in entries if entry.row in small], inputs, device, done))
    return [next(found) if entry.row in small else Scored(None, NO_ROOM) for entry in entries]


def inputs_for(space: TableSpace, data: Data) -> Tensor:
    """The training inputs that the space's networks take: [n, C, H, W]; of tables of Specs [n, features], or ids [n, T].

    InputError unless they fit: a published table has a shape of images, each architecture of a table of ours its own.
    """
    if isinstance(space, BoundSpecTable):
        for spec in space.known:
            check_kind(data, spec)
        return data.train_inputs
    shape = getattr(space, "shape", None)
    if data.shape is None or data.shape != shape:
        got = "token ids" if data.is_tokens else f"inputs of shape {data.shape}"
        raise InputError(f"`dataset` must hold images of shape {shape} for {space.name}, got {got}")
    return data.train_inputs.reshape(-1, *data.shape)


class _Row(NamedTuple):
    entry: Entry
    scored: Scored
    facts: Mapping[str, float]


def _check_score(score: TableScore, space: TableSpace) -> None:
    method = getattr(score, "space_method", None)
    if method is not None and not hasattr(space, method):
        there = ", ".join(name for name, one in TABLE_SPACES.items() if hasattr(one, method))
        raise InputError(f"`space` must be one of {there} for score {score.name}, got {space.name}")


def _is_in_half(entry: Entry, half: str) -> bool:
    """As the table says, else by the parity of a hash of the architecture as it is written.

    By its key, which equal functions share, halves would be unlike each other: a group of equal ones, such as all dead
    cells, can be some percent of a table.
    """
    parity = hashlib.sha256(entry.architecture.to_json().encode()).digest()[0] % 2
    return half == "all" or half == (entry.half or HALVES[1 + parity])


def _drawn(there: list[Entry], options: Options) -> list[Entry]:
    """`n` of them at random in the table's order."""
    if options.n is None or options.n >= len(there):
        return there
    chosen = np.random.default_rng(options.seed).choice(len(there), options.n, replace=False)
    return [there[place] for place in sorted(chosen)]


def _figures(rows: Sequence[_Row], target: str, options: Options) -> dict[str, Any]:
    """The agreement with one target, over the architectures that have it and a score."""
    known = [row for row in rows if target in row.entry.targets and row.scored.value is not None]
    baselines = {name: np.array([value(row.facts) for row in known], dtype=float) for name, value in FACTS.items()}
    score = np.array([row.scored.value for row in known], dtype=float)
    sign = -1 if target in LOWER_IS_BETTER else 1
    truth = sign * np.array([row.entry.targets[target] for row in known], dtype=float)
    within = strata(baselines["params"], baselines["depth"])
    seeds = [[row.entry.targets[name] for name in names] for row in rows if (names := _seeds(row.entry, target))]
    return {
        "lower_is_better": target in LOWER_IS_BETTER,
        **agreement(score, truth, baselines, within, options.resamples, options.seed),
        "noise_ceiling": noise_ceiling(seeds, spearman) if seeds else None,
    }


def _seeds(entry: Entry, target: str) -> tuple[str, ...]:
    """The columns of a target's single seeds, if the row has all of them."""
    names = of_seeds(target)
    return names if all(name in entry.targets for name in names) else ()


def _counts(reasons: Sequence[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _too_few(entries: Sequence[Entry], options: Options, space: TableSpace) -> list[str]:
    if not entries:
        return [f"no architecture of {space.name} in the table has a target (half={options.half})"]
    if options.n is None or len(entries) >= options.n:
        return []
    return [f"{options.n} architectures were asked for, the table has {len(entries)}"]


def _write(folder: Path, summary: Any, rows: Sequence[_Row], targets: Sequence[str]) -> None:
    lines = [
        {
            "row": entry.row,
            "key": entry.architecture.key,
            "score": scored.value,
            "reason": scored.reason,
            **{target: entry.targets.get(target) for target in targets},
            **facts,
        }
        for entry, scored, facts in rows
    ]
    content = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    replace_folder(folder, {"summary.json": content.encode(), "scores.csv": tables.csv_of(lines)})
