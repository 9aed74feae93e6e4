"""Sampling of convolutional networks: by autograd, with common cotangents at the readout's input."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from nasjac.kinds.convolutional.network import ImageNetwork
from nasjac.kinds.modules.sampler import LayerSampler, redrawn
from nasjac.kinds.sampler import S, without_statistics
from nasjac.mathematics.decorrelation import jacobian_correlations
from nasjac.sampling.draws import Draws


class ConvolutionalSampler(LayerSampler[S]):
    """A sampler of one network at a time, which pulls common vectors back from the means over pixels before the readout."""

    probes_readout: ClassVar[bool] = True

    def largest_layer(self, spec: S) -> int:
        """Return the number of weights of a 3x3 convolution of the last stage."""
        widest: int = spec.width * 2 ** max((block.stage for block in spec.blocks), default=0)
        return 9 * widest**2

    def readout_correlations(self, spec: S, batches: Tensor, draws: Draws) -> Tensor:
        """Return [D, B, B] correlations about the mean over h_0 of Jᵀv of the images of each draw [D, B, features]."""
        network = without_statistics(self.network(spec, batches.shape[-1], 1, None), draws)
        assert isinstance(network, ImageNetwork)
        found = []
        for draw, batch in enumerate(batches):
            redrawn(network, spec, draws, draw)
            found.append(_correlations(network, batch, draws, draw))
        return torch.stack(found)


def _correlations(network: ImageNetwork, batch: Tensor, draws: Draws, draw: int) -> Tensor:
    """[B, B] of one initialization."""
    with torch.no_grad():
        start = network.start(batch)
    first = start.requires_grad_()
    *_, last = [first, *network.through(first)]
    seen = network.features(last)
    probe = draws.normal("common cotangent", seen.shape[1])[draw]
    (pulled,) = torch.autograd.grad((seen * probe).sum(), first)
    return jacobian_correlations(pulled.flatten(1)[None].cpu())[0]
