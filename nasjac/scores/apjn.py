"""The averaged partial Jacobian norm by sampling: terms, cost and layer profile.

Source: Doshi, He & Gromov 2023 (arXiv:2111.12143) for the norm; Hutchinson 1990 for the probes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.ensemble import members, with_members
from nasjac.estimators import NAMES, profile, terms
from nasjac.measurement import Estimate, Layer, Measurement
from nasjac.networks.draws import Draws
from nasjac.networks.population import sample
from nasjac.networks.tile import Array, Samples
from nasjac.spec import Spec, check_choice

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Apjn:
    """Options of the sampled score.

    `draws`     draws of the weights, at least 16; each carries 2 inputs × 2 probes in both directions
    `patterns`  skip patterns that an ensemble is averaged over, at least 3
    `seed`      of weights, inputs, probes and patterns
    `dtype`     float32 or float64
    """

    draws: int = 16
    patterns: int = 8
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.draws < 16:
            raise ValueError(f"`score.draws` must be at least 16, got {self.draws!r}")
        if self.patterns < 3:
            raise ValueError(f"`score.patterns` must be at least 3, got {self.patterns!r}")
        check_choice("score.dtype", self.dtype, DTYPES)

    @property
    def name(self) -> str:
        """The label of this score's measurements."""
        return "apjn"

    def __call__(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        """Measure each spec on standardized `inputs` [n, features], n at least 2, drawn from at random."""
        started = time.perf_counter()
        groups = [members(spec, self.patterns, self.seed) for spec in specs]
        samples = self._sample({member.key: member for group in groups for member in group}, inputs, device)
        measured = [self._whole(spec, group, samples) for spec, group in zip(specs, groups, strict=True)]
        seconds = (time.perf_counter() - started) / max(1, len(samples))
        return [_timed(measurement, seconds) for measurement in measured]

    def _sample(self, specs: dict[str, Spec], inputs: Tensor, device: torch.device) -> dict[str, Samples]:
        samples = sample(list(specs.values()), inputs, self._draws(device)) if specs else []
        return dict(zip(specs, samples, strict=True))

    def _draws(self, device: torch.device) -> Draws:
        if device not in self._banks:
            self._banks[device] = Draws(self.seed, range(self.draws), DTYPES[self.dtype], device)
        return self._banks[device]

    @cached_property
    def _banks(self) -> dict[torch.device, Draws]:
        """The draws made so far, kept from call to call."""
        return {}

    def _whole(self, spec: Spec, group: Sequence[Spec], samples: dict[str, Samples]) -> Measurement:
        """The measurement of a spec, with those of its patterns if it is an ensemble."""
        measurement = self._measurement(spec, [samples[member.key] for member in group])
        if not spec.is_ensemble:
            return measurement
        inner = {member.key: self._measurement(member, [samples[member.key]]) for member in group}
        return with_members(measurement, group, inner)

    def _measurement(self, spec: Spec, samples: Sequence[Samples]) -> Measurement:
        failure = next((reason for item in samples if (reason := _failure(item))), None)
        dead_D = np.mean([_is_dead(item).mean(axis=1) for item in samples], axis=0)
        dead = _estimate(dead_D.mean(), dead_D.std(ddof=1) / math.sqrt(len(dead_D)))
        if failure is None and dead.value:
            failure = f"{dead.value:.3g} of the samples have a zero Jacobian, so E log 𝒥 is −∞"
        estimates = dict.fromkeys(NAMES, Estimate(None, None)) | {"dead_fraction": dead}
        if failure is None:
            values, errors = terms(samples, spec.width)
            estimates |= {name: _estimate(v, e) for name, v, e in zip(NAMES, values, errors, strict=True)}
            missing = [name for name in NAMES[:-1] if estimates[name].value is None]
            failure = f"{missing[-1]} is not finite" if missing else None
        return Measurement(
            key=spec.key,
            status="ok" if failure is None else "diverged",
            reason=failure,
            terms=estimates,
            profile=_profile(samples[0], spec.width) if len(samples) == 1 and failure is None else (),
            draws=self.draws,
            kept_key=spec.key,
        )


def _is_dead(samples: Samples) -> NDArray[np.bool_]:
    """[D, I] where the Jacobian is zero, in one direction at least: in the other it may be round-off."""
    ends = np.concatenate([samples.forward[..., -1], samples.backward[..., 0], samples.round_trip], axis=-1)
    return np.asarray(np.isneginf(ends).any(axis=-1))


def _failure(samples: Samples) -> str | None:
    """Where the Jacobian first stops being finite, or None."""
    for name, energies in (("forward", samples.forward), ("backward", samples.backward)):
        bad = np.isnan(energies) | np.isposinf(energies)
        if bad.any():
            layers = np.flatnonzero(bad.any(axis=(0, 1, 2)))
            return f"the {name} Jacobian is not finite at layer {layers[0] if name == 'forward' else layers[-1]}"
    return None


def _timed(measurement: Measurement, seconds: float) -> Measurement:
    """With its share of the time: `seconds` for each network sampled."""
    patterns = tuple((text, replace(inner, seconds=seconds)) for text, inner in measurement.patterns)
    return replace(measurement, seconds=seconds * max(1, len(patterns)), patterns=patterns)


def _profile(samples: Samples, width: int) -> tuple[Layer, ...]:
    directions: tuple[tuple[Literal["forward", "backward"], Array, Array], ...] = (
        ("forward", samples.forward, samples.forward_angle),
        ("backward", samples.backward, samples.backward_angle),
    )
    return tuple(
        Layer(f"h_{number}", direction, *(_finite(value) for value in row))
        for direction, energies, angles in directions
        for number, row in enumerate(zip(*profile(energies, angles, width), strict=True))
    )


def _estimate(value: float, error: float) -> Estimate:
    return Estimate(_finite(value), _finite(error))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
