"""Norms of a branch's Jacobian at given points, without the Jacobian: spectral by Lanczos, Frobenius by probes.

Letters: G points, whose outputs do not depend on each other; n inputs and m outputs of a point; V probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from nasjac.foundation.workers import one_thread
from nasjac.mathematics.lanczos import spectral_norms
from nasjac.mathematics.probes import on_sphere
from nasjac.sampling.linearized import Linearized

Function = Callable[[Tensor], Tensor]

#: probes of a point at first and at most, and the relative standard error of the mean energy that ends them
FIRST, MOST, PRECISE = 8, 128, 0.02


@dataclass(frozen=True)
class Norms:
    """Of each of G points: ‖J_F‖₂ [G] and ‖J_F‖_F² [G]; `energy_error` is the standard error of the mean of `energy`.

    `outputs`  m, by which an energy per unit is divided
    `ratio`    [G] ‖F(x)‖ / ‖x‖
    """

    spectral: Tensor
    squared: Tensor
    squared_error: float
    outputs: int
    ratio: Tensor

    @property
    def energy(self) -> float:
        """χ = E‖J_F‖_F² / m over the points."""
        return float(self.squared.mean()) / self.outputs

    @property
    def frobenius(self) -> float:
        """√E‖J_F‖_F²."""
        return math.sqrt(float(self.squared.mean()))

    @property
    def frobenius_error(self) -> float:
        """Standard error of `frobenius`, over probes."""
        return self.squared_error / (2 * self.frobenius) if self.frobenius else 0.0


def norms(function: Function, x: Tensor, generator: Generator, rel_error: float | None = 0.01) -> Norms:
    """Both norms of the Jacobian of `function` at the points x [G, ...]; no spectral norm (NaN) for `rel_error` None.

    The spectral norm is from below, to `rel_error` by its residual.
    """
    with one_thread(x.numel()):
        linear = Linearized(function, x)
        points, outputs = len(x), linear.output[0].numel()
        squared, error = _squared(linear, x, generator)
        spectral = torch.full((points,), math.nan, dtype=torch.float64)
        if rel_error is not None:
            start = _normal(points, 1, x, generator)[:, 0]
            spectral = spectral_norms(
                lambda v: linear.push_each(v[:, None])[:, 0],
                lambda v: linear.pull_each(v[:, None])[0][:, 0],
                start,
                rel_error,
            ).norm
        with torch.no_grad():
            ratio = _size(function(x)) / _size(x)
        return Norms(spectral.cpu(), squared, error, outputs, ratio.cpu())


def _squared(linear: Linearized, x: Tensor, generator: Generator) -> tuple[Tensor, float]:
    """[G] means over probes of ‖J u‖², and the standard error of their mean over points."""
    found = x.new_zeros(len(x), 0, dtype=torch.float64)
    while True:
        probes = on_sphere(_normal(len(x), max(FIRST, found.shape[1]), x, generator))
        pushed = linear.push_each(probes).double().square().sum(-1)
        found = torch.cat([found, pushed], dim=1)
        error = float((found.var(dim=1) / found.shape[1]).sum().sqrt()) / len(x)
        if error <= PRECISE * float(found.mean()) or found.shape[1] >= MOST:
            return found.mean(dim=1).cpu(), error


def _normal(points: int, count: int, x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(points, count, x[0].numel(), dtype=x.dtype, generator=generator).to(x.device)


def _size(vectors: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1, dtype=torch.float64)
    return size
