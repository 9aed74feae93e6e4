"""What nasjac correlate prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasjac.foundation import text_tables as tables

#: problems that the text shows; json has all
SHOWN = 20


def as_text(summary: dict[str, Any]) -> str:
    """The summary for people."""
    name, lines = summary["score"]["name"], []
    for target, found in ((summary["target"], summary), *summary["other_targets"].items()):
        rows = [_row(label, row) for label, row in ((name, found), *found["baselines"].items())]
        lines += [
            f"{target}{' (lower is better)' * found['lower_is_better']}: {found['n']} architectures",
            tables.as_text(("", "kendall_tau", "95%", "spearman", "95%"), rows),
        ]
        lines += [_difference("overall", found), _spearman_difference(found)]
        if (ceiling := found["noise_ceiling"]) is not None:
            lines += [f"  noise ceiling: spearman {ceiling:.3f} between two training seeds"]
        for stratum, row in found["strata"].items():
            tau = f"tau {_figure(row['kendall_tau'])} {_interval(row['interval'])} over {row['pairs']} pairs"
            lines += [f"  {stratum.replace('_', ' ')}: {tau}", _difference("  there", row), _spearman_difference(row, 2)]
        if found["top"] is not None:
            top = "  best {k}: {shared} of them found ({expected:.1f} by chance)".format(**found["top"])
            lines += [f"{top}, regret {_figure(found['top']['regret'])}, nDCG {_figure(found['ndcg'])}", ""]
    seconds = summary["seconds_per_architecture"]
    lines += [f"{_figure(seconds)} s an architecture; missing: {summary['missing']}"]
    lines += [f"  {count} left out, {reason}" for reason, count in summary["missing_row_reasons"].items()]
    lines += [f"  {count} without a score: {reason}" for reason, count in summary["missing_scores"].items()]
    lines += [f"  {count} without a target: {reason}" for reason, count in summary["missing_targets"].items()]
    lines += [f"elsewhere: {summary['elsewhere']} rows of other kinds than {summary['space']}"] * bool(summary["elsewhere"])
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


def _spearman_difference(row: dict[str, Any], indent: int = 0) -> str:
    label = " " * indent + "  spearman"
    if row["best_baseline_spearman"] is None:
        return f"{label}: no baseline to compare with"
    interval = _interval(row["spearman_difference_interval"])
    return f"{label} {row['spearman_difference']:+.3f} {interval} against {row['best_baseline_spearman']}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
