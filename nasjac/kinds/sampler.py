"""The contract of a kind's sampler of Jacobians. The base class samples one architecture at a time, by autograd.

Letters: D draws, I inputs of a draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.func import replace_all_batch_norm_modules_

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.autograd import module_samples
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples

#: makes a module from (spec, inputs, outputs, generator)
Network = Callable[..., ResidualNetwork]
S = TypeVar("S", bound=Spec)


class Sampler(Generic[S]):
    """A sampler of one kind's architectures, one at a time.

    A kind whose architectures share matrix products overrides `common`, `most_rows`, `row_bytes` and `sample`.

    Args:
        network: Makes a module from (spec, inputs, outputs, generator).
    """

    #: precisions of the matrix products that are refused
    refused_products: ClassVar[tuple[str, ...]] = ("bf16",)
    #: whether a common cotangent is taken at the readout's input (`readout_correlations`) and not at h_L
    probes_readout: ClassVar[bool] = False
    #: whether `networks` gives another module for each draw, not one whose weights change
    new_networks: ClassVar[bool] = True

    def __init__(self, network: Network) -> None:
        self.network = network

    def check(self, specs: Sequence[S], products: str | None) -> None:
        """Refuse a precision of the matrix products in which these architectures cannot be sampled.

        Raises:
            InputError: The precision is refused; the error names it.
        """
        if products in self.refused_products:
            raise InputError(f"`products` (`score.dtype`) must not be {products} for a {specs[0].kind}, got {products!r}")

    def common(self, spec: S) -> tuple[object, ...] | None:
        """Return what architectures that are sampled together have in common, or None where this one is sampled alone."""
        return None

    def most_rows(self, spec: S, draws: Draws) -> int:
        """Return how many architectures are sampled together at most."""
        return 1

    def row_bytes(self, specs: Sequence[S], draws: Draws, plan: Plan) -> int:
        """Return how many bytes one of these architectures takes at most while it is sampled with others."""
        return 0

    def largest_layer(self, spec: S) -> int:
        """Return the number of weights of the largest layer of a block."""
        return spec.width**2

    def sample(
        self, specs: Sequence[S], samples: Tensor, draws: Draws, plan: Plan, products: str | None, vocabulary: int | None
    ) -> list[Samples]:
        """Return the samples of canonical, concrete architectures of which `common` is equal.

        Args:
            specs: Architectures, the deepest first; a single one where `common` is None.
            samples: Inputs [D, I × `Spec.batch`, features], or token ids [D, I, T].
            draws: The draws of weights and probes.
            plan: The vectors that each draw carries.
            products: The precision of the matrix products; None is that of the draws.
            vocabulary: The number of token ids; None where inputs are real features.
        """
        [spec] = specs
        samples = samples if vocabulary is None else samples.long()
        networks = self.networks(spec, samples, draws, vocabulary)
        return [module_samples(spec, networks, samples, draws, plan, stacked=self.new_networks)]

    def readout_correlations(self, spec: S, batches: Tensor, draws: Draws) -> Tensor:
        """Return [D, B, B] correlations over h_0 of Jᵀv of inputs [D, B, features], v random at the readout's input."""
        raise NotImplementedError(f"{type(self).__name__} has probes_readout, and must give readout_correlations")

    def networks(self, spec: S, samples: Tensor, draws: Draws, vocabulary: int | None) -> Iterator[ResidualNetwork]:
        """Yield the module at each draw of its weights: here as the kind initializes it from a seed of the draw."""
        for draw in draws.draws:
            digest = hashlib.blake2b(f"{draws.seed}/{draw}/{spec.kind}".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
            network = self.network(spec, samples.shape[-1] if vocabulary is None else vocabulary, 1, generator)
            yield prepared(network, spec, draws)


def prepared(network: ResidualNetwork, spec: Spec, draws: Draws) -> ResidualNetwork:
    """Return a module as by `without_statistics`, with the learned factors of its branches at 1."""
    network = without_statistics(network, draws)
    for block, module in zip(spec.blocks, network.blocks, strict=True):
        if block.gate:
            torch.nn.init.ones_(module.get_parameter("gate"))
    return network


def without_statistics(network: ResidualNetwork, draws: Draws) -> ResidualNetwork:
    """Return a module in the draws' precision, without gradients of weights and without running statistics."""
    network = network.to(draws.device, draws.dtype).requires_grad_(False)
    replace_all_batch_norm_modules_(network)  # BatchNorm then uses the statistics of the batch in any mode
    return network
