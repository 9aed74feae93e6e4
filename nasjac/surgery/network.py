"""What growing and pruning ask of a network, ours or a user's own: its blocks, its data, and changed versions of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.mathematics.logarithms import Array
from nasjac.models.hooks import hooked
from nasjac.models.nested import stream_of, swapped
from nasjac.surgery.branches.norms import Function
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.results import Source, Worth
from nasjac.trainers import Run


@dataclass(frozen=True)
class Link:
    """One block at the data: of x [G, ...] it makes `output(x)`, which is `bypassed(x)` + `added(x)` unless a norm or an
    activation is behind the sum; without its branch it makes `bypassed(x)`.

    `op`, `stage`  what F is, and the stage of a network of images
    `branched`     whether it has a branch, and `prunable` whether that can go
    `skip`         E g² of the factor g of what is beside the branch; None where that changes the shape
    """

    x: Tensor
    output: Function
    added: Function
    bypassed: Function
    op: str = "block"
    stage: int = 0
    branched: bool = True
    prunable: bool = True
    skip: float | None = 1.0

    def both(self) -> tuple[Tensor, Tensor]:
        """Return x and the block's output at it."""
        return self.x, self.output(self.x)


class Stack(NamedTuple):
    """The blocks of a network as one module h_0 -> h_L, and their names in it."""

    module: nn.Module
    names: list[str]


class Network(ABC):
    """A network of residual blocks with weights, at its data; frozen, so that what is measured is measured once.

    `nasjac.surgery.trained.Trained` is one of ours, a Spec with its state; `nasjac.surgery.own_model.OwnModel` a user's
    module with the list of its blocks. All that is measured is measured inside `ready()`, and `grown` and `without` are
    called outside of it.
    """

    #: the network as an ordinary module
    module: nn.Module

    @property
    @abstractmethod
    def source(self) -> Source:
        """What it was read from."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """Its blocks, as `outputs` and `loss` run them."""

    @property
    @abstractmethod
    def links(self) -> Sequence[Link]:
        """Its blocks at G points of the data, as Jacobians are taken of them."""

    @property
    @abstractmethod
    def stream(self) -> Sequence[Tensor]:
        """h_0 ... h_L at the points, [G, ...] each."""

    @property
    @abstractmethod
    def stack(self) -> Stack:
        """Its blocks as one function. InputError: they do not follow one another."""

    @abstractmethod
    def outputs(self) -> Tensor:
        """Its outputs on the data. InputError: they are not finite."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Its loss on the data, differentiable. InputError: it has none."""

    @abstractmethod
    def grown(self, count: int, beginning: Beginning, after: Sequence[int] | None) -> tuple[Network, tuple[int, ...]]:
        """A deeper copy with `count` new blocks behind the blocks `after` (None: spread evenly), and their numbers."""

    @abstractmethod
    def without(self, gone: Sequence[int]) -> Network:
        """A copy without the branches of the blocks `gone`."""

    @abstractmethod
    def files(self, note: Mapping[str, object], state: Mapping[str, Tensor] | None = None) -> dict[str, bytes]:
        """The files that it is read from again, by name, with the weights `state` in the place of its own.

        `note` goes into a checkpoint's spec.json.
        """

    # The rest has a default, which is that of a user's module.

    @property
    def architecture(self) -> Spec | None:
        """Its Spec, if it has one."""
        return None

    @property
    def held(self) -> float:
        """The part of a skip's factor that goes with the branch."""
        return 1.0

    @property
    def worth(self) -> Worth:
        """Its accuracy and loss on the validation split, if it has one."""
        return Worth()

    @property
    def expected_energies(self) -> Array:
        """[L] E‖J_F‖_F² / N of each block at initialization. InputError: it is not known."""
        raise InputError("`criterion` must be another one where no closed form is known, got 'lowest_energy'")

    def ready(self) -> AbstractContextManager[None]:
        """The state in which it is measured; left as it was at the end."""
        return nullcontext()

    def bypassed(self, block: nn.Module, x: Tensor) -> Tensor:
        """What is left of one of `blocks` at x without its branch."""
        return x

    def fine_tuned(self, steps: int, learning_rate: float, seed: int) -> Run | None:
        """A short training from the weights that it has; None where it has no data to train on."""
        return None

    def gated(self, gates: Tensor) -> AbstractContextManager[None]:
        """Its blocks as g × block + (1 − g) × what is left of it without its branch, by gates [L]: 0 prunes."""

        def hook(gate: Tensor, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            made, left = stream_of(output), self.bypassed(module, stream_of((args, kwargs)))
            return swapped(output, made, left + gate * (made - left))

        pairs = zip(gates, self.blocks, strict=True)
        return hooked(block.register_forward_hook(partial(hook, gate), with_kwargs=True) for gate, block in pairs)


def finite(outputs: Tensor, where: str) -> Tensor:
    """Return the outputs. InputError: they are not finite."""
    if not outputs.isfinite().all():
        raise InputError(f"outputs must be finite, got NaN or infinity on the {where}")
    return outputs
