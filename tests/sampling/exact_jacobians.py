"""Whole Jacobians of small networks by autograd, and measurements of them with fresh probes: a truth for the estimators."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nasjac import Spec, build
from nasjac.mathematics.trainability import trainability_cost, trainability_penalty
from nasjac.sampling.samples import INDEPENDENT, Samples

Array = NDArray[np.float64]


class Population(NamedTuple):
    """Exact Jacobians ∂h_L/∂h_0 of many draws of the weights, at two inputs each.

    `eigenvalues` [D, 2, n] those of JJᵀ that are not zero by its shape, over the units of h_L; `decorrelation` [D] is
    1 − cosine between the two h_L; `units` those of h_0 and of h_L.
    """

    eigenvalues: Array
    decorrelation: Array
    units: tuple[int, int]

    @property
    def terms(self) -> dict[str, float]:
        """What the terms of a measurement estimate, over these very draws."""
        norm, fourth = self.eigenvalues.sum(-1), np.square(self.eigenvalues).sum(-1)
        logs = np.log(norm)
        found = {
            "mean_log": logs.mean(),
            "sd_log": np.sqrt(logs.var(axis=0).mean()),
            "log_rank": np.log(norm**2 / fourth / self.units[1]).mean(),
            "log_decorrelation": np.log(self.decorrelation.mean()),
        }
        values = [np.float64(value) for value in found.values()]
        costs = {of.__name__: float(of(*values)) for of in (trainability_cost, trainability_penalty)}
        return {name: float(value) for name, value in found.items()} | costs

    def measured(self, draws: int, generator: np.random.Generator) -> Samples:
        """Samples of so many of the draws, with replacement, with fresh probes in both directions.

        A probe that is uniform on a sphere has coordinates along the singular vectors that are so too.
        """
        chosen = generator.integers(len(self.decorrelation), size=draws)
        eigenvalues = self.eigenvalues[chosen][:, :, None]
        tangents, cotangents = (
            self._squares((draws, 2, count), units, generator)
            for count, units in zip((INDEPENDENT.tangents, INDEPENDENT.cotangents), self.units, strict=True)
        )
        energies = [eigenvalues * tangents, eigenvalues * cotangents, self.units[1] * eigenvalues**2 * tangents]
        forward, backward, trips = (np.log(energy.sum(-1)) for energy in energies)
        nothing = np.zeros((draws, 2, 0, 2))
        return Samples(
            stream=nothing[:, :, :0],
            forward=np.stack([0 * forward, forward], axis=-1),
            backward=np.stack([backward, 0 * backward], axis=-1),
            round_trip=trips,
            decorrelation=self.decorrelation[chosen],
            cotangent_gram=nothing[:, :, :, 0],
            stream_tokens=nothing,
            forward_tokens=nothing,
            backward_tokens=nothing,
        )

    def _squares(self, shape: tuple[int, ...], units: int, generator: np.random.Generator) -> Array:
        """[*shape, n] squared coordinates of probes on the sphere of radius √units."""
        count = self.eigenvalues.shape[-1]
        squares = np.square(generator.standard_normal((*shape, count)))
        rest = generator.chisquare(units - count, size=(*shape, 1)) if units > count else 0.0
        return np.asarray(squares * (units / (squares.sum(-1, keepdims=True) + rest)))


def population(spec: Spec, inputs: int, draws: int) -> Population:
    """Of networks as `build` makes them, at standard normal inputs, or ids below `inputs`."""
    found, apart, units = [], [], (0, 0)
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        network = build(spec, inputs, 2, generator).double().requires_grad_(False)
        chain = torch.nn.Sequential(*network.blocks)  # type: ignore[arg-type]
        if spec.inputs.takes_ids:
            batch = torch.randint(inputs, (2, 1, spec.context), generator=generator)
        else:
            batch = torch.randn(2, 1, inputs, generator=generator, dtype=torch.float64)
        starts = [next(network.stream(x)) for x in batch]  # type: ignore[operator]
        ends = [chain(start).flatten() for start in starts]
        units = (starts[0].numel(), len(ends[0]))
        jacobians = [torch.func.jacrev(chain)(start).reshape(units[1], units[0]) for start in starts]
        found.append(torch.linalg.svdvals(torch.stack(jacobians)).square().numpy() / units[1])
        apart.append(1 - float(torch.nn.functional.cosine_similarity(*ends, dim=0)))
    living = np.stack(found).sum(-1).all(axis=1)  # terms are those of the draws whose Jacobian is not zero
    return Population(np.stack(found)[living], np.array(apart)[living], units)
