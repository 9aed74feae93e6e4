"""Random draws shared by all architectures: weights, inputs and probes, keyed by (seed, draw, role, shape) alone."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import torch
from torch import Tensor

from nasjac.jacobian import on_sphere

CACHE_BYTES = 2**30


class Draws:
    """Standard normal tensors and input samples, drawn on the CPU in float64 so that every device and dtype sees the same.

    `seed`   the score's seed
    `draws`  the draw numbers this object serves, e.g. range(16); they are the leading dimension of what it returns

    Several threads may use one object.
    """

    def __init__(self, seed: int, draws: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.seed, self.draws, self.dtype, self.device = seed, draws, dtype, device
        self._cache: OrderedDict[tuple[str, tuple[int, ...]], Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def normal(self, role: str, *shape: int) -> Tensor:
        """[D, *shape] standard normal numbers for `role`, e.g. "outer 3"; the most recent ones are kept in memory."""
        name = (role, shape)
        with self._lock:
            if name not in self._cache:
                self._keep(name, torch.stack([self._drawn(draw, role, shape) for draw in self.draws]))
            self._cache.move_to_end(name)
            return self._cache[name]

    def probes(self, role: str, *shape: int) -> Tensor:
        """[D, *shape] vectors uniform on the sphere of radius √(last dimension), so that E v vᵀ = I."""
        return on_sphere(self.normal(role, *shape))

    def samples(self, inputs: Tensor, count: int) -> Tensor:
        """[D, count, features] distinct rows of `inputs` [n, features] for each draw."""
        shuffles = (torch.randperm(len(inputs), generator=self._generator(draw, "inputs", (count,))) for draw in self.draws)
        rows = torch.stack([shuffle[:count] for shuffle in shuffles])
        return inputs[rows.to(inputs.device)].to(self.device, self.dtype)

    def _keep(self, name: tuple[str, tuple[int, ...]], values: Tensor) -> None:
        self._cache[name] = values.to(self.device, self.dtype)
        self._bytes += self._cache[name].nbytes
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            self._bytes -= self._cache.popitem(last=False)[1].nbytes

    def _drawn(self, draw: int, role: str, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator(draw, role, shape), dtype=torch.float64)

    def _generator(self, draw: int, role: str, shape: tuple[int, ...]) -> torch.Generator:
        digest = hashlib.blake2b(f"{self.seed}/{draw}/{role}/{shape}".encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
