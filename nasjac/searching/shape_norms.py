"""E log 𝒥 of shapes: a closed form where there is one, else sampled, for wide networks at a smaller width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.scores.closed_forms import expected_norms, uncovered
from nasjac.scores.few_draws import LogNorm, expected_log_norm
from nasjac.searching.shapes import Shape


class ShapeNorm(NamedTuple):
    """E log 𝒥, its standard error, where it is from, and what halving the width changes where that is a smaller one."""

    value: float | None
    error: float | None
    source: str
    narrowing: float | None


def expected_logs(found: Sequence[Shape], samples: Tensor, narrow: int, error: float, seed: int) -> list[ShapeNorm]:
    """Return E log 𝒥 of each shape; what has no closed form is sampled all together, for it shares the cores then.

    Args:
        found: The shapes.
        samples: Inputs [n, features] or token ids [n, T].
        narrow: The smaller of two widths that stand for larger ones.
        error: The largest standard error, in nats.
        seed: Of weights, inputs and probes.
    """
    plans = [_networks(shape, narrow) for shape in found]
    specs = [spec for networks in plans for spec in networks]
    logs = iter(expected_log_norm(specs, samples, error, seed=seed) if specs else [])
    return [_log(shape, networks, [next(logs) for _ in networks]) for shape, networks in zip(found, plans, strict=True)]


def _networks(shape: Shape, narrow: int) -> list[Spec]:
    """What is sampled of a shape: nothing by closed form, itself, or itself at twice the width `narrow` and at that."""
    if closed_form(shape.spec) is not None:
        return []
    half, full = (shape.multiple * math.ceil(width / shape.multiple) for width in (narrow, 2 * narrow))
    return [shape.spec] if shape.spec.width <= full else [shape.narrow(full), shape.narrow(half)]


def closed_form(spec: Spec) -> float | None:
    """Return E log 𝒥 by closed form; None where there is none, or only one of log E 𝒥, which is larger."""
    if uncovered(spec) is not None:
        return None
    return [layer.mean_log for layer in expected_norms(spec).layers if layer.direction == "forward"][-1]


def _log(shape: Shape, networks: Sequence[Spec], logs: Sequence[LogNorm]) -> ShapeNorm:
    if not networks:
        return ShapeNorm(closed_form(shape.spec), 0.0, "closed form", None)
    value, error = logs[0].mean_log.value, logs[0].mean_log.standard_error
    if len(logs) == 1:
        return ShapeNorm(value, error, "sampled", None)
    below = logs[1].mean_log.value
    narrowing = None if value is None or below is None else value - below
    return ShapeNorm(value, error, f"sampled at width {networks[0].width}", narrowing)
