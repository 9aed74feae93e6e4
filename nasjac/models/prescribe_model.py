"""prescribe, of a model that is given: the factor on its residual branches that brings them to criticality."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nasjac.foundation.arguments import number
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.errors import InputError
from nasjac.models import Diagnosis
from nasjac.models import profile_figure as profiles
from nasjac.models.diagnosis_report import Factory, built, own_traceback, summary_of
from nasjac.models.prescription.models import Scaling, branch_scale

#: standard errors by which a sampled norm may lie outside the band and still confirm the prescription
ERRORS = 4.0


def prescribe_model(
    name: str,
    make: Factory,
    inputs: str | Callable[[], Any],
    blocks: str,
    target: float,
    tolerance: float,
    seed: int,
    device: torch.device,
    out: str | Path | None,
    advance: Callable[[int, str], None],
) -> dict[str, Any]:
    """What `nasjac.models.prescription.models.branch_scale` finds, as a summary for JSON; drawn into `out` unless that
    is None.

    ValueError: whatever it or the user's own code refuses.
    """
    number("target", target)
    if not number("tolerance", tolerance) > 0:
        raise InputError(f"`tolerance` must be above 0 for a model, whose norms are sampled, got {tolerance!r}")
    if out is not None:
        check_replaceable(out)
    model, batch = built(name, make, inputs, seed, device)
    with own_traceback(name):
        found = branch_scale(model, batch, blocks, target, tolerance, seed=seed, advance=advance)
    summary = {
        "model": name,
        "blocks": blocks,
        "target": float(target),
        "tolerance": float(tolerance),
        "knob": "branch_scale",
        "before": 1.0,
        "after": found.scale,
        "change": None if found.scale is None else abs(math.log(found.scale)),
        "slope": found.slope,
        "nats_per_percent": found.slope / 100,
        "critical": found.scale == 1.0,
        "confirmed": _confirmed(found, target, tolerance),
        "reason": found.reason,
        **_end(found.before, "before"),
        **(_end(found.after, "after") if found.after else {}),
        "profile_before": summary_of(name, found.before),
        "profile_after": summary_of(name, found.after) if found.after else None,
    }
    return summary if out is None else {**summary, "files": _drawn(Path(out), found, summary)}


def _end(found: Diagnosis, when: str) -> dict[str, Any]:
    end = found.layers[len(found.points) - 1]
    return {f"sampled_mean_log_{when}": end.mean_log, f"sampled_mean_log_error_{when}": end.standard_error}


def _confirmed(found: Scaling, target: float, tolerance: float) -> bool | None:
    if found.after is None:
        return None
    end = found.after.layers[len(found.after.points) - 1]
    assert end.mean_log is not None and end.standard_error is not None
    return abs(end.mean_log - target) <= tolerance + ERRORS * end.standard_error


def _drawn(out: Path, found: Scaling, summary: dict[str, Any]) -> list[str]:
    lines = {"before": found.before}
    if found.after is not None and found.scale != 1.0:
        lines[f"branches × {found.scale:.4g}"] = found.after
    content = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    files = {"prescription.json": content.encode(), **profiles.draw(lines)}
    replace_folder(out, files)
    return [str(out / name) for name in files]


def as_text(summary: dict[str, Any]) -> str:
    """What was found, in a few sentences."""
    low, high = (summary["target"] + side * summary["tolerance"] for side in (-1, 1))
    what = f"{summary['blocks']} of {summary['model']}: E log 𝒥 from the first to the last block"
    parts = [f"{what} {_measured(summary, 'before')}; critical is from {low:g} to {high:g}"]
    if summary["critical"]:
        parts.append("This is critical: nothing to change.")
    elif summary["after"] is None:
        parts.append(f"No branch_scale: {summary['reason']}")
    else:
        sure = "which fresh probes confirm" if summary["confirmed"] else "which fresh probes do not confirm"
        parts.append(
            f"Multiply every residual branch by {summary['after']:.4g}: E log 𝒥 {_measured(summary, 'after')}, {sure}.\n"
            f"By the closed form a percent of branch scale is worth {summary['nats_per_percent']:.3g} nats at the start."
        )
    parts += [f"Files: {', '.join(summary['files'])}"] if "files" in summary else []
    return "\n\n".join(parts)


def _measured(summary: dict[str, Any], when: str) -> str:
    return f"{summary[f'sampled_mean_log_{when}']:.4g} ± {summary[f'sampled_mean_log_error_{when}']:.2g}"
