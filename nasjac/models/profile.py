"""From the probes of a model to its diagnosed layers, in both directions, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nasjac.mathematics.logarithms import Array
from nasjac.models.diagnosis import Point
from nasjac.models.sampling import Network, Sampled, Series, stacked
from nasjac.models.statistics import log_mean, mean_log, ranks, sd_log
from nasjac.models.undisturbed import batch_norms
from nasjac.models.verdict import DiagnosedLayer


def layers_of(network: Network, sampled: Sequence[Sampled]) -> tuple[DiagnosedLayer, ...]:
    """Return all layers forward and then all of them backward, from the probes of each initialization."""
    forward = _directed("forward", network.names, [one.forward for one in sampled])
    return (*forward, *_directed("backward", network.names, [one.backward for one in sampled]))


def _directed(
    direction: Literal["forward", "backward"], names: Sequence[str], series: Sequence[Series]
) -> list[DiagnosedLayer]:
    energies, width = stacked(series, "energies"), series[0].width
    columns: dict[str, Array] = {"sd_log": sd_log(energies)}
    columns["log_mean"], columns["log_mean_error"] = log_mean(energies)
    columns["mean_log"], columns["standard_error"] = mean_log(energies)
    origin = 0 if direction == "forward" else len(names) - 1  # from a layer to itself the Jacobian is the identity
    columns["effective_rank"] = ranks(energies, stacked(series, "products"), width)
    for what, column in columns.items():
        exact = width[origin] if what == "effective_rank" else 0.0
        column[origin] = exact if np.isfinite(column[origin]) else math.nan
    columns["token_log_mean"], columns["token_log_mean_error"] = log_mean(stacked(series, "differential"))
    return [
        DiagnosedLayer(name, direction, **{what: _known(column[k]) for what, column in columns.items()})
        for k, name in enumerate(names)
    ]


def points_of(networks: Sequence[Network], sampled: Sequence[Sampled]) -> tuple[Point, ...]:
    """Return the layers without direction: shapes, correlations and weight gradients."""
    first = networks[0]
    gradients = log_mean(stacked([one.backward for one in sampled], "gradients"))
    by_block = dict(zip(first.blocks, zip(*gradients, strict=True), strict=True))

    def cosine(layer: int, dimension: Literal[0, 1]) -> float | None:
        return _known(sum(similarity(network.tensors[layer], dimension) for network in networks) / len(networks))

    return tuple(
        Point(
            name,
            tuple(first.tensors[k].shape),
            cosine(k, 0) if first.inputs > 1 else None,
            cosine(k, 1) if _is_sequence(first, k) else None,
            *(_known(value) for value in by_block.get(name, (math.nan, math.nan))),
        )
        for k, name in enumerate(first.names)
    )


def similarity(tensor: Tensor, dimension: Literal[0, 1]) -> float:
    """Mean cosine between different inputs (0), or between different tokens of one input (1), of [inputs, tokens, ...]."""
    if tensor.ndim <= dimension:  # a single number
        return math.nan
    vectors = tensor.detach().to(torch.float64).reshape(*tensor.shape[: dimension + 1], -1)
    count = vectors.shape[dimension]
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    return float(((unit.sum(dimension).square().sum(-1) - count) / (count * (count - 1))).mean()) if count > 1 else math.nan


def _is_sequence(network: Network, layer: int) -> bool:
    tensor = network.tensors[layer]
    return network.tokens is not None and tensor.ndim == 3 and tensor.shape[1] == network.tokens


def _known(value: float) -> float | None:
    """A number, or None where it is not finite: a zero Jacobian has no logarithm."""
    return float(value) if math.isfinite(value) else None


def notes_of(notes: Sequence[str], network: Network, sampled: Sampled, batchnorm: str) -> tuple[str, ...]:
    """Return notes with those on what was done to the model, or could not be done."""
    model = network.run.model
    more = []
    if batch_norms(model):
        what = "the batch's statistics, so that the inputs are one" if batchnorm == "batch" else "running statistics"
        more.append(f"BatchNorm with {what}")
    elif network.inputs == 1 < network.tensors[0].shape[0]:
        more.append("a layer has no batch dimension in front: the inputs are taken as one")
    if network.run.origin.in_module:
        more.append(f"varied: the output of {network.run.origin.name}")
    zero = [
        f"{name} {direction}"
        for direction, series in (("forward", sampled.forward), ("backward", sampled.backward))
        for name, energy in zip(network.names, stacked([series], "energies").mean(axis=(0, 1, 2)), strict=True)
        if energy == 0
    ]
    if zero:
        more.append(f"the Jacobian is zero at {', '.join(zero)}")
    return tuple(dict.fromkeys([*notes, *more, *([sampled.remark] if sampled.remark else [])]))
