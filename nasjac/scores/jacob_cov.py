"""jacob_cov: how different the Jacobians of a batch's images are (Mellor et al., arXiv:2006.04647v1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nasjac.decorrelation import decorrelation
from nasjac.scores.tabular import Done, Scored, batch_of, check_at_least, one_by_one, only_draw


@dataclass(frozen=True)
class JacobCov:
    """−Σ (log λ + 1/λ), λ the eigenvalues of the correlation matrix of ∂(v·f(x_b))/∂x_b over the images b of a batch.

    f are the logits of the network as trained, BatchNorm in training mode; v is one random probe, where the
    authors' code has ones.

    `images`  in the batch
    `seed`    of weights, images and probe
    """

    images: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("images", self.images, 2)

    needs_images: ClassVar[bool] = True
    space_method: ClassVar[str] = "network"

    @property
    def name(self) -> str:
        return "jacob_cov"

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        draws = only_draw(self.seed, device)
        batch = batch_of(images, self.images, draws)

        def value(architecture: Any) -> float:
            network = space.network(architecture, draws).to(device)
            x = batch.clone().requires_grad_()
            logits = network(x)
            probed = (logits * draws.normal("probe", logits.shape[1])[0]).sum()
            (gradient,) = torch.autograd.grad(probed, x, materialize_grads=True)  # zero where every path is cut
            return float(decorrelation(gradient.flatten(1)[None])[0])

        return one_by_one(value, architectures, done)
