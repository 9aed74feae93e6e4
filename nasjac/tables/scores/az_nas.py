"""az_nas: four proxies of the network's blocks, ranked and put together (Lee & Ham, CVPR 2024, arXiv:2403.19232)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.mathematics.log_percentile import LEAST, log_percentiles
from nasjac.sampling.draws import Draws
from nasjac.tables.network_space import NetworkSpace
from nasjac.tables.scores.base import Done, Scored, TableScore, check_at_least, only_draw, reference_population
from nasjac.tables.space import Material

NO_PROXIES = "a block's features are constant: no principal axes, and no Jacobian whose spectral norm is above 0"


@dataclass(frozen=True)
class AzNas(TableScore):
    """Σ log-rank of expressivity, progressivity, trainability and complexity (section 3, non-linear rank aggregation).

    Of the network as trained, BatchNorm in training mode, for images of standard normal noise. Blocks l = 1 … L are the
    stem, the cells and the reductions between stages (in NAS-Bench-Macro the stem and all that is not the identity).

    expressivity   Σ_l s_l, s_l the entropy of the shares of variance along the principal axes of block l's features, whose
                   samples are the pixels of all images
    progressivity  min_l s_l − s_{l−1}
    trainability   mean over l > 1 of 2 − σ_l − 1/σ_l, σ_l the spectral norm of E[g_{l−1} g_lᵀ], the mean over pixels of all
                   images; g_l are random signs, g_{l−1} what block l propagates back of them; where it has a stride, the
                   pixels of its input that one pixel of its output stands for are channels
    complexity     FLOPs, dead operations included

    A rank is a place in the space's reference population, where the authors take that among the architectures of the call.
    A block that is the identity has a trainability near 0, the best, as defined; the authors' code ranks it below all.

    `images`     in the batch
    `reference`  architectures in the reference population, at least 8
    `seed`       of weights, noise and signs
    """

    images: int = 64
    reference: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self, images=2, reference=LEAST, seed=0)

    needs: ClassVar[Material] = Material.NETWORKS

    name = "az_nas"

    def measure(
        self, space: NetworkSpace, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """The sum of the four log-percentiles of each architecture; of the inputs their shape alone counts."""
        both = [*reference_population(space, self.reference), *architectures]

        def share(count: int) -> None:  # most of a call can be the reference
            done(count * len(architectures) // len(both))

        found = self.proxies(space, both, tuple(inputs.shape[1:]), device, share)
        totals = log_percentiles(*np.split(found, [self.reference], axis=1)).sum(axis=0).tolist()
        return [Scored(total) if math.isfinite(total) else Scored(None, NO_PROXIES) for total in totals]

    def proxies(
        self, space: NetworkSpace, architectures: Sequence[Any], shape: tuple[int, ...], device: torch.device, done: Done
    ) -> NDArray[np.float64]:
        """[4, n] expressivity, progressivity, trainability, complexity for images of `shape` [C, H, W].

        Where there are none the first three are −∞: they rank below all others.
        """
        draws = only_draw(self.seed, device)
        noise = draws.normal("noise", self.images, *shape)[0]
        found = np.full((4, len(architectures)), -np.inf)
        for number, architecture in enumerate(architectures):
            network = space.network(architecture, draws).to(device)
            found[:3, number] = of_blocks(network.stem, network.body, noise, draws)
            found[3, number] = space.facts(architecture)["flops"]
            done(number + 1)
        return found


def of_blocks(stem: nn.Module, body: Iterable[nn.Module], images: Tensor, draws: Draws) -> tuple[float, float, float]:
    """Expressivity, progressivity and trainability of a network, all −∞ where the features of a block are constant."""
    with torch.no_grad():
        x: Tensor = stem(images)
    entropies, gains = [expressivity(x)], []
    for place, block in enumerate(body):
        x.requires_grad_()
        y: Tensor = block(x)
        if y is x:  # no layers: no block
            continue
        entropies.append(expressivity(y))
        if math.isnan(entropies[-1]):
            return -math.inf, -math.inf, -math.inf
        signs = torch.where(draws.normal(f"signs {place}", *y.shape)[0] > 0, 1.0, -1.0)
        gains.append(trainability(x, y, signs))
        x = y.detach()
    return sum(entropies), float(np.diff(entropies).min()), float(np.mean(gains))


def expressivity(features: Tensor) -> float:
    """Entropy of the shares of variance along the principal axes of `features` [B, C, H, W].

    log C where all directions vary alike, 0 where one alone does, nan where none does.
    """
    pixels = _pixels(features.detach())
    centred = pixels - pixels.mean(dim=0)
    variances = torch.linalg.eigvalsh((centred.T @ centred).double()).clamp(min=0)
    return float(torch.special.entr(variances / variances.sum()).sum())


def trainability(x: Tensor, y: Tensor, signs: Tensor) -> float:
    """2 − σ − 1/σ of the block that made y [B, C', H', W'] of x [B, C, H, W], with `signs` for gradients of y.

    σ is the spectral norm of mean g_x g_yᵀ, which is that of the block's weights where it is linear in each pixel (or in
    patches as large as its stride) and the signs are uncorrelated. 0 at most; −∞ where nothing goes back.
    """
    (gradient,) = torch.autograd.grad(y, x, signs)
    back = _pixels(F.pixel_unshuffle(gradient, x.shape[-1] // y.shape[-1]))
    forth = _pixels(signs)
    sigma = torch.linalg.matrix_norm((back.T @ forth).double() / len(forth), ord=2)
    return float(2 - sigma - 1 / sigma)


def _pixels(features: Tensor) -> Tensor:
    """[B, C, H, W] -> [B H W, C]"""
    return features.movedim(1, -1).flatten(0, -2)
