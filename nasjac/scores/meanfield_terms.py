"""The closed form of the Jacobian's terms, averaged over the inputs of a dataset.

Letters: B architectures, L blocks.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.foundation.errors import InputError
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import Columns, expected_norms, fluctuations
from nasjac.mathematics.meanfield.columns import Mask
from nasjac.mathematics.meanfield.moments import Array

Direction = Literal["forward", "backward"]

NODES = 5  # quadrature nodes over inputs
ROWS = 2048  # inputs that are looked at, at most


class Inputs(NamedTuple):
    """What the closed forms know of the data: mean and variance of log ‖x‖² / features, and quantiles of the cosines."""

    log_size: float
    log_size_variance: float
    cosines: Array  # [NODES]

    @staticmethod
    def of(inputs: Tensor) -> Inputs:
        """Of at most `ROWS` inputs [n, features], spread evenly. An input that is zero has no direction and is left out."""
        picked = inputs[torch.linspace(0, len(inputs) - 1, min(ROWS, len(inputs))).long()].to("cpu", torch.float64)
        size = picked.square().mean(dim=1)
        picked, size = picked[size > 0], size[size > 0]
        if len(picked) < 2:
            raise InputError(f"`inputs` must hold at least 2 rows that are not zero, got {len(picked)}")
        order = torch.randperm(len(picked), generator=torch.Generator().manual_seed(0))
        unit = torch.nn.functional.normalize(picked[order], dim=1)
        cosines = (unit * unit.roll(1, dims=0)).sum(dim=1).clamp(-1, 1)
        levels = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
        logs = size.log()
        return Inputs(float(logs.mean()), float(logs.var(correction=0)), torch.quantile(cosines, levels).numpy())


class Terms(NamedTuple):
    """Of each spec [B] or [B, L + 1], averaged over initializations and inputs."""

    log_mean: dict[Direction, Array]
    mean_log: dict[Direction, Array]
    sd_log: Array
    log_effective_rank: Array
    gate_variance: Array
    exact: Mask


def over_sizes(chains: Columns, width: Array, inputs: Inputs) -> Terms:
    """Return means over the size of h_0, whose logarithm has the variance of the data's and of χ²_N / N (the embedding's).

    Gauss-Hermite nodes in that logarithm, taken as normal.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    half = torch.from_numpy(width / 2)
    center = inputs.log_size + torch.digamma(half).numpy() - np.log(width / 2)
    spread = np.sqrt(inputs.log_size_variance + torch.polygamma(1, half).numpy())
    size = np.exp(center[:, None] + spread[:, None] * nodes).ravel()  # [B NODES]
    repeated = chains.take(np.repeat(np.arange(len(width)), NODES))
    means, moments = expected_norms(repeated, size), fluctuations(repeated, np.repeat(width, NODES), size)

    def at_nodes(values: Array) -> Array:
        return values.reshape(len(width), NODES, *values.shape[1:])

    def average(values: Array) -> Array:
        return np.asarray((at_nodes(values) * weights.reshape(-1, *[1] * (values.ndim - 1))).sum(axis=1))

    log_mean: dict[Direction, Array] = {}
    mean_log: dict[Direction, Array] = {}
    directions: tuple[tuple[Direction, Array, Array, Array], ...] = (
        ("forward", means.forward, means.forward_typical, moments.forward),
        ("backward", means.backward, means.backward_typical, moments.backward),
    )
    for direction, log, typical, gap in directions:
        top = at_nodes(log).max(axis=1)
        log_mean[direction] = top + np.log(average(np.exp(log - np.repeat(top, NODES, axis=0))))
        mean_log[direction] = average(mean_of_log(typical, gap))
    deviation = mean_of_log(means.forward_typical, moments.forward)[:, -1] - np.repeat(mean_log["forward"][:, -1], NODES)
    sd_log = np.sqrt(average(moments.forward[:, -1] + deviation**2))
    return Terms(
        log_mean, mean_log, sd_log, average(moments.log_effective_rank), average(means.gate_variance), chains.exact
    )


def dead_probability(chains: Columns, width: Array) -> Array:
    """Return [B], the probability that some relu layer without a skip is dead, 2^-N each.

    `log_mean` counts such networks in. E log 𝒥 is strictly −∞ then; what stands for it is the log-normal law's, which such
    networks do not move at usual widths.
    """
    cuts = np.zeros(len(chains))
    for block in range(chains.depth):  # not one sum: its rounding would depend on the padding
        cuts += chains.keep[:, block] * (1 - chains.skip[:, block])
    cuts *= np.asarray(chains.activation) == "relu"
    return np.asarray(-np.expm1(cuts * np.log1p(-(2.0**-width))))
