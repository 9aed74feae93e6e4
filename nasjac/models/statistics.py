"""From the energies of probes to log norms with standard errors.

Letters: M initializations, S probes, I inputs, K layers. Energies are [M, S, I, K]; products of the vectors of two probes,
one from every pair of them, [M, S/2, I, K].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nasjac.mathematics.logarithms import Array, Debiased, debiased, jackknife_error


def ranks(energies: Array, products: Array, width: Array) -> Array:
    """[K] effective ranks r = T² / tr A², A = JJᵀ, from products of two energies and squared inner products.

    This is the participation ratio; the entropy rank of Roy & Vetterli 2007 and ‖J‖_F² / ‖J‖₂² are called effective too.
    `width` [K], the dimension of the probes' space, is what a rank cannot exceed. NaN of a zero Jacobian.
    """
    pairs = products.shape[1]
    one, other = energies[:, 0 : 2 * pairs : 2], energies[:, 1 : 2 * pairs : 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = energies.mean(axis=1)[:, None] ** 2
        found = (one * other / scale).mean(axis=(0, 1, 2)) / (products / scale).mean(axis=(0, 1, 2))
    return np.asarray(np.clip(found, 1.0, width))


def log_mean(energies: Array) -> tuple[Array, Array]:
    """log E 𝒥 [K] and its standard error."""

    def of(energies: Array) -> Array:
        return np.asarray(np.log(energies.mean(axis=(0, 1, 2))))

    with np.errstate(divide="ignore", invalid="ignore"):
        return of(energies), _error(of, energies)


def mean_log(energies: Array) -> tuple[Array, Array]:
    """E log 𝒥 [K], the logarithm's probe bias removed, and its standard error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = _error(lambda energies: np.log(energies.mean(axis=1)).mean(axis=(0, 1)), energies)
    return _by_network(energies).value.mean(axis=(0, 1)), error


def sd_log(energies: Array) -> Array:
    """[K] standard deviation of log 𝒥 over initializations and inputs, probe noise removed; NaN of a single one."""
    log = _by_network(energies)
    if log.value[..., 0].size < 2:
        return np.full(log.value.shape[-1], math.nan)
    with np.errstate(invalid="ignore"):
        variance = log.value.reshape(-1, log.value.shape[-1]).var(axis=0, ddof=1) - log.noise.mean(axis=(0, 1))
        return np.asarray(np.sqrt(np.maximum(0.0, variance)))


def _by_network(energies: Array) -> Debiased:
    """log 𝒥 [M, I, K] of each initialization and input."""
    with np.errstate(divide="ignore"):
        return debiased(np.moveaxis(np.log(energies), 1, -1))


def _error(statistic: Callable[[Array], Array], energies: Array) -> Array:
    """The jackknife error of a statistic: over initializations if there are several, otherwise over probes."""
    return jackknife_error(statistic, energies, axis=0 if len(energies) > 1 else 1)
