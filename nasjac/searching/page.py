"""The report as one HTML page: sentences, tables, figures, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from nasjac.architecture.measurement import TERMS
from nasjac.reporting.wording import EFFECTIVE_DEPTH
from nasjac.searching.findings import Findings, Row
from nasjac.searching.objectives import COST
from nasjac.searching.sentences import extremes, interval, noun, plus_minus, reached, sentences, short

CHOICES = ("placement", "norm", "activation", "branch", "block", "depth", "width", "skip_density", "params", "flops")
STATISTICS = {"τ": "kendall", "ρ": "spearman"}
RUN_COLUMNS = ("run_id", "verb", "started", "finished", "status", "device", "fingerprint", "git_commit")

PAGE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))

FRONT_NOTE = Template("""Every dot is one architecture, scored by its Jacobians at initialization, without training. The
front is chosen on estimates, so the ${noun}s along it tend to be optimistic, by about one standard error. In the tables
rank 1 is the $best, and the recommended architecture stands on a coloured ground. $depth""")

PROFILE_NOTE = """E log 𝒥 (nats, 𝒥 the squared Jacobian norm per output unit) from the embedding h_0 to layer l, and
from layer l to the last, h_L; the band is one standard error to both sides. A flat line at 0 passes on signals and
gradients unchanged; below 0 they vanish, above they explode. A gap is a layer where it is not finite."""

AGREEMENT_NOTE = Template("""Accuracy is on the validation split, the mean over seeds at the learning rate where that is
best; as the rate is chosen on the same split, compare architectures, not with numbers from elsewhere. An architecture of
which every training diverged ranks below every finished one. Correlations are Kendall's τ-b and Spearman's ρ with 95%
percentile bootstrap intervals over architectures. For the $noun plus means that the $noun is right$negated; for a
size plus means that more of it is more accurate, and a clear minus is as good a predictor. The architectures along the
front were chosen by the score, so the random ones alone are the fairer test.""")


def page(found: Findings, top: int, figures: Mapping[str, bytes]) -> str:
    """The page, with the `top` rows of the leaderboard and the recommended one's; `figures` are PNG files by name."""
    images = {name: _image(name, content) for name, content in figures.items()}
    pareto, agreement, profiles = (images.get(name, "") for name in ("pareto", "cost_vs_accuracy", "profiles"))
    return PAGE.substitute(
        title=escape(f"nasjac: study {found.study.name}"),
        summary="".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(found)),
        pareto=pareto + _paragraph(_front_note(found) if found.rows else "Nothing has been measured."),
        leaderboard=table(_leaderboard(found, top), found.study.recommended_key),
        agreement=_agreement(found, agreement),
        profiles=profiles + _paragraph(PROFILE_NOTE if profiles else "No data."),
        provenance=_provenance(found),
    )


def table(rows: Sequence[Row], chosen: str | None = None) -> str:
    """Rows as an HTML table, headed by the names of the first; the row of the key `chosen` stands out."""
    if not rows:
        return ""
    lines = [f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in rows[0])}</tr>"]
    for row in rows:
        mark = " class=chosen" if chosen and row.get("key") == chosen else ""
        lines.append(f"<tr{mark}>{''.join(f'<td>{escape(cell(value))}</td>' for value in row.values())}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def cell(value: object) -> str:
    """A value as a table shows it: four digits, thousands apart, a dash for None.

    >>> [cell(value) for value in (0.123456, 1234567, None, "relu")]
    ['0.1235', '1,234,567', '–', 'relu']
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _leaderboard(found: Findings, top: int) -> list[Row]:
    """The first rows of the leaderboard, and the recommended architecture's wherever it stands, with their ranks."""
    trained = {pick.key: reached(pick) for pick in found.trained}
    return [
        {"rank": rank, "key": row["key"], "accuracy": trained.get(row["key"]), **_facts(row, found)}
        for rank, row in enumerate(found.rows, start=1)
        if rank <= top or row["key"] == found.study.recommended_key
    ]


def _facts(row: Row, found: Findings) -> Row:
    """What tells architectures apart: predictor and cost, further objectives, choices and sizes."""
    names = dict.fromkeys((found.predictor, COST, *found.objectives, *CHOICES))
    return {
        short(name): plus_minus(row.get(name), row.get(f"{name}_se"), ".3f") if name in TERMS else row.get(name)
        for name in names
    }


def _agreement(found: Findings, image: str) -> str:
    protocol, agreement = found.protocol, found.agreement
    if protocol is None:
        what = noun(found.predictor)
        return _paragraph(f"Nothing has been validated: whether the {what} agrees with training is not known.")
    rates, seeds = (", ".join(f"{value:g}" for value in values) for values in (protocol.learning_rates, protocol.seeds))
    how = f"Dataset {protocol.dataset} ({protocol.dataset_digest}), trainer {protocol.trainer}, "
    how += f"learning rates {rates}, seeds {seeds}."
    if protocol.others:
        how += f" These architectures were also trained under {protocol.others} other protocols; this is the latest."
    own = {"kendall": agreement.kendall, "spearman": agreement.spearman}
    correlations = [
        {"ranked by": name, **{f"{title}, {subset}": interval(found) for title, statistic in STATISTICS.items()
                               for subset, found in values[statistic].items()}}
        for name, values in {found.predictor: own, **agreement.baselines}.items()
    ]  # fmt: skip
    picks = [
        {"key": pick.key, "role": ", ".join(pick.roles), "accuracy": reached(pick), "learning rate": training.learning_rate,
         "diverged": f"{training.diverged} of {training.trainings}", **_facts(pick.facts, found)}
        for pick in sorted(found.trained, key=lambda pick: pick.accuracy or -1.0, reverse=True)
        if (training := pick.training)
    ]  # fmt: skip
    tables = table(correlations) + _paragraph(_context(found)) + table(found.roles)
    return image + _paragraph(how) + _paragraph(_agreement_note(found)) + tables + table(picks, found.study.recommended_key)


def _front_note(found: Findings) -> str:
    best, _ = extremes(found)
    return FRONT_NOTE.substitute(noun=noun(found.predictor), best=best, depth=EFFECTIVE_DEPTH)


def _agreement_note(found: Findings) -> str:
    predictor = found.predictor
    negated = " (it is negated)" if found.objectives[predictor] == "minimize" else ""
    negated += "" if predictor == COST else f", and for {COST}, which is negated, that the cost is"
    return AGREEMENT_NOTE.substitute(noun=noun(predictor), negated=negated)


def _context(found: Findings) -> str:
    """What a correlation is to be read beside: the seeds' own agreement, the hits of the best, and who is missing."""
    ceiling, best, validated = found.agreement.noise_ceiling, found.agreement.top_k, found.validated
    said = "How well training agrees with itself is not known: it takes two seeds and three architectures."
    if ceiling.kendall is not None:
        said = (
            f"The rankings by single training seeds agree at τ {ceiling.kendall:+.2f} and ρ {ceiling.spearman:+.2f} "
            f"({ceiling.seeds} seeds, {ceiling.n} architectures). A score is held against the mean over the seeds, "
            "which is less noisy, so a good one can agree with that a little better."
        )
    if best:
        good, _ = extremes(found)
        said += (
            f" Of the {best.k} architectures with the {good} {best.shared} are among the {best.k} most "
            f"accurate (by chance: {best.expected:.1f})."
        )
    if count := validated.without_score:
        said += f" Left out of every correlation because they have no {short(found.predictor)}: {count}."
    if missing := validated.picked - validated.trained:
        said += f" Picked and not trained under this protocol: {missing}."
    return said


def _provenance(found: Findings) -> str:
    total = sum(item["seconds"] for item in found.timings if item["part"] == "total")  # its parts are in it
    trials = found.trials.total()
    timings = [
        {**item, "share": f"{item['seconds'] / total:.1%}" if total else None,
         "ms a trial": 1e3 * item["seconds"] / trials if item["verb"] == "search" and trials else None}
        for item in found.timings
    ]  # fmt: skip
    commands = dict.fromkeys(f"<pre>{escape(run['command'])}</pre>" for run in found.runs if run["command"])
    made = [
        {name: run[name] for name in RUN_COLUMNS} | {"versions": ", ".join(map(" ".join, run["versions"].items()))}
        for run in found.runs
    ]
    identity = escape(json.dumps(found.study.identity, indent=2, ensure_ascii=False))
    return "".join((
        table(found.outcomes),
        "<p>Where the time went:</p>" + table(timings) if timings else _paragraph("No times are stored."),
        "<p>Made by:</p>" + "".join(commands) if commands else "", table(made),
        f"<p>What makes it this study:</p><pre>{identity}</pre>",
    ))  # fmt: skip


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _image(name: str, content: bytes) -> str:
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{data}">'
