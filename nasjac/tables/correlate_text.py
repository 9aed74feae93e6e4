"""What nasjac correlate prints for people."""

from __future__ import annotations

from nasjac.foundation import text_tables as tables
from nasjac.tables.agreement import Compared
from nasjac.tables.bootstrap import Interval
from nasjac.tables.correlation import Correlation, OfTarget

#: problems that the text shows; json has all
SHOWN = 20


def as_text(found: Correlation) -> str:
    """Return the figures of every target as tables and lines, then what is missing, problems and warnings."""
    name, lines = found.score["name"], list[str]()
    for target, figures in ((found.target, found.agreement), *found.other_targets.items()):
        lines += _of_target(name, target, figures)
    lines += [f"{_figure(found.seconds_per_architecture)} s an architecture; missing: {found.missing}"]
    lines += [f"  {count} left out, {reason}" for reason, count in found.missing_row_reasons.items()]
    lines += [f"  {count} without a score: {reason}" for reason, count in found.missing_scores.items()]
    lines += [f"  {count} without a target: {reason}" for reason, count in found.missing_targets.items()]
    lines += [f"elsewhere: {found.elsewhere} rows of other kinds than {found.space}"] * bool(found.elsewhere)
    lines += [f"row {problem.row}, {problem.column}: {problem.reason}" for problem in found.problems[:SHOWN]]
    lines += [f"and {len(found.problems) - SHOWN} more (format=json lists all)"] * (len(found.problems) > SHOWN)
    return "\n".join([*lines, *(f"warning: {text}" for text in found.warnings)])


def _of_target(name: str, target: str, figures: OfTarget) -> list[str]:
    rows = [
        (label, row.kendall_tau, _interval(row.interval), row.spearman, _interval(row.spearman_interval))
        for label, row in ((name, figures), *figures.baselines.items())
    ]
    lines = [
        f"{target}{' (lower is better)' * figures.lower_is_better}: {figures.n} architectures",
        tables.as_text(("", "kendall_tau", "95%", "spearman", "95%"), rows),
        *_differences("overall", figures),
    ]
    if figures.noise_ceiling is not None:
        lines += [f"  noise ceiling: spearman {figures.noise_ceiling:.3f} between two training seeds"]
    for stratum, row in figures.strata.items():
        tau = f"tau {_figure(row.kendall_tau)} {_interval(row.interval)} over {row.pairs} pairs"
        lines += [f"  {stratum.replace('_', ' ')}: {tau}", *_differences("  there", row, 2)]
    if (top := figures.top) is not None:
        chance = f"  best {top.k}: {top.shared} of them found ({top.expected:.1f} by chance)"
        lines += [f"{chance}, regret {_figure(top.regret)}, nDCG {_figure(figures.ndcg)}", ""]
    return lines


def _differences(label: str, row: Compared, indent: int = 0) -> list[str]:
    """Of tau and of rho to the best baseline."""
    tau = row.best_baseline, row.difference, row.difference_interval
    rho = row.best_baseline_spearman, row.spearman_difference, row.spearman_difference_interval
    spearman = " " * indent + "  spearman"
    return [_against(f"  {label}", f"  {label.strip()}", *tau), _against(spearman, spearman, *rho)]


def _against(label: str, alone: str, best: str | None, difference: float | None, interval: Interval | None) -> str:
    if difference is None:
        return f"{alone}: no baseline to compare with"
    return f"{label} {difference:+.3f} {_interval(interval)} against {best}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(bounds: Interval | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
