"""Probing one network until its norms are as precise as asked for.

Letters: S probes, I inputs, K layers, B blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nasjac.foundation.errors import InputError
from nasjac.mathematics.logarithms import Array
from nasjac.models.hooks import Pass
from nasjac.models.passes import Prober, Vectors
from nasjac.models.statistics import mean_log


@dataclass(frozen=True)
class Precision:
    """From `least` to `most` probes a direction, until every mean log norm has an error of at most `goal` nats."""

    goal: float
    least: int
    most: int

    def more(self, probes: int, error: float) -> int:
        """Return how many probes there should be, given how many there are and the largest standard error of a layer.

        A standard error from n probes is itself uncertain by a share of about 1/√(2(n − 1)), and is taken larger by two
        such shares.
        """
        error *= 1 + 2 / math.sqrt(2 * (probes - 1))
        if not error > self.goal:
            return probes
        wanted = math.ceil(probes * min(2.0, error / self.goal) ** 2)  # at most four times as many at once
        return min(self.most, max(probes + 2, wanted))


@dataclass
class Series:
    """The results of the probes of one direction; `width` [K] is the dimension of the probes' space."""

    width: Array
    energies: list[Array] = field(default_factory=list)
    differential: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)
    products: list[Array] = field(default_factory=list)
    _odd: Vectors | None = None

    def add(self, vectors: Vectors) -> None:
        """Add a probe. Every second one gives inner products with the one before, whose vectors are then dropped."""
        self.energies.append(vectors.energies.cpu().numpy())
        self.differential.append(vectors.differential.cpu().numpy())
        self.gradients.append(vectors.gradients.numpy())
        if self._odd is not None:
            self.products.append(self._odd.products(vectors).cpu().numpy())
        self._odd = None if self._odd is not None else vectors

    @property
    def error(self) -> float:
        """The largest standard error among the layers that have a mean log norm; 0 without any."""
        errors = mean_log(stacked([self], "energies"))[1]
        return float(errors[np.isfinite(errors)].max(initial=0.0))


def stacked(series: Sequence[Series], what: str) -> Array:
    """Return [M, S, ...] a field of the series of several initializations, which have equally many probes."""
    return np.stack([np.stack(getattr(one, what)) for one in series])


@dataclass(frozen=True)
class Network:
    """A pass with the names and tensors of its layers, from the origin to the output."""

    run: Pass
    names: Sequence[str]
    tensors: Sequence[Tensor]
    inputs: int
    tokens: int | None

    @property
    def blocks(self) -> list[str]:
        """Watched modules that have parameters."""
        modules = dict(self.run.model.named_modules())
        return [name for name in self.run.layers if next(modules[name].parameters(), None) is not None]


@dataclass(frozen=True)
class Sampled:
    """Both directions of a network, with a remark where forward mode failed."""

    forward: Series
    backward: Series
    remark: str | None


def network_of(run: Pass, depends_on_batch: bool, tokens: bool | None) -> Network:
    """Return the network of a pass; `inputs` is 1 where a layer has no batch dimension, or BatchNorm couples inputs."""
    with torch.no_grad():
        start = run.origin.tensor
        if start.ndim < 2:  # its numbers would be taken for as many inputs of one number each
            shape = "x".join(map(str, start.shape)) or "a single number"
            raise InputError(f"`inputs` must have a batch and at least one more dimension, such as 4x20, got {shape}")
        kept, output = run(start, lambda tensor: tensor.clone(), differentiating=False)
    tensors = [start, *(tensor for _, tensor in kept), output]
    names = ["input", *(name for name, _ in kept), "output"]
    batch = start.shape[0]
    alone = not depends_on_batch and all(tensor.ndim and tensor.shape[0] == batch for tensor in tensors)
    lengths = {tensor.shape[1] if tensor.ndim == 3 else 0 for tensor in tensors[1:-1]}
    length = lengths.pop() if len(lengths) == 1 and tokens is not False else 0
    if tokens and length < 2:
        raise InputError("`tokens` must be false or auto where layers are not [batch, tokens, units], got true")
    return Network(run, names, tensors, batch if alone else 1, length if length > 1 else None)


def sample(network: Network, precision: Precision, seed: int, count: Callable[[], None]) -> Sampled:
    """Probe both directions of a network.

    Raises:
        InputError: The output cannot be differentiated, or does not depend on the input.
    """
    modules = dict(network.run.model.named_modules())
    blocks = [[p for p in modules[name].parameters() if p.is_floating_point()] for name in network.blocks]
    prober = Prober(network.run, network.inputs, network.tokens, blocks, seed)
    sizes = np.array([tensor.numel() / network.inputs for tensor in network.tensors])
    backward = Series(np.full_like(sizes, sizes[-1]))
    _probe(backward, lambda: _differentiable(prober), precision, count)
    forward, remark = Series(np.full_like(sizes, sizes[0])), None
    try:
        _probe(forward, prober.forward, precision, count)
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).strip().splitlines()[0]
        remark = f"forward norms by a backward pass from every layer, because forward mode fails here: {reason}"
        forward = Series(sizes)
        _probe(forward, prober.forward_by_cotangents, precision, count)
    return Sampled(forward, backward, remark)


def _probe(series: Series, draw: Callable[[], Vectors], precision: Precision, count: Callable[[], None]) -> None:
    wanted = precision.least
    while len(series.energies) < wanted:
        series.add(draw())
        count()
        if len(series.energies) == wanted:
            wanted = precision.more(wanted, series.error)


def _differentiable(prober: Prober) -> Vectors:
    try:
        vectors = prober.backward()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(f"`model` must be differentiable, but torch says: {str(error).strip().splitlines()[0]}") from error
    if not vectors.energies[:, 0].any():
        raise InputError(
            "the output must depend on the input, but its derivative is zero: is there a detach, no_grad, argmax or round "
            "in between, or is every unit dead?"
        )
    return vectors
