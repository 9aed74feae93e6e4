"""Jacobian samples of one tile: a fixed number of residual MLPs of one width, evaluated together.

Every factor of a block's Jacobian is a weight matrix or symmetric: the derivative of an activation is diagonal, and that
of a norm is (1/σ)(C − x̂ x̂ᵀ / N), C the centering (the identity for RMSNorm). So what carries tangents forward carries
cotangents back, factors in reverse order and matrices transposed; no autograd graph is kept.

Letters: D draws, R rows (architectures of a tile), I inputs of a draw, P probes of an input, N width, L blocks.
V counts the vectors of an input that pass through a product together: its stream and tangents, or its cotangents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.activations import ACTIVATIONS
from nasjac.networks.draws import Draws
from nasjac.placement import PLACEMENTS
from nasjac.spec import NORM_EPS, Spec

TILE = 16
INPUTS = 2
PROBES = 2
HOMOGENEOUS = ("relu", "linear")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Jacobian samples of one architecture of L blocks; energies per unit, natural logarithms, −inf for a zero Jacobian.

    `forward`        [D, I, P, L+1]  log ‖J_{0→l} u‖² / N, u uniform on the sphere of radius √N
    `forward_angle`  [D, I, L+1]     squared cosine between the two J_{0→l} u
    `backward`       [D, I, P, L+1]  log ‖J_{l→L}ᵀ v‖² / N, v likewise
    `backward_angle` [D, I, L+1]     squared cosine between the two J_{l→L}ᵀ v
    `round_trip`     [D, I, P]       log ‖JᵀJ u‖² / N, J = J_{0→L}
    `round_trip_angle` [D, I]        squared cosine between the two JᵀJ u
    `decorrelation`  [D]             1 − cosine between the two outputs h_L
    """

    forward: Array
    forward_angle: Array
    backward: Array
    backward_angle: Array
    round_trip: Array
    round_trip_angle: Array
    decorrelation: Array


class _Norm(NamedTuple):
    """A norm at some rows, linearized: which rows, their centering gate, x̂ [D, r, I, 1, N] and 1/σ [D, r, I, 1, 1]."""

    rows: Tensor
    centering: Tensor
    unit: Tensor
    inverse: Tensor

    def transpose_apply(self, vectors: Tensor) -> Tensor:
        """Cotangents [D, R, I, V, N] through the norm's (symmetric) Jacobian at its rows."""
        chosen = vectors.index_select(1, self.rows)
        chosen = (chosen - self.centering * chosen.mean(-1, keepdim=True)) * self.inverse
        chosen -= self.unit * (chosen * self.unit).mean(-1, keepdim=True)
        return vectors.index_copy(1, self.rows, chosen)


class _Block(NamedTuple):
    """One block of a tile, linearized: its norms, and phi' [D, R, I, 1, N]."""

    on_input: _Norm | None
    slope: Tensor
    on_branch: _Norm | None
    on_sum: _Norm | None


class Tile:
    """One tile of architectures and the two passes over it."""

    def __init__(self, specs: Sequence[Spec], draws: Draws) -> None:
        padding = [Spec(width=specs[0].width, blocks=(), activation=specs[-1].activation)] * (TILE - len(specs))
        self.count, self.specs, self.draws, self.width = len(specs), [*specs, *padding], draws, specs[0].width
        self.depths = [len(spec.blocks) for spec in self.specs]
        self.skip = self._gates([[block.skip for block in spec.blocks] for spec in self.specs], finished=1.0)
        self.scale = self._gates([[block.scale for block in spec.blocks] for spec in self.specs], finished=0.0)
        self.gain = self._column([spec.weight_gain / math.sqrt(self.width) for spec in self.specs])
        self.centering = self._column([float(spec.norm == "layernorm") for spec in self.specs])
        names = [spec.activation for spec in self.specs]
        self.activations = [(name, names.index(name), names.count(name)) for name in dict.fromkeys(names)]
        self.one_matrix = self._rows([spec.branch == "one_matrix" for spec in self.specs])
        self.homogeneous = self._rows([s.placement == "none" and s.activation in HOMOGENEOUS for s in self.specs])

    @torch.inference_mode()
    def run(self, samples: Tensor) -> list[Samples]:
        """The samples of each architecture for inputs [D, I, features]."""
        forward, angles, states, outputs = self._forward(self._start(samples))
        backward, back_angles, trip_angle = self._backward(states, outputs[..., 1:, :])
        return [
            self._samples(row, depth, forward, angles, backward, back_angles, trip_angle, outputs)
            for row, depth in enumerate(self.depths[: self.count])
        ]

    def _start(self, samples: Tensor) -> Tensor:
        """[D, R, I, 1 + P, N]: the embedded inputs h_0 and the tangent probes, the same for every row."""
        features = samples.shape[-1]
        embedded = torch.bmm(samples, self.draws.normal("embedding", self.width, features).mT) / math.sqrt(features)
        start = torch.cat([embedded[..., None, :], self.draws.probes("tangent", INPUTS, PROBES, self.width)], dim=-2)
        return start[:, None].expand(-1, TILE, -1, -1, -1).contiguous()

    def _forward(self, stream: Tensor) -> tuple[Tensor, Tensor, list[_Block], Tensor]:
        """Forward energies [L+1, D, R, I, P] and angles [L+1, D, R, I], the blocks' states, and each row's own output."""
        total, angle = _renormalize(stream[..., 1:, :])
        energies, angles, states, outputs = [total], [angle], [], stream.clone()
        for number in range(len(self.skip)):
            on_input, entering = self._norm(stream, number, "on_input")
            slope, hidden = self._activate(self._inner(entering, number))
            branch = self._product(hidden, f"outer {number}", transpose=True)
            on_branch, branch = self._norm(branch, number, "on_branch")
            stream = torch.addcmul(self.skip[number] * stream, self.scale[number], branch)
            on_sum, stream = self._norm(stream, number, "on_sum")
            growth, angle = _renormalize(stream[..., 1:, :])
            total = total + growth
            self._rescale(stream)
            energies.append(total)
            angles.append(angle)
            states.append(_Block(on_input, slope, on_branch, on_sum))
            done = self._rows([depth == number + 1 for depth in self.depths])
            outputs.index_copy_(1, done, stream.index_select(1, done))
        return torch.stack(energies), torch.stack(angles), states, outputs

    def _backward(self, states: list[_Block], tangents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Backward energies [L+1, D, R, I, 2P], angles [L+1, D, R, I], and the round trips' angle at the input [D, R, I].

        The first P cotangents are random, the last P are the outputs' tangents, which the way back makes round trips.
        """
        probes = self.draws.probes("cotangent", INPUTS, PROBES, self.width)[:, None].expand(-1, TILE, -1, -1, -1)
        starts = torch.cat([probes, tangents], dim=-2)
        vectors, total = torch.zeros_like(starts), starts.new_zeros(starts.shape[:-1], dtype=torch.float64)
        energies, angles = [], []
        for layer in reversed(range(len(states) + 1)):
            begin = self._rows([depth == layer for depth in self.depths])
            vectors = vectors.index_copy(1, begin, starts.index_select(1, begin))
            total = total.index_fill(1, begin, 0.0)
            growth, angle = _renormalize(vectors)
            total = total + growth
            energies.append(total)
            angles.append(angle)
            if layer > 0:
                vectors = self._pull_back(vectors, states[layer - 1], layer - 1)
        return torch.stack(energies[::-1]), torch.stack(angles[::-1]), _angle(vectors[..., PROBES:, :])

    def _pull_back(self, vectors: Tensor, state: _Block, number: int) -> Tensor:
        """Cotangents [D, R, I, V, N] at a block's output brought to its input."""
        outer = state.on_sum.transpose_apply(vectors) if state.on_sum else vectors
        branch = self.scale[number] * outer
        branch = state.on_branch.transpose_apply(branch) if state.on_branch else branch
        branch = self._product(branch, f"outer {number}", transpose=False).mul_(state.slope)
        branch = self._inner(branch, number, transpose=False)
        branch = state.on_input.transpose_apply(branch) if state.on_input else branch
        return torch.addcmul(branch, self.skip[number], outer)

    def _product(self, vectors: Tensor, role: str, transpose: bool) -> Tensor:
        """vectors [D, R, I, V, N] times the shared weights of `role` (or their transposes), times each row's gain / √N."""
        weights = self.draws.normal(role, self.width, self.width)
        flat = vectors.reshape(len(weights), -1, self.width)
        return torch.bmm(flat, weights.mT if transpose else weights).view(vectors.shape).mul_(self.gain)

    def _inner(self, vectors: Tensor, number: int, transpose: bool = True) -> Tensor:
        """The first matrix of two-matrix branches; rows whose branch has one matrix pass unchanged."""
        if len(self.one_matrix) == TILE:
            return vectors.clone()
        product = self._product(vectors, f"inner {number}", transpose)
        return product.index_copy_(1, self.one_matrix, vectors.index_select(1, self.one_matrix))

    def _activate(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """phi' and, in place, phi of the stream and phi' times the tangents."""
        slope = torch.empty_like(vectors[..., :1, :])
        for name, start, count in self.activations:
            rows = vectors.narrow(1, start, count)
            function, derivative = ACTIVATIONS[name]
            slope.narrow(1, start, count).copy_(derivative(rows[..., :1, :]))
            rows[..., :1, :] = function(rows[..., :1, :])
        vectors[..., 1:, :] *= slope
        return slope, vectors

    def _norm(self, vectors: Tensor, number: int, position: str) -> tuple[_Norm | None, Tensor]:
        """The norm at `position` for the rows that have one and are not finished: its linearization, and the result."""
        chosen = [
            depth > number and getattr(PLACEMENTS[spec.placement], position)
            for spec, depth in zip(self.specs, self.depths, strict=True)
        ]
        if not any(chosen):
            return None, vectors
        rows = self._rows(chosen)
        centering = self.centering.index_select(0, rows)
        values = vectors.index_select(1, rows)
        values = values - centering * values.mean(-1, keepdim=True)
        inverse = torch.rsqrt(values[..., :1, :].square().mean(-1, keepdim=True) + NORM_EPS)
        values *= inverse
        unit = values[..., :1, :].contiguous()
        values[..., 1:, :] -= unit * (values[..., 1:, :] * unit).mean(-1, keepdim=True)
        return _Norm(rows, centering, unit, inverse), vectors.index_copy(1, rows, values)

    def _rescale(self, stream: Tensor) -> None:
        """Streams of positively homogeneous networks back to unit size, in place: their Jacobian does not depend on it."""
        if len(self.homogeneous):
            rows = stream[..., :1, :].index_select(1, self.homogeneous)
            size = rows.square().mean(-1, keepdim=True).sqrt()
            rows = torch.where(size > 0, rows / size, rows)
            stream[..., :1, :] = stream[..., :1, :].index_copy(1, self.homogeneous, rows)

    def _samples(
        self,
        row: int,
        depth: int,
        forward: Tensor,
        angles: Tensor,
        backward: Tensor,
        back_angles: Tensor,
        trip_angle: Tensor,
        outputs: Tensor,
    ) -> Samples:
        """What belongs to one row, up to its own depth, layers last."""
        energies = _numpy(forward[: depth + 1, :, row].movedim(0, -1))
        back = _numpy(backward[: depth + 1, :, row].movedim(0, -1))
        first, second = outputs[:, row, :, 0].to(torch.float64).unbind(1)
        first, second = (x / x.norm(dim=-1, keepdim=True) for x in (first, second))
        return Samples(
            forward=energies,
            forward_angle=_numpy(angles[: depth + 1, :, row].movedim(0, -1)),
            backward=back[:, :, :PROBES],
            backward_angle=_numpy(back_angles[: depth + 1, :, row].movedim(0, -1)),
            round_trip=back[:, :, PROBES:, 0] + energies[..., -1],
            round_trip_angle=_numpy(trip_angle[:, row]),
            decorrelation=_numpy(0.5 * (first - second).square().sum(-1)),
        )

    def _gates(self, values: list[list[float]], finished: float) -> Tensor:
        """[L, R, 1, 1, 1] from one list of blocks a row; blocks that a row lacks get `finished`."""
        depth = max(self.depths)
        gates = [[row[number] if number < len(row) else finished for row in values] for number in range(depth)]
        return torch.tensor(gates, dtype=self.draws.dtype, device=self.draws.device).reshape(-1, TILE, 1, 1, 1)

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=self.draws.dtype, device=self.draws.device).reshape(TILE, 1, 1, 1)

    def _rows(self, chosen: list[bool]) -> Tensor:
        rows = [row for row, yes in enumerate(chosen) if yes]
        return torch.tensor(rows, dtype=torch.long, device=self.draws.device)


def _renormalize(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Log energies per unit [..., V] in float64 and the first two vectors' angle; vectors [..., V, N] brought to norm √N.

    In place. A zero vector has energy −inf and stays zero.
    """
    size = vectors.square().mean(-1)
    angle = _angle(vectors)
    vectors *= torch.where(size > 0, size, torch.ones_like(size)).rsqrt()[..., None]
    return size.to(torch.float64).log(), angle


def _angle(vectors: Tensor) -> Tensor:
    """Squared cosine between the first two of vectors [..., V, N], in float64 [...]; NaN if one of them is zero."""
    first, second = vectors[..., 0, :], vectors[..., 1, :]
    sizes = first.square().sum(-1) * second.square().sum(-1)
    return ((first * second).sum(-1).square() / sizes).to(torch.float64)


def _numpy(values: Tensor) -> Array:
    return values.to(torch.float64).cpu().numpy()
