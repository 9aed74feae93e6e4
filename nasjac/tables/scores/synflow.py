"""synflow: the sum of weight times gradient in a network of absolute weights (Tanaka et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nasjac.architecture.spec import check_choice
from nasjac.sampling.draws import Draws
from nasjac.tables.scores.of_networks import OfNetworks

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Synflow(OfNetworks):
    """log Σ_θ θ ∂R/∂θ, R the sum of the outputs of the network with |θ| for an input of ones.

    BatchNorm is the identity, and so is a ReLU6, as a ReLU is where nothing is negative. A network in which no weight
    counts has log 0 = −∞. In float32 R overflows in deep networks, which then have no value.

    `images`  ones in the batch; no value depends on it
    `dtype`   float64 or float32
    `seed`    of the weights
    """

    images: int = 1
    dtype: str = "float64"

    least_images: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("score.dtype", self.dtype, DTYPES)

    @property
    def name(self) -> str:
        """The label of the score."""
        return "synflow"

    def value(self, network: nn.Module, batch: Tensor, draws: Draws) -> float:
        """log Σ_θ θ ∂R/∂θ, on ones instead of the batch."""
        network.to(dtype=DTYPES[self.dtype]).eval()
        for parameter in network.parameters():
            parameter.detach().abs_()
        for module in network.modules():
            if isinstance(module, nn.ReLU6):
                module.max_val = math.inf
        weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
        outputs = network(torch.ones_like(batch, dtype=DTYPES[self.dtype])).sum() / self.images
        gradients = torch.autograd.grad(outputs, weights, allow_unused=True)
        flow = sum(float((w.detach() * g).sum()) for w, g in zip(weights, gradients, strict=True) if g is not None)
        return math.log(flow) if flow > 0 else -math.inf if flow == 0 else math.nan
