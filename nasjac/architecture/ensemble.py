"""The networks that an ensemble stands for: its skip probabilities drawn as bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.skip_patterns import skip_pattern
from nasjac.architecture.spec import Spec


def members(spec: Spec, patterns: int, seed: int) -> list[Spec]:
    """Return the canonical Spec, or for an ensemble `patterns` concrete Specs drawn by (seed, number), with repeats."""
    spec = spec.canonical
    if not spec.is_ensemble:
        return [spec]
    return [_pattern(spec, number + seed * patterns) for number in range(patterns)]


def _pattern(spec: Spec, seed: int) -> Spec:
    """One network of an ensemble: each probability becomes a bit."""
    kept = [skip_pattern(block.skip, number + 1, seed)[number] for number, block in enumerate(spec.blocks)]
    blocks = tuple(replace(block, skip=float(skip)) for block, skip in zip(spec.blocks, kept, strict=True))
    return replace(spec, blocks=blocks).canonical


def with_members(whole: Measurement, group: Sequence[Spec], measured: Mapping[str, Measurement]) -> Measurement:
    """Return the measurement of an ensemble with those of its members; it keeps the member of lowest trainability cost."""
    unique = {member.key: member for member in group}
    inner = tuple((member.to_json(), measured[key]) for key, member in unique.items())
    costs = {item.key: cost for _, item in inner if (cost := item.terms["trainability_cost"].value) is not None}
    return replace(whole, patterns=inner, kept_key=min(costs, key=costs.__getitem__, default=None))
