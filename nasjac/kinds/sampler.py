"""How the Jacobians of a kind's architectures are sampled. The base class does it one by one, by autograd on the module.

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

#: what makes a module of (spec, inputs, outputs, generator)
Network = Callable[..., ResidualNetwork]
S = TypeVar("S", bound=Spec)


class Sampler(Generic[S]):
    """Samples of architectures of one kind, each by itself; a kind whose architectures share products overrides `common`,
    `most_rows`, `row_bytes` and `sample`.

    Args:
        network: What makes a module of (spec, inputs, outputs, generator).
    """

    #: precisions of the matrix products that are refused
    refused_products: ClassVar[tuple[str, ...]] = ("bf16",)
    #: whether a common cotangent is one of what the readout sees (`readout_correlations`), not of h_L
    probes_readout: ClassVar[bool] = False
    #: whether `networks` gives another module for each draw, not one whose weights change
    new_networks: ClassVar[bool] = True

    def __init__(self, network: Network) -> None:
        self.network = network

    def check(self, specs: Sequence[S], products: str | None) -> None:
        """Refuse a precision of the products that these architectures cannot be sampled in.

        Raises:
            InputError: names the precision.
        """
        if products in self.refused_products:
            raise InputError(f"`products` (`score.dtype`) must not be {products} for a {specs[0].kind}, got {products!r}")

    def common(self, spec: S) -> tuple[object, ...] | None:
        """What architectures have alike that are sampled together; None: this one is sampled alone."""
        return None

    def most_rows(self, spec: S, draws: Draws) -> int:
        """Architectures that are sampled together, at most."""
        return 1

    def row_bytes(self, specs: Sequence[S], draws: Draws, plan: Plan) -> int:
        """Bytes that one of these architectures takes at most while it is sampled with others."""
        return 0

    def largest_layer(self, spec: S) -> int:
        """Weights of the largest layer of a block."""
        return spec.width**2

    def sample(
        self, specs: Sequence[S], samples: Tensor, draws: Draws, plan: Plan, products: str | None, vocabulary: int | None
    ) -> list[Samples]:
        """The samples of canonical, concrete architectures that have `common` alike.

        Args:
            specs: The deepest first; one alone where `common` is None.
            samples: [D, I × `Spec.batch`, features], or token ids.
            draws: Of the weights and probes.
            plan: What each draw carries.
            products: Precision of the matrix products; None is the draws'.
            vocabulary: Ids that there are, None of real features.
        """
        [spec] = specs
        samples = samples if vocabulary is None else samples.long()
        networks = self.networks(spec, samples, draws, vocabulary)
        return [module_samples(spec, networks, samples, draws, plan, stacked=self.new_networks)]

    def readout_correlations(self, spec: S, batches: Tensor, draws: Draws) -> Tensor:
        """[D, B, B] correlations over h_0 of Jᵀv of inputs [D, B, features], v a vector of what the readout sees."""
        raise NotImplementedError(f"{type(self).__name__} has probes_readout, and must give readout_correlations")

    def networks(self, spec: S, samples: Tensor, draws: Draws, vocabulary: int | None) -> Iterator[ResidualNetwork]:
        """The module at each draw of the weights: here what the kind's own initialization draws from a seed of the draw."""
        for draw in draws.draws:
            digest = hashlib.blake2b(f"{draws.seed}/{draw}/{spec.kind}".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
            network = self.network(spec, samples.shape[-1] if vocabulary is None else vocabulary, 1, generator)
            yield prepared(network, spec, draws)


def prepared(network: ResidualNetwork, spec: Spec, draws: Draws) -> ResidualNetwork:
    """A module as `without_statistics`, learned factors of branches at 1."""
    network = without_statistics(network, draws)
    for block, module in zip(spec.blocks, network.blocks, strict=True):
        if block.gate:
            torch.nn.init.ones_(module.get_parameter("gate"))
    return network


def without_statistics(network: ResidualNetwork, draws: Draws) -> ResidualNetwork:
    """A module in the draws' precision, without gradients of weights and without running statistics."""
    network = network.to(draws.device, draws.dtype).requires_grad_(False)
    replace_all_batch_norm_modules_(network)  # theirs are those of the batch then, in any mode
    return network
