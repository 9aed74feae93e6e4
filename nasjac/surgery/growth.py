"""Deeper networks from trained ones: new residual blocks between those that are there, as a new Spec and state.

The running statistics of a new block's BatchNorm are those of the data in the grown network; those that are there stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.table import kind_of
from nasjac.surgery.insertion import Beginning, planned

State = Mapping[str, Tensor]

#: samples of a batch by which BatchNorms are calibrated
CALIBRATION_BATCH = 256


@dataclass(frozen=True)
class Weighted:
    """A network as its Spec and state."""

    spec: Spec
    state: dict[str, Tensor]

    def module(self, inputs: int, outputs: int) -> nn.Module:
        """Return the network as an ordinary module."""
        network = build(self.spec, inputs, outputs)
        network.load_state_dict(self.state)
        return network


@dataclass(frozen=True)
class Grown(Weighted):
    """A grown network, and `new`, the numbers of its new blocks."""

    new: tuple[int, ...]


def grow(spec: Spec, state: State, places: Sequence[int], beginning: Beginning, inputs: int, outputs: int) -> Grown:
    """Return the network with a new block at each of `places`, counted as by `spread`; one may come more than once.

    `state` is that of `build(spec, inputs, outputs)`, and is left as it is.

    Raises:
        InputError: A place does not exist, or a copy is asked for where the neighbours change the shape.
    """
    deeper, sources, new = planned(spec, places, beginning)
    fresh = build(deeper, inputs, outputs, torch.Generator().manual_seed(beginning.seed))
    if beginning.init == "zero_last":
        for number in new:
            kind_of(deeper).surgery.zero_last(deeper, fresh.get_submodule(f"blocks.{number}"))
    return Grown(deeper, dict(_joined(fresh.state_dict(), state, sources, new)), new)


@torch.no_grad()
def calibrated(grown: Grown, data: Tensor, inputs: int, outputs: int) -> Grown:
    """Return it with the running statistics of new BatchNorms taken from `data`; itself where it has none."""
    network = grown.module(inputs, outputs).eval()
    blocks = [network.get_submodule(f"blocks.{number}") for number in grown.new]
    if not (norms := [module for block in blocks for module in block.modules() if isinstance(module, _BatchNorm)]):
        return grown
    settle(network, norms, [batch for batch in torch.split(data, CALIBRATION_BATCH) if len(batch) > 1])
    return replace(grown, state=dict(network.state_dict()))


@torch.no_grad()
def settle(network: nn.Module, norms: Sequence[_BatchNorm], batches: Iterable[Tensor]) -> None:
    """Give BatchNorms of a network the running statistics of batches: their plain mean."""
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        network(batch)
    network.eval()


def _joined(fresh: State, state: State, sources: Sequence[int | None], new: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """The grown network's tensors: old ones, copies, and fresh ones. A new block's norm of the sum is its neighbour's."""
    for name, tensor in fresh.items():
        if not name.startswith("blocks."):
            yield name, state[name].clone()
            continue
        number, _, rest = name.removeprefix("blocks.").partition(".")
        source = sources[int(number)]
        if source is None and rest.startswith("norm_sum"):
            source = next((s for s in reversed(sources[: int(number)]) if s is not None), None)
        gates = int(number) in new and rest in ("skip", "scale")
        old = None if source is None or gates else state.get(f"blocks.{source}.{rest}")
        yield name, (tensor if old is None else old).clone()
