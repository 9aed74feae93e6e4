"""Random probes v with E v vᵀ = I, by which the squared norm of a Jacobian is estimated without the Jacobian."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def sphere(count: int, size: int, generator: Generator) -> Tensor:
    """Return probes [count, size], float64, uniform on the sphere of radius √size.

    Their variance is never above that of Gaussian probes, and zero for an isotropic Jacobian.
    """
    return on_sphere(torch.randn(count, size, dtype=torch.float64, generator=generator))


def on_sphere(normal: Tensor) -> Tensor:
    """Return standard normal vectors [..., N] brought to norm √N."""
    return math.sqrt(normal.shape[-1]) * torch.nn.functional.normalize(normal, dim=-1)
