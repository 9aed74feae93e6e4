"""Squared Jacobian norms of one model at one set of weights, a probe at a time: by tangents, by cotangents.

Letters: I inputs (1 where the inputs of a batch depend on each other, or a layer has no batch dimension), K layers,
B blocks. Layers are the origin, the watched calls and the output. 𝒥 is per unit of the numerator: ‖∂h_k/∂h_0‖_F² / N_k
forward, ‖∂h_K/∂h_k‖_F² / N_K backward, for each input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasjac.mathematics.probes import on_sphere
from nasjac.models.hooks import Pass
from nasjac.models.tangents import LinearTangents, tangent

#: norms between which float32 neither loses the squares of what matters nor overflows
SAFE = (1e-12, 1e15)


@dataclass(frozen=True)
class Vectors:
    """What one probe gives: `energies` and `differential` [I, K], those of 𝒥 and 𝒥_⊥; `flat` K times [I, size],
    of which `sizes` K are the numerator's units.

    𝒥_⊥ is of what differs between tokens: the mean over tokens taken off a tangent, or off a cotangent.
    `gradients` [1, B]: ‖∂⟨v, output⟩/∂θ‖² of each block's own parameters, per unit of the output and input.
    """

    energies: Tensor
    differential: Tensor
    flat: Sequence[Tensor]
    sizes: Sequence[float]
    gradients: Tensor = field(default_factory=lambda: torch.zeros(1, 0, dtype=torch.float64))

    def products(self, other: Vectors) -> Tensor:
        """[I, K] squared inner products with another probe's vectors in the same units: E is tr (JJᵀ)² / N²."""
        pairs = zip(self.flat, other.flat, self.sizes, strict=True)
        return torch.stack([((a * b).sum(1, dtype=torch.float64) / size).square() for a, b, size in pairs], dim=1)


class Prober:
    """Draws probes for a pass. `inputs` I; `tokens` of a sequence, if any; `blocks` their parameters."""

    def __init__(
        self, run: Pass, inputs: int, tokens: int | None, blocks: Sequence[Sequence[nn.Parameter]], seed: int
    ) -> None:
        self.run, self.inputs, self.tokens, self.blocks = run, inputs, tokens, blocks
        self._generator = Generator().manual_seed(seed)

    def forward(self) -> Vectors:
        """By one pass in forward mode, which keeps no graph.

        NotImplementedError, RuntimeError: an operation has no forward derivative.
        """
        start = self.run.origin.tensor
        probe = self._sphere(start)
        with torch.no_grad(), forward_ad.dual_level(), LinearTangents(), sdpa_kernel(SDPBackend.MATH):
            dual = forward_ad.make_dual(start, probe)  # type: ignore[no-untyped-call]
            kept, output = self.run(dual, _tangent)
            vectors = [probe, *(tangent for _, tangent in kept), _tangent(output)]
        return self._vectors(vectors, [vector.numel() / self.inputs for vector in vectors])

    def forward_by_cotangents(self) -> Vectors:
        """The same norms where forward mode fails, by a backward pass from every layer; another one for 𝒥_⊥."""
        start = self.run.origin.tensor.detach().requires_grad_()
        kept, output = self.run(start, lambda tensor: tensor)
        layers = [start, *(tensor for _, tensor in kept), output]
        sizes = [layer.numel() / self.inputs for layer in layers]

        def pulled(probes: Sequence[Tensor]) -> list[Tensor]:
            found = [
                _pull(layer, start, probe) if probe.shape == layer.shape else probe
                for layer, probe in zip(layers, probes, strict=True)
            ]
            return self._flat(found)

        probes = [self._sphere(layer) for layer in layers]
        flat, differential = pulled(probes), pulled([self._off_mean(probe) for probe in probes])
        return Vectors(_energies(flat, sizes), _energies(differential, sizes), flat, sizes)

    def backward(self) -> Vectors:
        """By one backward pass, which gives the blocks' weight gradients too."""
        start = self.run.origin.tensor.detach().requires_grad_()
        kept, output = self.run(start, lambda tensor: tensor)
        layers = [start, *(tensor for _, tensor in kept)]
        probe = self._sphere(output)
        weights = [parameter for block in self.blocks for parameter in block]
        wanted = [tensor for tensor in (*layers, *weights) if tensor.requires_grad]
        found = iter(torch.autograd.grad(output, wanted, probe, allow_unused=True))
        pulled = [next(found) if tensor.requires_grad else None for tensor in (*layers, *weights)]
        size = output.numel() / self.inputs
        vectors = [torch.zeros_like(t) if g is None else g for t, g in zip(layers, pulled, strict=False)]
        gradients = [0.0 if g is None else float(g.square().sum(dtype=torch.float64)) for g in pulled[len(layers) :]]
        shares = iter(gradients)
        blocks = [sum(next(shares) for _ in block) / output.numel() for block in self.blocks]
        return replace(
            self._vectors([*vectors, probe], [size] * (len(layers) + 1)),
            gradients=torch.tensor([blocks], dtype=torch.float64),
        )

    def _sphere(self, like: Tensor) -> Tensor:
        """A probe of the tensor's shape, for every input uniform on the sphere whose radius squared is its size."""
        normal = torch.randn(self.inputs, like.numel() // self.inputs, dtype=like.dtype, generator=self._generator)
        return on_sphere(normal).reshape(like.shape).to(like.device)

    def _vectors(self, vectors: Sequence[Tensor], sizes: Sequence[float]) -> Vectors:
        flat = self._flat(vectors)
        differential = self._flat([self._off_mean(vector) for vector in vectors])
        return Vectors(_energies(flat, sizes), _energies(differential, sizes), flat, sizes)

    def _flat(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        return [vector.reshape(self.inputs, -1) for vector in vectors]

    def _off_mean(self, vector: Tensor) -> Tensor:
        if self.tokens is None or vector.ndim != 3 or vector.shape[1] != self.tokens:
            return vector.new_full((self.inputs, 1), math.nan)
        return vector - vector.mean(dim=1, keepdim=True)


def _tangent(tensor: Tensor) -> Tensor:
    found = tangent(tensor)
    return torch.zeros_like(tensor) if found is None else found


def _pull(layer: Tensor, start: Tensor, probe: Tensor) -> Tensor:
    """The gradient of ⟨probe, layer⟩ at the start; zero where the layer does not depend on it."""
    if not layer.requires_grad:
        return torch.zeros_like(start)
    found = torch.autograd.grad(layer, start, probe, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(start) if found is None else found


def _energies(flat: Sequence[Tensor], sizes: Sequence[float]) -> Tensor:
    """[I, K] squared norms, per unit, of K times [I, size]."""
    return torch.stack([_norm(vectors).square() / size for vectors, size in zip(flat, sizes, strict=True)], dim=1)


def _norm(vectors: Tensor) -> Tensor:
    """[I] norms in float64; summed there too where float32 might lose small squares or overflow."""
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=1).to(torch.float64)
    if not ((norm > SAFE[0]) & (norm < SAFE[1])).all():
        norm = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    return norm
