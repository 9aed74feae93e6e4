"""Random draws shared by all architectures: weights, inputs and probes, keyed by (seed, draw, role, shape) alone."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from threading import Lock

import torch
from torch import Tensor

from nasjac.foundation.memory import free
from nasjac.mathematics.probes import on_sphere

#: share of the memory that is free at first which the most recent tensors may take, and the least
CACHE_SHARE, CACHE_BYTES = 1 / 8, 2**30


class Draws:
    """Standard normal tensors and input samples, drawn on the CPU in float32 so that every device and dtype sees the same.

    `seed`   the score's seed
    `draws`  the draw numbers this object serves, e.g. range(16); they are the leading dimension of what it returns

    The most recent tensors of all such objects are kept in memory, unless this one is not `lasting`: then its own are, for
    as long as it lives. Several threads may use one object.
    """

    def __init__(
        self, seed: int, draws: Sequence[int], dtype: torch.dtype, device: torch.device, lasting: bool = True
    ) -> None:
        self.seed, self.draws, self.dtype, self.device = seed, tuple(draws), dtype, device
        self._cache = _cache_of(device) if lasting else _Cache(sys.maxsize)

    def part(self, which: Sequence[int]) -> Draws:
        """Return some of these draws, by their places; the tensors of a range of places are views, not copies."""
        return _Part(self, which)

    def normal(self, role: str, *shape: int) -> Tensor:
        """Return [D, *shape] standard normal numbers for `role`, e.g. "outer 3"."""
        name = (self.seed, self.draws, role, shape, self.dtype, self.device)
        with self._cache.lock:
            found = self._cache.get(name)
            if found is None:
                drawn = torch.stack([self._drawn(draw, role, shape) for draw in self.draws])
                found = self._cache.keep(name, drawn.to(self.device, self.dtype))
            return found

    def probes(self, role: str, *shape: int) -> Tensor:
        """Return [D, *shape] vectors uniform on the sphere of radius √(last dimension), so that E v vᵀ = I."""
        return on_sphere(self.normal(role, *shape))

    def samples(self, inputs: Tensor, count: int) -> Tensor:
        """Return [D, count, features] distinct rows of `inputs` [n, features] for each draw."""
        shuffles = (torch.randperm(len(inputs), generator=self._generator(draw, "inputs", (count,))) for draw in self.draws)
        rows = torch.stack([shuffle[:count] for shuffle in shuffles])
        return inputs[rows.to(inputs.device)].to(self.device, self.dtype)

    def _drawn(self, draw: int, role: str, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator(draw, role, shape))

    def _generator(self, draw: int, role: str, shape: tuple[int, ...]) -> torch.Generator:
        digest = hashlib.blake2b(f"{self.seed}/{draw}/{role}/{shape}".encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class _Part(Draws):
    """Some of another object's draws."""

    def __init__(self, whole: Draws, which: Sequence[int]) -> None:
        super().__init__(whole.seed, [whole.draws[place] for place in which], whole.dtype, whole.device)
        run = list(which) == list(range(which[0], which[0] + len(which)))
        self._whole, self._which = whole, slice(which[0], which[0] + len(which)) if run else list(which)

    def normal(self, role: str, *shape: int) -> Tensor:
        return self._whole.normal(role, *shape)[self._which]


class _Cache:
    """The most recent tensors by name, `most` bytes of them; its `lock` is held by whoever uses it."""

    def __init__(self, most: int) -> None:
        self.lock, self.most = Lock(), most
        self._tensors: OrderedDict[object, Tensor] = OrderedDict()
        self._bytes = 0

    def get(self, name: object) -> Tensor | None:
        if name in self._tensors:
            self._tensors.move_to_end(name)
        return self._tensors.get(name)

    def keep(self, name: object, values: Tensor) -> Tensor:
        self._tensors[name] = values
        self._bytes += values.nbytes
        while self._bytes > self.most and len(self._tensors) > 1:
            self._bytes -= self._tensors.popitem(last=False)[1].nbytes
        return values


@cache
def _cache_of(device: torch.device) -> _Cache:
    """The one of a device: what is in it depends on its name alone."""
    return _Cache(max(CACHE_BYTES, int(CACHE_SHARE * free(device))))
