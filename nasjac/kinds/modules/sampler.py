"""Sampling by autograd on modules whose weights are drawn by their layers' names, so that all architectures share them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.kinds.sampler import S, Sampler, prepared
from nasjac.sampling.draws import Draws


class _Gained(Protocol):
    @property
    def weight_gain(self) -> float: ...


class LayerSampler(Sampler[S]):
    """A sampler of kinds of linear maps and convolutions, with weights by the law of `nasjac.kinds.modules.initialize`."""

    new_networks: ClassVar[bool] = False

    def networks(self, spec: S, samples: Tensor, draws: Draws, vocabulary: int | None) -> Iterator[ResidualNetwork]:
        """Yield one module again and again, its weights set to those of each draw."""
        network = prepared(self.network(spec, samples.shape[-1], 1, None), spec, draws)
        for draw in range(len(draws.draws)):
            yield redrawn(network, spec, draws, draw)


def redrawn(network: ResidualNetwork, spec: Spec, draws: Draws, draw: int) -> ResidualNetwork:
    """Set the weights of a module to those of one of the draws; return the module."""
    gained: _Gained = spec  # type: ignore[assignment]  # the kinds of this sampler have a gain
    initialize(network, gained.weight_gain, lambda name, shape: drawn(draws, draw, name, shape))
    return network


def drawn(draws: Draws, draw: int, name: str, shape: torch.Size) -> Tensor:
    """Return standard normal numbers in `shape` for the weights of a layer, by its name in the module."""
    role = re.sub(r"blocks\.(\d+)\.(inner|outer)$", r"\2 \1", name)  # of an MLP, as tiles call it
    return draws.normal(role, *shape)[draw]
