"""prescribe: the smallest change of each knob that brings an architecture to criticality, verified by sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.kinds.facts import columns
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import expected_norms, fluctuations
from nasjac.mathematics.meanfield.expected import model_error
from nasjac.mathematics.probes import on_sphere
from nasjac.models import prescription_figure as prescribed
from nasjac.models.prescription import Band, Prescription, prescribe
from nasjac.scores import measure
from nasjac.scores.apjn import Apjn

#: samples of the synthetic stream; standard error of E log 𝒥 that is asked for, in nats, with at most so many draws
INPUTS, PRECISION, MAX_DRAWS = 1024, 0.1, 256
#: skip patterns that stand for an ensemble
PATTERNS = 32
#: standard errors that sampling and an exact closed form may be apart, beside what the log-normal law usually misses
ERRORS = 4.0
#: share of the gap between log E 𝒥 and E log 𝒥 that the log-normal law usually misses
LAW_ERROR = 0.1
#: round-off of a sampled logarithm in float32
ROUND_OFF = 1e-4
#: what of the recommended change stands in the summary
RECOMMENDED = ("knob", "before", "after", "change", "key", "confirmed")


@dataclass(frozen=True)
class Prescribed:
    """The prescriptions of one architecture as a summary, and the figure that shows them."""

    summary: Mapping[str, Any]
    files: Mapping[str, Path]


def prescription(
    spec: Spec,
    target: float = 0.0,
    tolerance: float = 1.0,
    stream_variance: float = 1.0,
    seed: int = 0,
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Prescribed:
    """What `nasjac.models.prescription.prescribe` finds for `spec`, sampled before and after, drawn into the folder
    `out`/KEY.

    All architectures are sampled in one call on one synthetic stream, standard normal directions of second moment
    `stream_variance` per unit, with the same weights and probes, in float32, until the standard error of E log 𝒥 is at most
    0.1 or there are 256 draws. A prescription is `confirmed` if the E log 𝒥 sampled after it is in the band, up to 4
    standard errors, and `agrees` if that is what the closed form expects, None where that holds for N → ∞ alone and the
    size of what a finite width adds is not bounded; `recommended` is the smallest that is confirmed, or the smallest of
    all if none is. ValueError: the closed forms do not cover the spec, a bad number.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"`seed` must be a whole number of at least 0, got {seed!r}")
    found, whole = prescribe(spec, target, tolerance, stream_variance), spec.canonical
    if out is not None:
        check_replaceable(Path(out) / whole.key)
    specs = {item.key: item for item in (whole, *(p.spec for p in found if p.spec is not None))}
    # directions alone are drawn: the closed form starts from a stream of one size
    stream = torch.randn(INPUTS, whole.width, generator=torch.Generator().manual_seed(seed))
    score = Apjn(rel_error=PRECISION, max_draws=MAX_DRAWS, patterns=PATTERNS, seed=seed, plan="forward")
    sampled = measure(list(specs.values()), math.sqrt(stream_variance) * on_sphere(stream), score, device=device)
    seen = {item.key: _seen(item, one, stream_variance) for item, one in zip(specs.values(), sampled, strict=True)}
    contents = [_content(p, Band(target, tolerance), seen[whole.key], seen.get(_key(p) or "")) for p in found]
    summary = {
        "key": whole.key,
        "spec": whole.content,
        "target": float(target),
        "tolerance": float(tolerance),
        "stream_variance": float(stream_variance),
        "critical": not found,
        "exact": bool(columns([whole]).exact[0]),
        **_renamed(seen[whole.key], "before"),
        "recommended": _recommended(contents),
        "prescriptions": contents,
    }
    return Prescribed(summary, {} if out is None else _drawn(Path(out) / whole.key, summary))


def _seen(spec: Spec, sampled: Measurement, stream_variance: float) -> dict[str, Any]:
    """One architecture by the closed form and by sampling.

    E log 𝒥 is log E 𝒥 − ½ ln(1 + cv²), under the log-normal law (Hanin & Nica 2020). `stated_error` is the usual size of
    what that misses, or, where log E 𝒥 holds for N → ∞ alone, of what a finite width adds: 1.5 L/N. The latter is no bound,
    and nothing is decided by it.
    """
    chain, depth = columns([spec]), len(spec.blocks)
    norms, spread = expected_norms(chain, stream_variance), fluctuations(chain, spec.width, stream_variance)
    log_norm = float(norms.forward_typical[0, -1])
    expected = mean_of_log(log_norm, float(spread.forward[0, -1]))
    exact = bool(norms.exact[0])
    stated = LAW_ERROR * (log_norm - expected) if exact else float(model_error(norms.exact, depth, spec.width)[0])
    value, error = sampled.terms["mean_log"].value, sampled.terms["mean_log"].standard_error
    agrees = None
    if exact and value is not None and error is not None:
        agrees = abs(value - expected) <= ERRORS * error + stated + ROUND_OFF
    return {
        "log_norm": log_norm,
        "expected_mean_log": expected,
        "stated_error": stated,
        "sampled_status": sampled.status,
        "sampled_mean_log": value,
        "sampled_mean_log_error": error,
        "agrees": agrees,
        "forward_log_norm": norms.forward_typical[0].tolist(),
        "backward_log_norm": norms.backward_typical[0].tolist(),
    }


def _content(found: Prescription, band: Band, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> dict[str, Any]:
    confirmed = None
    if after and after["sampled_mean_log"] is not None and after["sampled_mean_log_error"] is not None:
        slack = ERRORS * after["sampled_mean_log_error"] + ROUND_OFF
        confirmed = abs(after["sampled_mean_log"] - band.target) <= band.tolerance + slack
    return {
        "knob": found.knob,
        "before": found.before,
        "after": found.after,
        "change": found.change,
        "slope": found.slope,
        "nats_per_percent": found.nats_per_percent,
        "reason": found.reason,
        "confirmed": confirmed,
        "key": _key(found),
        "spec": found.spec.content if found.spec is not None else None,
        **_renamed(before, "before"),
        **_renamed(after or dict.fromkeys(before), "after"),
    }


def _recommended(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    feasible = [content for content in contents if content["after"] is not None]
    feasible.sort(key=lambda content: not content["confirmed"])
    return {name: feasible[0][name] for name in RECOMMENDED} if feasible else None


def _key(found: Prescription) -> str | None:
    return found.spec.key if found.spec is not None else None


def _renamed(seen: Mapping[str, Any], when: str) -> dict[str, Any]:
    return {f"{name}_{when}": value for name, value in seen.items()}


def _drawn(folder: Path, summary: Mapping[str, Any]) -> Mapping[str, Path]:
    files = prescribed.draw(summary)
    replace_folder(folder, files)
    return {name: folder / name for name in files}


def as_text(found: Prescribed) -> str:
    """The architecture in a sentence, a table of what brings it to criticality, and why the other knobs cannot."""
    summary = found.summary
    low, high = (summary["target"] + side * summary["tolerance"] for side in (-1, 1))
    inside = "which is critical: nothing to change" if summary["critical"] else "which is not critical"
    about = f"{summary['key']}: log 𝒥 = {summary['log_norm_before']:.4g}, {inside} (from {low:g} to {high:g} nats)"
    parts = [f"{about}\nE log 𝒥: {_compared(summary, 'before')}"]
    changes = summary["prescriptions"]
    rows = [[_shown(change[name]) for name in SHOWN] for change in changes if change["after"] is not None]
    if rows:
        first = summary["recommended"]
        parts += [as_table(list(SHOWN.values()), rows).rstrip()]
        how = " that sampling confirms" if first["confirmed"] else ", which sampling does not confirm"
        parts += [
            f"Smallest change{how}: {first['knob']} {cell(first['before'])} → {cell(first['after'])} ({first['key']})"
        ]
    missing = [f"no {change['knob']}: {change['reason']}" for change in changes if change["reason"]]
    parts += ["\n".join(missing)] if missing else []
    parts += [f"Figures: {', '.join(map(str, found.files.values()))}"] if found.files else []
    return "\n\n".join(parts)


#: what the table shows and under which names, in its order
SHOWN = {
    "knob": "knob",
    "before": "before",
    "after": "after",
    "change": "change",
    "nats_per_percent": "nats a percent",
    "log_norm_after": "log 𝒥",
    "expected_mean_log_after": "E log 𝒥",
    "sampled_mean_log_after": "sampled",
    "sampled_mean_log_error_after": "±",
    "agrees_after": "agrees",
    "confirmed": "critical",
    "key": "key",
}


def _compared(seen: Mapping[str, Any], when: str) -> str:
    value, error = seen[f"sampled_mean_log_{when}"], seen[f"sampled_mean_log_error_{when}"]
    expected = f"{seen[f'expected_mean_log_{when}']:.4g} expected (usually to {seen[f'stated_error_{when}']:.2g})"
    if value is None or error is None:
        return f"{expected}, not sampled ({seen[f'sampled_status_{when}']})"
    agrees = "; they do not agree" if seen[f"agrees_{when}"] is False else ""
    return f"{expected}, {value:.4g} ± {error:.2g} sampled{agrees}"


def _shown(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
