"""What the package says of a Spec today, in the form in which it is frozen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from nasjac import Spec, build
from nasjac.architecture.measurement import Measurement
from nasjac.kinds.facts import facts
from nasjac.sampling import draws as draws_module
from nasjac.sampling.draws import Draws
from nasjac.scores.meanfield import Meanfield
from nasjac.scores.merit import Merit

FEATURES, VOCABULARY, CLASSES, IMAGES = 20, 11, 3, 64
#: Specs of a kind among which their merits are ranked
POPULATION = 12


def of_specs(specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """JSON, canonical JSON, key, facts, closed-form terms and the module's parameters of each."""
    features = torch.randn(IMAGES, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    closed = Meanfield().measure(specs, features, torch.device("cpu"))
    return [
        {
            "json": spec.to_json(),
            "canonical": spec.canonical.to_json(),
            "key": spec.key,
            "facts": asdict(known),
            "closed_form": {"status": form.status, **_values(form)},
            "parameters": _parameters(spec),
        }
        for spec, known, form in zip(specs, facts(specs), closed, strict=True)
    ]


def of_terms(specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """Every sampled term with its error, and the profile, in float64; merit among the first Specs of the same kind."""
    with precise_draws():
        found = dict(_sampled(specs))
    return [_measured(spec, found[n]) for n, spec in enumerate(specs)]


def _sampled(specs: Sequence[Spec]) -> Iterator[tuple[int, Measurement]]:
    for kind in dict.fromkeys(spec.kind for spec in specs):
        numbers = [n for n, spec in enumerate(specs) if spec.kind == kind]
        group = [specs[n] for n in numbers]
        score = Merit(rel_error=None, dtype="float64").bind([_concrete(spec) for spec in group[:POPULATION]])
        yield from zip(numbers, score.measure(group, inputs_of(group[0]), torch.device("cpu")), strict=True)


@contextmanager
def precise_draws() -> Iterator[None]:
    """Weights and probes drawn in float64: torch's normal numbers in float32 differ by 1e-7 between processors."""

    def drawn(draws: Draws, draw: int, role: str, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=draws._generator(draw, role, shape))

    draws_module._cache_of.cache_clear()  # what it holds was drawn in float32, and is to be again
    try:
        with patch.object(Draws, "_drawn", drawn):
            yield
    finally:
        draws_module._cache_of.cache_clear()


def inputs_of(spec: Spec) -> Tensor:
    """Inputs that a Spec takes: ids, images, or features."""
    generator = torch.Generator().manual_seed(1)
    if spec.kind == "transformer_lm":
        return torch.randint(VOCABULARY, (IMAGES, spec.context), generator=generator)
    return torch.randn(IMAGES, _features(spec), dtype=torch.float64, generator=generator)


def _features(spec: Spec) -> int:
    return math.prod(spec.shape) if spec.shape else FEATURES


def _measured(spec: Spec, item: Measurement) -> dict[str, Any]:
    lines = [[layer.name, layer.direction, layer.log_mean, layer.mean_log, layer.standard_error] for layer in item.profile]
    return {"key": spec.key, "status": item.status, "kept_key": item.kept_key, "terms": _values(item), "profile": lines}


def _values(item: Measurement) -> dict[str, list[float | None]]:
    known = {name: [term.value, term.standard_error] for name, term in item.terms.items()}
    return {name: pair for name, pair in known.items() if pair != [None, None] and not _is_rounding(name, pair[0])}


def _is_rounding(name: str, value: float | None) -> bool:
    """Whether tokens are so alike that what differs between them is the rounding of float64, ε² = e^-72."""
    return name.startswith("token_") and value is not None and value < -60


def _parameters(spec: Spec) -> str:
    """Digest of names and shapes, which checkpoints of the architecture have."""
    inputs = VOCABULARY if spec.kind == "transformer_lm" else _features(spec)
    module = build(_concrete(spec), inputs, CLASSES)
    shapes = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:12]


def _concrete(spec: Spec) -> Spec:
    """An ensemble with every skip kept that has a probability of at least a half."""
    blocks = tuple(replace(block, skip=float(block.skip >= 0.5)) for block in spec.blocks)
    return replace(spec, blocks=blocks) if spec.is_ensemble else spec


def differences(old: Any, new: Any, tolerance: float, path: str = "") -> list[str]:
    """Where two JSON values differ: numbers by more than `tolerance` (relative, and absolute below 1), the rest at all."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [f"{path} has {sorted(old)}, now {sorted(new)}"] if old.keys() != new.keys() else []
        return names + [
            line for name in old if name in new for line in differences(old[name], new[name], tolerance, f"{path}.{name}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for n, pair in pairs for line in differences(*pair, tolerance, f"{path}[{n}]")]
    if isinstance(old, float) and isinstance(new, float) and tolerance:
        return [] if abs(old - new) <= tolerance * max(1.0, abs(old)) else [f"{path} was {old!r}, is {new!r}"]
    return [] if old == new and type(old) is type(new) else [f"{path} was {old!r}, is {new!r}"]
