"""The layer-by-layer Jacobian of any module: norms with standard errors, ranks, weight gradients, correlations."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from nasjac.architecture.fields import check_choice
from nasjac.foundation.arguments import flag, number, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.models.diagnosis import Diagnosis
from nasjac.models.fresh import initialized
from nasjac.models.profile import layers_of, notes_of, points_of
from nasjac.models.sampling import Network, Precision, Sampled, network_of, sample
from nasjac.models.setup import arguments, depends_on_batch, fitted, prepared
from nasjac.models.undisturbed import BATCHNORM, undisturbed

#: probes of a direction before precision is looked at; all there are of each initialization, where there are several
FIRST = 4
#: most probes of a direction and most initializations, whose energies are all kept; the largest seed
MOST, MOST_SEED = 10**7, 2**62

#: (probes done, most that there may be)
Advance = Callable[[int, int], None]


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
    name: str | None = None,
    advance: Advance | None = None,
) -> Diagnosis:
    """Estimate the squared Jacobian norms of a model layer by layer, in both directions and without a whole Jacobian.

    Of every layer k these are ‖∂h_k/∂h_0‖_F² / N_k (forward) and ‖∂h_K/∂h_k‖_F² / N_K (backward), per unit of the
    numerator. Probes are uniform on a sphere (never a vector of ones: a LayerNorm's Jacobian takes it to zero). Standard
    errors are over probes at these inputs, or over initializations.

    Args:
        model: A module, which is left as it was; or a callable that makes one.
        inputs: A batch: a tensor, a tuple of arguments, or a mapping of arguments by name.
        layers: Names of modules, * and ? allowed; by default the outputs of the repeated blocks.
        origin: What is varied: an input, or the module whose output is; by default the only real input, or the output of
            the embedding of token ids.
        output: Which of the model's outputs counts, by its place; by default the first.
        batchnorm: batch (statistics of the batch, as in training; the inputs then count as one) or running.
        tokens: Whether dimension 1 of layers [batch, T, N] is a sequence; by default, if all are [batch, T, N].
        reinitialize: Over how many fresh initializations; 0 takes the weights that the model has.
        rel_error: The standard error of the mean log norm that every layer shall reach, in nats, unless reinitialized.
        max_probes: The most probes a direction.
        seed: Of probes and initializations.
        name: What the model is called in texts; by default the name of its class.
        advance: Called with (probes done, most that there may be).

    Returns:
        The profile, with a verdict; it prints as a table.

    Raises:
        InputError: Whatever the model or the call makes impossible, with the reason.

    Source: Doshi, He & Gromov 2023 (partial Jacobians); Hutchinson 1990 (probes).

    >>> import torch
    >>> chain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    >>> [point.name for point in diagnose(chain, torch.ones(2, 4), layers=["0", "1"]).points]
    ['input', '0', '1', 'output']
    """
    if not callable(model):
        raise InputError(f"`model` must be an nn.Module or a callable that makes one, got {shown(model)}")
    if advance is not None and not callable(advance):
        raise InputError(f"`advance` must be a function of two whole numbers, got {shown(advance)}")
    tokens = None if tokens is None else flag("tokens", tokens)
    _check(batchnorm, reinitialize, rel_error, max_probes, seed)
    began, notes = time.perf_counter(), list[str]()
    precision = Precision(math.inf, FIRST, FIRST) if reinitialize else Precision(rel_error, FIRST, max_probes)
    done, most = itertools.count(1), 2 * precision.most * max(1, reinitialize)
    progress = (lambda: None) if advance is None else (lambda: advance(next(done), most))
    args, kwargs = arguments(inputs)
    networks, sampled = list[Network](), list[Sampled]()
    for place, module in enumerate(initialized(model, reinitialize, seed, notes)):
        own_args, own_kwargs = fitted(module, args, kwargs, notes)
        with undisturbed(module, batchnorm):
            run = prepared(module, own_args, own_kwargs, layers, origin, output)
            networks.append(network_of(run, depends_on_batch(module, batchnorm), tokens))
            sampled.append(sample(networks[-1], precision, seed + place, progress))
    profile = layers_of(networks[0], sampled)
    return Diagnosis(
        profile,
        exact=True,
        points=points_of(networks, sampled),
        probes={"forward": len(sampled[0].forward.energies), "backward": len(sampled[0].backward.energies)},
        inputs=networks[0].inputs,
        initializations=len(sampled),
        precision_reached=None if reinitialize else all((layer.standard_error or 0.0) <= rel_error for layer in profile),
        notes=notes_of(notes, networks[0], sampled[0], batchnorm),
        seconds=time.perf_counter() - began,
        model=type(networks[0].run.model).__name__ if name is None else name,
    )


def _check(batchnorm: str, reinitialize: int, rel_error: float, max_probes: int, seed: int) -> None:
    check_choice("batchnorm", batchnorm, BATCHNORM)
    if whole("reinitialize", reinitialize, 0, MOST) == 1:
        raise InputError(f"`reinitialize` must be 0 or at least 2 (an error needs two), got {reinitialize!r}")
    number("rel_error", rel_error, 0.0, open_low=True)
    whole("max_probes", max_probes, FIRST, MOST)
    whole("seed", seed, 0, MOST_SEED)
