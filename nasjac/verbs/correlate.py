"""nasjac correlate: what a score is worth on a table of trained architectures."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasjac import tables
from nasjac.datasets import Data
from nasjac.reporting.correlated import agreement, strata, warnings
from nasjac.scores.fact import FACTS
from nasjac.scores.tabular import Scored, TableScore
from nasjac.spaces.tabular import Entry, Table, TableSpace, read_table
from nasjac.spec import check_choice

HALVES = ("all", "choose", "report")
#: problems that the text shows; json has all
SHOWN = 20


@dataclass(frozen=True)
class Options:
    """`target` column (null: the space's first that is there), `n` architectures drawn by `seed` (null: all), of which
    `half` by the parity of a hash: choose (to choose a score by), report (to report on), all; bootstrap `resamples`.
    """

    target: str | None = None
    n: int | None = None
    half: str = "all"
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        check_choice("half", self.half, HALVES)
        for name, value, least in (("n", self.n, 1), ("resamples", self.resamples, 0), ("seed", self.seed, 0)):
            if value is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}")


def correlate(
    path: str | Path,
    space: TableSpace,
    score: TableScore,
    images: Callable[[], Tensor],
    options: Options,
    device: torch.device,
    bar: Callable[[int], Any],
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Score architectures of a table and say how the ranking agrees with its targets; the object of `format=json`.

    `images` gives [n, C, H, W] if the score needs them; `bar(total)` is a context whose value is told (done, text). In the
    folder `out`: summary.json, and scores.csv with a line an architecture. ValueError: see `read_table`; a score that the
    space has no networks for.
    """
    if score.needs_images and not hasattr(space, "network"):
        raise ValueError(f"`score` must be one of {', '.join(FACTS)} for space {space.name}, got {score.name}")
    table = read_table(path, space, options.target)
    target, *others = table.targets
    entries = _drawn([entry for entry in table.entries if target in entry.targets], options)
    inputs = images() if score.needs_images else torch.empty(0)
    with bar(len(entries)) as advance:
        began = time.perf_counter()
        architectures = [entry.architecture for entry in entries]
        scored = score(space, architectures, inputs, device, lambda done: advance(done, ""))
        seconds = time.perf_counter() - began
    known = [(entry, found.value) for entry, found in zip(entries, scored, strict=True) if found.value is not None]
    found = _figures(known, space, target, options)
    columns = (space.column, target)
    bad_rows = len({problem.row for problem in table.problems if problem.row > 1 and problem.column in columns})
    summary = {
        "table": str(path),
        "space": space.name,
        "score": {"name": score.name, **asdict(score)},  # type: ignore[call-overload]
        "target": target,
        "half": options.half,
        **found,
        "seconds_per_architecture": seconds / len(entries) if entries else None,
        "missing": bad_rows + len(entries) - len(known),
        "missing_rows": bad_rows,
        "missing_scores": _reasons(scored),
        "problems": [asdict(problem) for problem in table.problems],
        "warnings": [*_too_few(entries, options), *warnings(found, score.name)],
        "other_targets": {name: _figures(known, space, name, options) for name in others},
    }
    if out is not None:
        _write(Path(out), summary, entries, scored, space, table)
    return summary


def images_for(space: TableSpace, data: Data) -> Tensor:
    """The training images [n, C, H, W] of a dataset. ValueError unless they are of the space's shape."""
    shape = getattr(space, "shape", None)
    if data.shape is None or data.shape != shape:
        got = "token ids" if data.is_tokens else f"inputs of shape {data.shape}"
        raise ValueError(f"`dataset` must hold images of shape {shape} for {space.name}, got {got}")
    return data.train_inputs.reshape(-1, *data.shape)


def _drawn(entries: list[Entry], options: Options) -> list[Entry]:
    """Those of the half, and `n` of them at random in the table's order."""
    parity = {"all": (0, 1), "choose": (0,), "report": (1,)}[options.half]
    there = [entry for entry in entries if _parity(entry.architecture) in parity]
    if options.n is None or options.n >= len(there):
        return there
    chosen = np.random.default_rng(options.seed).choice(len(there), options.n, replace=False)
    return [there[place] for place in sorted(chosen)]


def _parity(architecture: Any) -> int:
    """Of a hash of the architecture as it is written. By its key, which equal functions share, halves would be unlike each
    other: a group of equal ones, such as all dead cells, can be some percent of a table.
    """
    return hashlib.sha256(architecture.to_json().encode()).digest()[0] % 2


def _figures(known: Sequence[tuple[Entry, float]], space: TableSpace, target: str, options: Options) -> dict[str, Any]:
    """The agreement with one target, over the architectures that have it."""
    there = [(entry, value) for entry, value in known if target in entry.targets]
    facts = [space.facts(entry.architecture) for entry, _ in there]
    baselines = {name: np.array([value(row) for row in facts], dtype=float) for name, value in FACTS.items()}
    score = np.array([value for _, value in there], dtype=float)
    truth = np.array([entry.targets[target] for entry, _ in there], dtype=float)
    within = strata(baselines["params"], baselines["depth"])
    return agreement(score, truth, baselines, within, options.resamples, options.seed)


def _reasons(scored: Sequence[Scored]) -> dict[str, int]:
    reasons = [found.reason or "" for found in scored if found.value is None]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _too_few(entries: Sequence[Entry], options: Options) -> list[str]:
    if options.n is None or len(entries) >= options.n:
        return []
    return [f"{options.n} architectures were asked for, the table has {len(entries)}"]


def _write(
    folder: Path, summary: Any, entries: Sequence[Entry], scored: Sequence[Scored], space: TableSpace, table: Table
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    rows = [
        {
            "row": entry.row,
            "key": entry.architecture.key,
            "score": found.value,
            "reason": found.reason,
            **{target: entry.targets.get(target) for target in table.targets},
            **space.facts(entry.architecture),
        }
        for entry, found in zip(entries, scored, strict=True)
    ]
    tables.write_csv(folder / "scores.csv", rows)


def as_text(summary: dict[str, Any]) -> str:
    """The summary for people."""
    name, lines = summary["score"]["name"], []
    for target, found in ((summary["target"], summary), *summary["other_targets"].items()):
        rows = [_row(label, row) for label, row in ((name, found), *found["baselines"].items())]
        lines += [
            f"{target}: {found['n']} architectures",
            tables.as_text(("", "kendall_tau", "95%", "spearman", "95%"), rows),
        ]
        lines += [_difference("overall", found)]
        for stratum, row in found["strata"].items():
            tau = f"tau {_figure(row['kendall_tau'])} {_interval(row['interval'])} over {row['pairs']} pairs"
            lines += [f"  {stratum.replace('_', ' ')}: {tau}", _difference("  there", row)]
        if found["top"] is not None:
            top = "  best {k}: {shared} of them found ({expected:.1f} by chance)".format(**found["top"])
            lines += [f"{top}, regret {_figure(found['top']['regret'])}, nDCG {_figure(found['ndcg'])}", ""]
    seconds = summary["seconds_per_architecture"]
    lines += [f"{_figure(seconds)} s an architecture; missing: {summary['missing']}"]
    lines += [f"  {count} without a score: {reason}" for reason, count in summary["missing_scores"].items()]
    problems = summary["problems"]
    lines += ["row {row}, {column}: {reason}".format(**problem) for problem in problems[:SHOWN]]
    lines += [f"and {len(problems) - SHOWN} more (format=json lists all)"] if len(problems) > SHOWN else []
    return "\n".join([*lines, *(f"warning: {text}" for text in summary["warnings"])])


def _row(label: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return label, row["kendall_tau"], _interval(row["interval"]), row["spearman"], _interval(row["spearman_interval"])


def _difference(label: str, row: dict[str, Any]) -> str:
    if row["best_baseline"] is None:
        return f"  {label.strip()}: no baseline to compare with"
    return f"  {label} {row['difference']:+.3f} {_interval(row['difference_interval'])} against {row['best_baseline']}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
