"""correlate: what a score is worth on a table of trained architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from nasjac.foundation import arguments
from nasjac.foundation import text_tables as tables
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.choices import chosen
from nasjac.foundation.console import Advance
from nasjac.foundation.errors import InputError
from nasjac.tables.correlation import Correlation, ScoredTable
from nasjac.tables.file import read_table
from nasjac.tables.scored_rows import ScoredRow, Source, inputs_of, scored_rows
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.scores.base import TableScore
from nasjac.tables.selection import Options, drawn, is_in_half
from nasjac.tables.space import TableSpace
from nasjac.tables.spaces import TABLE_SPACES

Bar = Callable[[int], AbstractContextManager[Advance]]


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
    part = [entry for entry in read.entries if is_in_half(entry, half)]
    entries = drawn([entry for entry in part if read.targets[0] in entry.targets], options)
    bound = space.bind([entry.architecture for entry in read.entries])
    inputs, place = inputs_of(dataset, bound, score), arguments.device("device", device)
    with (bar or _silent)(len(entries)) as advance:
        rows, seconds = scored_rows(bound, read.entries, entries, score, inputs, place, lambda count: advance(count, ""))
    found = ScoredTable(str(table), space, score, options, read, part, rows).correlation(seconds)
    if out is not None:
        _write(Path(out), found, rows, read.targets)
    return found


def _silent(total: int) -> AbstractContextManager[Advance]:
    return nullcontext(lambda done, text: None)


def _check_score(score: TableScore, space: TableSpace) -> None:
    if not score.needs & space.offers:
        there = ", ".join(name for name, one in TABLE_SPACES.items() if score.needs & one.offers)
        raise InputError(f"`space` must be one of {there} for score {score.name}, got {space.name}")


def _write(folder: Path, found: Correlation, rows: Sequence[ScoredRow], targets: Sequence[str]) -> None:
    lines = [
        {"row": entry.row, "key": entry.architecture.key, "score": scored.value, "reason": scored.reason}
        | {target: entry.targets.get(target) for target in targets}
        | dict(facts)
        for entry, scored, facts in rows
    ]
    content = found.to_json(indent=1) + "\n"
    replace_folder(folder, {"summary.json": content.encode(), "scores.csv": tables.csv_of(lines)})
