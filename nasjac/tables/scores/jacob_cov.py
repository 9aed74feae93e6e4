"""jacob_cov: how different the Jacobians of a batch's images are (Mellor et al., arXiv:2006.04647v1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasjac.mathematics.decorrelation import jacobian_decorrelation
from nasjac.sampling.draws import Draws
from nasjac.tables.scores.of_networks import OfNetworks


@dataclass(frozen=True)
class JacobCov(OfNetworks):
    """−Σ (log λ + 1/λ), λ the eigenvalues of the correlation matrix of ∂(v·f(x_b))/∂x_b over the images b of a batch.

    f are the logits of the network as trained, BatchNorm in training mode; v is one random probe, where the
    authors' code has ones.

    `images`  in the batch
    `seed`    of weights, images and probe
    """

    @property
    def name(self) -> str:
        """The label of the score."""
        return "jacob_cov"

    def value(self, network: nn.Module, batch: Tensor, draws: Draws) -> float:
        """The decorrelation of the images' Jacobians."""
        x = batch.clone().requires_grad_()
        logits = network(x)
        probed = (logits * draws.normal("probe", logits.shape[1])[0]).sum()
        (gradient,) = torch.autograd.grad(probed, x, materialize_grads=True)  # zero where every path is cut
        return float(jacobian_decorrelation(gradient.flatten(1)[None])[0])
