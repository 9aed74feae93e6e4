"""The blocks x + F(x) of any model, each as the model calls it: norms of J_F, and gates on F."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasjac.models.nested import floating, swapped
from nasjac.surgery.branches.norms import Norms, norms


@dataclass(frozen=True)
class Called:
    """One call of a block: its arguments, the first floating-point tensor of which is the stream."""

    block: nn.Module
    args: Any
    kwargs: Any

    @property
    def stream(self) -> Tensor:
        """x."""
        return next(iter(floating((self.args, self.kwargs)).values()))

    def __call__(self, x: Tensor) -> Tensor:
        """x + F(x)."""
        args, kwargs = swapped((self.args, self.kwargs), self.stream, x)
        return next(iter(floating(self.block(*args, **kwargs)).values()))

    def both(self) -> tuple[Tensor, Tensor]:
        """x and x + F(x) as the model has them."""
        return self.stream, self(self.stream)

    def added(self, x: Tensor) -> Tensor:
        """F(x)."""
        return self(x) - x


@torch.no_grad()
def calls(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> list[Called]:
    """How the model calls these blocks, in their order."""
    modules, seen = dict(model.named_modules()), dict[str, Called]()

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            seen.setdefault(name, Called(module, args, kwargs))

        return hook

    handles = [modules[name].register_forward_pre_hook(watch(name), with_kwargs=True) for name in names]
    try:
        model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[name] for name in names]


def branch_norms(called: Sequence[Called], generator: Generator, rel_error: float | None = 0.01) -> list[Norms]:
    """The norms of each block's branch at the inputs of the model, an input a point."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative, by which tangents go
        return [norms(one.added, one.stream, generator, rel_error) for one in called]


@contextmanager
def gated(blocks: Sequence[nn.Module], gates: Tensor) -> Iterator[None]:
    """Blocks as x + g F(x), one gate a block."""
    handles = []
    for gate, block in zip(gates, blocks, strict=True):

        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any, gate: Tensor = gate) -> Any:
            given, made = (next(iter(floating(part).values())) for part in ((args, kwargs), output))
            return swapped(output, made, given + gate * (made - given))

        handles.append(block.register_forward_hook(hook, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
