"""Models that are wrong in one way each, for `nasjac.diagnose`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn


class Odd(nn.Module):
    """Two linear layers of four units, and what `way` makes of the output."""

    def __init__(self, way: Callable[[Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        self.way, self.first, self.last, self.calls = way, nn.Linear(4, 4), nn.Linear(4, 4), 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return self.way(self.last(torch.tanh(self.first(x))))


class NeedsWidth(Odd):
    """A class whose instances take an argument."""

    def __init__(self, width: int) -> None:
        super().__init__()


class Forgetful(nn.Module):
    """Without the call of its base class."""

    def __init__(self) -> None:
        pass


class Stateful(Odd):
    """Fails from the second call on."""

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise ValueError("once is enough")
        return self.last(x)


class Changing(Odd):
    """Gives another kind of output from the second call on."""

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return (self.last(x),) if self.calls > 1 else self.last(x)


def raises(error: BaseException) -> Callable[[Tensor], Any]:
    """A way that raises."""

    def way(y: Tensor) -> Any:
        raise error

    return way


def fails() -> nn.Module:
    raise KeyError("a config of theirs")


def exits() -> nn.Module:
    sys.exit(0)


def recurses(y: Tensor) -> Tensor:
    return recurses(y)


#: by what is wrong with each: what `nasjac.diagnose` is given as a model
MODELS: dict[str, Callable[[], Any]] = {
    "plain": Odd,
    "class": lambda: Odd,
    "class with an argument": lambda: NeedsWidth,
    "class without its base": lambda: Forgetful,
    "function with an argument": lambda: lambda width: Odd(),
    "function that fails": lambda: fails,
    "function that exits": lambda: exits,
    "function of nothing": lambda: lambda: None,
    "builtin": lambda: len,
    "no parameters": nn.Identity,
    "flat": nn.Flatten,
    "half": lambda: Odd().half(),
    "double": lambda: Odd().double(),
    "meta": lambda: Odd().to("meta"),
    "complex": lambda: Odd().to(torch.cfloat),
    "lazy": lambda: nn.LazyLinear(3),
    "compiled by script": lambda: torch.jit.script(nn.Linear(4, 4)),
    "wrong width": lambda: nn.Linear(5, 4),
    "embedding": lambda: nn.Embedding(5, 4),
    "recurrent": lambda: nn.LSTM(4, 4),
    "batch norm": lambda: nn.BatchNorm1d(4),
    "gives none": lambda: Odd(lambda y: None),
    "gives an int": lambda: Odd(lambda y: 3),
    "gives a text": lambda: Odd(lambda y: "text"),
    "gives ids": lambda: Odd(lambda y: y.argmax(-1)),
    "gives a tuple": lambda: Odd(lambda y: (y, None, 3)),
    "gives a dict": lambda: Odd(lambda y: {"a": y, 3: y}),
    "gives a number": lambda: Odd(lambda y: y.sum()),
    "gives an empty tensor": lambda: Odd(lambda y: y[:0]),
    "gives a mapping that cannot be written": lambda: Odd(lambda y: MappingProxyType({"a": y})),
    "gives a complex tensor": lambda: Odd(lambda y: y.to(torch.cfloat)),
    "gives a sparse tensor": lambda: Odd(lambda y: y.to_sparse()),
    "gives itself": lambda: Odd(lambda y: y.detach()),
    "gives nan": lambda: Odd(lambda y: y / 0 * 0),
    "raises": lambda: Odd(raises(ValueError("not today\nnor tomorrow"))),
    "raises of memory": lambda: Odd(raises(MemoryError())),
    "asserts": lambda: Odd(raises(AssertionError())),
    "stops": lambda: Odd(raises(StopIteration())),
    "exits": lambda: Odd(raises(SystemExit(0))),
    "recurses": lambda: Odd(recurses),
    "fails the second time": Stateful,
    "changes": Changing,
}
