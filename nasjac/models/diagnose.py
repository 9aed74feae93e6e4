"""The layer-by-layer Jacobian of any module: norms with standard errors, ranks, weight gradients, correlations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nasjac.architecture.measurement import Layer, Profile
from nasjac.foundation.arguments import flag, number, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.models.fresh import initialized
from nasjac.models.sampling import Network, Precision, Sampled, Series, network_of, sample, stacked
from nasjac.models.setup import arguments, depends_on_batch, fitted, prepared
from nasjac.models.statistics import log_mean, mean_log, ranks, sd_log
from nasjac.models.undisturbed import BATCHNORM, batch_norms, undisturbed

#: probes of a direction before precision is looked at; all there are of each initialization, where there are several
FIRST = 4
#: most probes of a direction and most initializations, whose energies are all kept; the largest seed
MOST, MOST_SEED = 10**7, 2**62

#: (probes done, most that there may be)
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class DiagnosedLayer(Layer):
    """A layer in one direction, with more than its norm.

    `log_mean_error`       standard error of `log_mean`
    `sd_log`               spread of log 𝒥 over inputs and initializations, probe noise removed
    `effective_rank`       (tr A)² / tr A², A = JJᵀ
    `token_log_mean`       log E 𝒥_⊥ of what differs between tokens, and `token_log_mean_error`; None without tokens
    """

    log_mean_error: float | None = None
    sd_log: float | None = None
    effective_rank: float | None = None
    token_log_mean: float | None = None
    token_log_mean_error: float | None = None


@dataclass(frozen=True)
class Point:
    """A layer without direction.

    `shape`               of its tensor, batch first
    `correlation`         mean cosine of the activations of two inputs
    `token_correlation`   mean cosine of two tokens of one input
    `weight_gradient`     log E ‖∂⟨v, output⟩/∂θ‖² per unit of output, θ the parameters of the block, and its standard error
    """

    name: str
    shape: tuple[int, ...]
    correlation: float | None = None
    token_correlation: float | None = None
    weight_gradient: float | None = None
    weight_gradient_error: float | None = None


@dataclass(frozen=True)
class Diagnosis(Profile):
    """The Jacobian profile of a model; layers from `input` to `output` in both directions.

    `probes`              how many each direction took
    `precision_reached`   whether every layer's standard error is at most what was asked; None if over initializations
    `notes`               what was done to the model or could not be done
    """

    layers: tuple[DiagnosedLayer, ...]
    points: tuple[Point, ...] = ()
    probes: Mapping[str, int] = field(default_factory=dict)
    inputs: int = 1
    initializations: int = 1
    precision_reached: bool | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def diagnose(
    model: nn.Module | Callable[[], nn.Module],
    inputs: Any,
    *,
    layers: str | Sequence[str] | None = None,
    origin: str | None = None,
    output: str | None = None,
    batchnorm: str = "batch",
    tokens: bool | None = None,
    reinitialize: int = 0,
    rel_error: float = 0.05,
    max_probes: int = 256,
    seed: int = 0,
    advance: Advance | None = None,
) -> Diagnosis:
    """‖∂h_k/∂h_0‖_F² / N_k and ‖∂h_K/∂h_k‖_F² / N_K of every layer k of a model, without a whole Jacobian.

    `model`         a module, which is left as it was; or a callable that makes one
    `inputs`        a batch: a tensor, a tuple of arguments, or a mapping of arguments by name
    `layers`        names of modules, * and ? allowed; by default the outputs of the repeated blocks
    `origin`        what is varied: an input, or the module whose output is; by default the only real input, or the output
                    of the embedding of token ids
    `output`        which of the model's outputs, by its place; by default the first
    `batchnorm`     batch (statistics of the batch, as in training; the inputs are then one) or running
    `tokens`        whether dimension 1 of layers [batch, T, N] is a sequence; by default, if all are [batch, T, N]
    `reinitialize`  over how many fresh initializations; 0: the weights that are there
    `rel_error`     standard error of the mean log norm that every layer shall reach, in nats, unless reinitialized
    `max_probes`    at most so many a direction
    `advance`       called with (probes done, most there may be)

    Probes are uniform on a sphere (never a vector of ones: a LayerNorm's Jacobian takes it to zero). Standard errors are
    over probes at the inputs given, or over initializations. ValueError: whatever the model or the call makes impossible,
    with the reason. Source: Doshi, He & Gromov 2023 (partial Jacobians); Hutchinson 1990 (probes).
    """
    if not callable(model):
        raise InputError(f"`model` must be an nn.Module or a callable that makes one, got {shown(model)}")
    if advance is not None and not callable(advance):
        raise InputError(f"`advance` must be a function of two whole numbers, got {shown(advance)}")
    if tokens is not None:
        tokens = flag("tokens", tokens)
    _check(batchnorm, reinitialize, rel_error, max_probes, seed)
    began, notes = time.perf_counter(), list[str]()
    precision = Precision(math.inf, FIRST, FIRST) if reinitialize else Precision(rel_error, FIRST, max_probes)
    progress = _Progress(2 * precision.most * max(1, reinitialize), advance)
    args, kwargs = arguments(inputs)
    networks, sampled = list[Network](), list[Sampled]()
    for place, module in enumerate(initialized(model, reinitialize, seed, notes)):
        own_args, own_kwargs = fitted(module, args, kwargs, notes)
        with undisturbed(module, batchnorm):
            run = prepared(module, own_args, own_kwargs, layers, origin, output)
            networks.append(network_of(run, depends_on_batch(module, batchnorm), tokens))
            sampled.append(sample(networks[-1], precision, seed + place, progress))
    layers_found = _layers(networks[0], sampled)
    reached = None if reinitialize else all(_precise(layer, rel_error) for layer in layers_found)
    return Diagnosis(
        layers_found,
        exact=True,
        points=_points(networks, sampled),
        probes={"forward": len(sampled[0].forward.energies), "backward": len(sampled[0].backward.energies)},
        inputs=networks[0].inputs,
        initializations=len(sampled),
        precision_reached=reached,
        notes=_notes(notes, networks[0], sampled[0], batchnorm),
        seconds=time.perf_counter() - began,
    )


@dataclass
class _Progress:
    total: int
    advance: Advance | None
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        if self.advance is not None:
            self.advance(self.done, self.total)


def _check(batchnorm: str, reinitialize: int, rel_error: float, max_probes: int, seed: int) -> None:
    if not isinstance(batchnorm, str) or batchnorm not in BATCHNORM:
        raise InputError(f"`batchnorm` must be one of {', '.join(BATCHNORM)}, got {shown(batchnorm)}")
    if whole("reinitialize", reinitialize, 0, MOST) == 1:
        raise InputError(f"`reinitialize` must be 0 or at least 2 (an error needs two), got {reinitialize!r}")
    number("rel_error", rel_error, 0.0, open_low=True)
    whole("max_probes", max_probes, FIRST, MOST)
    whole("seed", seed, 0, MOST_SEED)


def _precise(layer: Layer, rel_error: float) -> bool:
    return layer.standard_error is None or layer.standard_error <= rel_error


def _layers(network: Network, sampled: Sequence[Sampled]) -> tuple[DiagnosedLayer, ...]:
    forward = _directed("forward", network.names, [one.forward for one in sampled])
    return (*forward, *_directed("backward", network.names, [one.backward for one in sampled]))


def _directed(
    direction: Literal["forward", "backward"], names: Sequence[str], series: Sequence[Series]
) -> list[DiagnosedLayer]:
    energies, width = stacked(series, "energies"), series[0].width
    rank = ranks(energies, stacked(series, "products"), width)
    tokens = log_mean(stacked(series, "differential"))
    columns = [*log_mean(energies), *mean_log(energies), sd_log(energies), rank, *tokens]
    own = 0 if direction == "forward" else len(names) - 1  # from a layer to itself the Jacobian is the identity
    for column, exact in zip(columns, (0.0, 0.0, 0.0, 0.0, 0.0, width[own]), strict=False):
        column[own] = exact if np.isfinite(column[own]) else math.nan
    return [
        DiagnosedLayer(
            name,
            direction,
            log_mean=total,
            mean_log=typical,
            standard_error=error,
            log_mean_error=total_error,
            sd_log=spread,
            effective_rank=dimension,
            token_log_mean=token,
            token_log_mean_error=token_error,
        )
        for name, total, total_error, typical, error, spread, dimension, token, token_error in zip(
            names, *(map(_known, column) for column in columns), strict=True
        )
    ]


def _points(networks: Sequence[Network], sampled: Sequence[Sampled]) -> tuple[Point, ...]:
    first = networks[0]
    gradients = log_mean(stacked([one.backward for one in sampled], "gradients"))
    by_block = dict(zip(first.blocks, zip(*gradients, strict=True), strict=True))
    correlations = [_mean([similarity(network.tensors[k], 0) for network in networks]) for k in range(len(first.names))]
    between_tokens = [
        _mean([similarity(network.tensors[k], 1) for network in networks]) if _is_sequence(first, k) else None
        for k in range(len(first.names))
    ]
    return tuple(
        Point(
            name,
            tuple(first.tensors[k].shape),
            correlations[k] if first.inputs > 1 else None,
            between_tokens[k],
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


def _mean(values: Sequence[float]) -> float | None:
    return _known(sum(values) / len(values))


def _known(value: float) -> float | None:
    """A number, or None where it is not finite: a zero Jacobian has no logarithm."""
    return float(value) if math.isfinite(value) else None


def _notes(notes: Sequence[str], network: Network, sampled: Sampled, batchnorm: str) -> tuple[str, ...]:
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
