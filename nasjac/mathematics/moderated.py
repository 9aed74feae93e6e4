"""Intervals of a mean of a few draws: their variance is pooled with a prior one (the moderated t).

Source: Smyth, "Linear models and empirical Bayes methods", Statistical Applications in Genetics and Molecular Biology 3
(2004), whose estimates of the prior from many variances are those of `fitted`.

A variance σ² of which s0² is guessed with d0 degrees of freedom, and which n draws estimate by s² with d = n − 1, is
s̃² = (d0 s0² + d s²) / (d0 + d), and (mean − truth) / (s̃ / √n) has Student's distribution with d0 + d degrees of freedom
wherever d0 s0² / σ² has the χ² distribution with d0 degrees over the architectures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: the quantile of the normal law by which users widen a standard error to a 95% interval
NORMAL = 1.959963984540054
#: the most degrees of freedom that a prior may claim: a population that is fitted is never so alike
MOST_DEGREES = 16.0
#: a variance below this share of the median is taken for it, because its logarithm would rule the fit
LEAST_SHARE = 1e-5
#: points of the quadrature, and degrees beyond which Student's quantile is the normal one to four digits
POINTS, NORMAL_FROM = 256, 1e4


class Prior(NamedTuple):
    """What is known of a variance before the draws: `variance`, worth so many `degrees` of freedom (0: nothing)."""

    variance: float
    degrees: float

    def error(self, values: Array) -> float:
        """Return the standard error of the mean of values [n], such that mean ± 1.96 errors holds the truth in 95%.

        It is s̃ / √n times the ratio of Student's quantile with d0 + n − 1 degrees to the normal one. Infinite for a single
        value without a prior.
        """
        own = len(values) - 1
        degrees = self.degrees + own
        if degrees <= 0:
            return math.inf
        pooled = (self.degrees * self.variance + (own * float(values.var(ddof=1)) if own else 0.0)) / degrees
        return math.sqrt(pooled / len(values)) * student_quantile(degrees) / NORMAL


#: with it the interval is Student's own
NO_PRIOR = Prior(0.0, 0.0)


def fitted(variances: Sequence[float], degrees: float) -> Prior:
    """Return the prior that matches mean and variance of the logarithms of sample variances of many architectures.

    Args:
        variances: Sample variances, at least 0, one an architecture; some above 0.
        degrees: Those of freedom that each has, above 0.

    Returns:
        s0² and d0, the latter at most `MOST_DEGREES`: also where the variances differ no more than equal ones would.
    """
    found = np.asarray(variances, dtype=float)
    found = np.maximum(found, LEAST_SHARE * np.median(found[found > 0]))
    logs = np.log(found) - _log_bias(degrees)
    excess = float(logs.var(ddof=1)) - _trigamma(degrees / 2) if len(logs) > 1 else 0.0
    prior = min(MOST_DEGREES, 2 * _inverse_trigamma(excess)) if excess > 0 else MOST_DEGREES
    return Prior(float(np.exp(logs.mean() + _log_bias(prior))), prior)


@lru_cache(maxsize=4096)
def student_quantile(degrees: float) -> float:
    """Return the 97.5% quantile of Student's distribution with so many degrees of freedom, above 0 and not always whole.

    >>> round(student_quantile(1.0), 3), round(student_quantile(4.5), 3)
    (12.706, 2.659)
    """
    if degrees > NORMAL_FROM:
        return NORMAL
    # with t = √ν tan θ the density is in proportion to cos^(ν − 1) θ
    low, high = 0.0, math.pi / 2
    whole = _cosine_power(0.0, high, degrees)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _cosine_power(middle, math.pi / 2, degrees) < 0.05 * whole else (middle, high)
    return math.sqrt(degrees) * math.tan(low)


def _cosine_power(low: float, high: float, degrees: float) -> float:
    """The integral of cos^(ν − 1) from `low` to `high` = π/2, by quadrature in (π/2 − θ)^min(ν, 1), which is smooth."""
    points, weights = _quadrature()
    top = math.pow(high - low, min(degrees, 1.0))
    u = (points + 1) / 2 * top
    power = min(degrees, 1.0)
    angle = u ** (1 / power)  # π/2 − θ
    values = np.sin(angle) ** (degrees - 1) * angle ** (1 - power) / power
    return float(weights @ values) / 2 * top


@cache
def _quadrature() -> tuple[Array, Array]:
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    return points, weights


def _log_bias(degrees: float) -> float:
    """E log(χ² / degrees)."""
    half = torch.tensor(degrees / 2, dtype=torch.float64)
    return float(torch.special.digamma(half) - half.log())


def _trigamma(x: float) -> float:
    return float(torch.special.polygamma(1, torch.tensor(x, dtype=torch.float64)))


def _inverse_trigamma(value: float) -> float:
    """The x with trigamma x = value > 0, by Newton's method on its reciprocal, which is nearly linear."""
    x = 0.5 + 1 / value
    for _ in range(50):
        third = float(torch.special.polygamma(2, torch.tensor(x, dtype=torch.float64)))
        trigamma = _trigamma(x)
        step = trigamma * (1 - trigamma / value) / third
        x += step
        if -step < 1e-10 * x:
            break
    return x
