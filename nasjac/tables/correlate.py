"""correlate: what a score is worth on a table of trained architectures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.spec import check_choice
from nasjac.datasets import DATASETS, Data, Dataset
from nasjac.foundation import arguments
from nasjac.foundation import text_tables as tables
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.choices import chosen
from nasjac.foundation.console import Advance
from nasjac.foundation.errors import InputError
from nasjac.mathematics.rank_correlation import noise_ceiling, spearman
from nasjac.tables.agreement import agreement, strata, warnings
from nasjac.tables.correlate_size import NO_ROOM, check_size, has_room
from nasjac.tables.correlation import Correlation, OfTarget
from nasjac.tables.file import read_table
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.scores.fact import FACTS
from nasjac.tables.space import Material, TableSpace
from nasjac.tables.spaces import TABLE_SPACES
from nasjac.tables.table import LOWER_IS_BETTER, Entry, of_seeds

#: each is a ranking of all architectures
MOST_RESAMPLES = 1_000_000
HALVES = ("all", "choose", "report")

Bar = Callable[[int], AbstractContextManager[Advance]]
#: where inputs come from
Source = str | type[Dataset] | Dataset | Data | Callable[[], Data]


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
    table: str | Path,
    space: str | type[TableSpace] | TableSpace = "nasbench201",
    score: str | type[TableScore] | TableScore = "merit",
    *,
    dataset: Source | None = None,
    target: str | None = None,
    n: int | None = None,
    half: str = "all",
    seed: int = 0,
    resamples: int = 1000,
    device: torch.device | str = "cpu",
    out: str | Path | None = None,
    bar: Bar | None = None,
) -> Correlation:
    """Score architectures of a table, and say how the ranking agrees with what training gave.

    The trivial baselines (parameters, FLOPs, depth, ...) stand beside the score, overall, within strata of equal size or
    depth, and among the best tenth. Targets of which less is better are turned round: a positive tau says that the score
    is right.

    Args:
        table: A CSV file (.gz too), as `nasjac.tables.file.read_table` reads it.
        space: What the table holds: nasbench201, nasbench_macro or a kind of nasjac's; or a class or an object that
            derives from `nasjac.tables.space.TableSpace`.
        score: A name of `nasjac.tables.scores.TABLE_SCORES`; or a class or an object that derives from
            `nasjac.tables.scores.base.TableScore`.
        dataset: Where inputs come from if the score runs networks: digits, fashion_mnist, cifar10 or text; a class or an
            object with options; Data, or a function that returns it.
        target: A column; by default the space's first that is there.
        n: How many architectures are drawn; by default all.
        half: all; choose or report by the table's column `half` if it has one, otherwise by the parity of a hash.
        seed: Of the drawn architectures and of the bootstrap.
        resamples: Of the bootstrap, from which the intervals are.
        device: Where networks run.
        out: A folder for summary.json, and for scores.csv with a line for each architecture.
        bar: Makes a context that is told how far the work is, from the number of architectures.

    Returns:
        The agreement with the target and with the table's other targets, and what is missing, with reasons.

    Raises:
        InputError: No such table or nothing in it, an option out of range, or a score that the space has nothing for.
    """
    options = Options(target, n, half, seed, resamples)
    space = chosen("space", space, TABLE_SPACES, TableSpace)  # type: ignore[type-abstract]
    score = chosen("score", score, TABLE_SCORES, TableScore)  # type: ignore[type-abstract]
    _check_score(score, space)
    if out is not None:
        check_replaceable(out)
    read = read_table(table, space, target)
    first, *others = read.targets
    part = [entry for entry in read.entries if _is_in_half(entry, half)]
    entries = _drawn([entry for entry in part if first in entry.targets], options)
    check_size(len(entries), resamples)
    bound = space.bind([entry.architecture for entry in read.entries])
    inputs = bound.inputs(_loaded(dataset)) if score.needs_inputs else torch.empty(0)
    began = time.perf_counter()
    with (bar or _silent)(len(entries)) as advance:
        done: Done = lambda count: advance(count, "")  # noqa: E731
        scored = _scored(bound, read.entries, entries, score, inputs, arguments.device("device", device), done)
    seconds = time.perf_counter() - began
    rows = [_Row(*row, bound.facts(row[0].architecture)) for row in zip(entries, scored, strict=True)]
    of_target, bad = _figures(rows, first, options), read.left_out()
    failed = [entry.failure for entry in part if entry.failure is not None]
    unscored = [item.reason or "" for item in scored if item.value is None]
    found = Correlation(
        table=str(table),
        space=space.name,
        score={"name": score.name, **(asdict(score) if is_dataclass(score) else {})},
        target=first,
        half=half,
        agreement=of_target,
        seconds_per_architecture=seconds / len(entries) if entries else None,
        missing=len(bad) + len(failed) + len(unscored),
        missing_rows=len(bad),
        missing_row_reasons=_counts([f"{problem.column}: {problem.rule}" for problem in bad]),
        missing_targets=_counts(failed),
        missing_scores=_counts(unscored),
        elsewhere=len(read.elsewhere),
        problems=tuple(read.problems),
        warnings=(*_too_few(entries, options, space), *warnings(of_target, score.name)),
        other_targets={name: _figures(rows, name, options) for name in others},
    )
    if out is not None:
        _write(Path(out), found, rows, read.targets)
    return found


class _Row(NamedTuple):
    entry: Entry
    scored: Scored
    facts: Mapping[str, float]


def _silent(total: int) -> AbstractContextManager[Advance]:
    return nullcontext(lambda done, text: None)


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
    if not score.needs_inputs or Material.SPECS not in space.offers:
        return score.measure(space, [entry.architecture for entry in entries], inputs, device, done)
    small = {entry.row: entry.architecture for entry in known if has_room(entry.architecture, inputs, device)}
    rest = space.bind(list(small.values()))
    tried = [entry.architecture for entry in entries if entry.row in small]
    found = iter(score.measure(rest, tried, inputs, device, done))
    return [next(found) if entry.row in small else Scored(None, NO_ROOM) for entry in entries]


def _check_score(score: TableScore, space: TableSpace) -> None:
    if not score.needs & space.offers:
        there = ", ".join(name for name, one in TABLE_SPACES.items() if score.needs & one.offers)
        raise InputError(f"`space` must be one of {there} for score {score.name}, got {space.name}")


def _is_in_half(entry: Entry, half: str) -> bool:
    """Use the table's column if it has one; otherwise the parity of a hash of the architecture as it is written.

    By its key, which equal functions share, halves would be unlike each other: a group of equal ones, such as all dead
    cells, can be some percent of a table.
    """
    parity = hashlib.sha256(entry.architecture.to_json().encode()).digest()[0] % 2
    return half == "all" or half == (entry.half or HALVES[1 + parity])


def _drawn(entries: list[Entry], options: Options) -> list[Entry]:
    """`n` of them at random in the table's order."""
    if options.n is None or options.n >= len(entries):
        return entries
    places = np.random.default_rng(options.seed).choice(len(entries), options.n, replace=False)
    return [entries[place] for place in sorted(places)]


def _figures(rows: Sequence[_Row], target: str, options: Options) -> OfTarget:
    """The agreement with one target, over the architectures that have it and a score."""
    known = [row for row in rows if target in row.entry.targets and row.scored.value is not None]
    baselines = {name: np.array([value(row.facts) for row in known], dtype=float) for name, value in FACTS.items()}
    score = np.array([row.scored.value for row in known], dtype=float)
    sign = -1 if target in LOWER_IS_BETTER else 1
    truth = sign * np.array([row.entry.targets[target] for row in known], dtype=float)
    within = strata(baselines["params"], baselines["depth"])
    names = of_seeds(target)
    seeds = [[given[name] for name in names] for row in rows if {*names} <= (given := row.entry.targets).keys()]
    figures = agreement(score, truth, baselines, within, options.resamples, options.seed)
    return OfTarget(
        **vars(figures),
        lower_is_better=target in LOWER_IS_BETTER,
        noise_ceiling=noise_ceiling(seeds, spearman) if seeds else None,
    )


def _counts(reasons: Sequence[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _too_few(entries: Sequence[Entry], options: Options, space: TableSpace) -> list[str]:
    if not entries:
        return [f"no architecture of {space.name} in the table has a target (half={options.half})"]
    if options.n is None or len(entries) >= options.n:
        return []
    return [f"{options.n} architectures were asked for, the table has {len(entries)}"]


def _write(folder: Path, found: Correlation, rows: Sequence[_Row], targets: Sequence[str]) -> None:
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
    content = found.to_json(indent=1) + "\n"
    replace_folder(folder, {"summary.json": content.encode(), "scores.csv": tables.csv_of(lines)})
