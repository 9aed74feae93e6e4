"""prescribe: what brings an architecture, or the blocks of a model, to criticality."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import number, shown
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.errors import InputError
from nasjac.models import profile_figure
from nasjac.models.closed_form_figures import draw_prescription
from nasjac.models.prescribe_model import ModelPrescription, branch_scale
from nasjac.models.prescribe_spec import prescribe_spec
from nasjac.models.prescribed_spec import SpecPrescription
from nasjac.models.prescription.band import Band


def prescribe(
    what: Spec | nn.Module,
    inputs: Any = None,
    *,
    blocks: str | None = None,
    target: float = 0.0,
    tolerance: float = 1.0,
    stream_variance: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str | None = None,
    out: str | Path | None = None,
    advance: Callable[[int, str], None] = lambda done, text: None,
) -> SpecPrescription | ModelPrescription:
    """Find the smallest changes that bring an architecture, or the blocks of a model, to criticality, and check them.

    Critical is |log 𝒥(h_0 → h_L) − target| ≤ tolerance. Of an architecture every knob is turned by the closed form
    (`nasjac.models.prescription`), and the result sampled; of a model one factor on all residual branches is found by
    measured Jacobians.

    Args:
        what: An architecture; or a module, which is left as it was.
        inputs: A batch for a model, as `nasjac.diagnose` takes it.
        blocks: The list of a model's blocks x + F(x), such as `transformer.h`, or a pattern of their names.
        target: The middle of the critical band, in nats.
        tolerance: Half its width, in nats; above 0 for a model, whose norms are sampled.
        stream_variance: The second moment per unit of an architecture's stream h_0.
        seed: Of sampling.
        device: Where an architecture is sampled.
        name: What a model is called; by default the name of its class.
        out: A folder for figures (of an architecture in a folder of its key) and, of a model, JSON.
        advance: Called with (1, what was done) at every step on a model.

    Returns:
        The changes, the recommended one among them; or the factor. Both print as text.

    Raises:
        InputError: The closed forms do not cover the architecture, the blocks are not a chain of x + F(x), or a bad number.

    >>> from nasjac import Block
    >>> prescribe(Spec.of(width=32, blocks=(Block(),) * 8)).recommended.prescription.knob
    'weight_gain'
    """
    if isinstance(what, Spec):
        if out is not None:
            check_replaceable(Path(out) / what.canonical.key)
        spec = prescribe_spec(what, Band(target, tolerance), stream_variance, seed, device)
        return spec if out is None else spec.written(Path(out) / spec.spec.key, draw_prescription(spec))
    if not isinstance(what, nn.Module):
        raise InputError(f"`what` must be a Spec or an nn.Module, got {shown(what)}")
    if blocks is None:
        raise InputError("`blocks` must name the residual blocks of the model, such as transformer.h, got None")
    if not number("tolerance", tolerance) > 0:
        raise InputError(f"`tolerance` must be above 0 for a model, whose norms are sampled, got {tolerance!r}")
    if out is not None:
        check_replaceable(out)
    model = branch_scale(what, inputs, blocks, Band(target, tolerance), seed, name, advance)
    if out is None:
        return model
    lines = {"before": model.before}
    if model.after is not None and not model.critical:
        lines[f"branches × {model.scale:.4g}"] = model.after
    return model.written(out, profile_figure.draw(lines), "prescription.json")
