"""synflow: the sum of weight times gradient in a network of absolute weights (Tanaka et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasjac.architecture.fields import check_choice
from nasjac.tables.scores.base import Done, Scored, check_at_least, one_by_one, only_draw


@dataclass(frozen=True)
class Synflow:
    """log Σ_θ θ ∂R/∂θ, R the sum of the outputs of the network with |θ| for an input of ones.

    BatchNorm is the identity, and so is a ReLU6, as a ReLU is where nothing is negative. A network in which no weight
    counts has log 0 = −∞. In float32 R overflows in deep networks, which then have no value.

    `images`  ones in the batch; no value depends on it
    `dtype`   float64 or float32
    `seed`    of the weights
    """

    images: int = 1
    dtype: str = "float64"
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("images", self.images, 1)
        check_choice("score.dtype", self.dtype, ("float32", "float64"))

    needs_images: ClassVar[bool] = True
    space_method: ClassVar[str] = "network"

    @property
    def name(self) -> str:
        return "synflow"

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        dtype = getattr(torch, self.dtype)
        ones = torch.ones(self.images, *images.shape[1:], dtype=dtype, device=device)

        def value(architecture: Any) -> float:
            network = space.network(architecture, only_draw(self.seed, device)).to(device, dtype).eval()
            for parameter in network.parameters():
                parameter.detach().abs_()
            for module in network.modules():
                if isinstance(module, nn.ReLU6):
                    module.max_val = math.inf
            weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
            gradients = torch.autograd.grad(network(ones).sum() / self.images, weights, allow_unused=True)
            flow = sum(float((w.detach() * g).sum()) for w, g in zip(weights, gradients, strict=True) if g is not None)
            return math.log(flow) if flow > 0 else -math.inf if flow == 0 else math.nan

        return one_by_one(value, architectures, done)
