"""Gaussian moments of the activations, as functions of the variance q of the pre-activation; elementwise.

x = √q g with g ~ N(0, 1). gelu is x Phi(x), Phi the normal distribution function (not the tanh approximation).
q must lie in [1e-300, 1e300], where no intermediate result overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield.law import Law, Means, Moments, by_quadrature
from nasjac.mathematics.meanfield.quadrature import LARGE_Q, SMALL_Q, table

Array = NDArray[np.float64]


def _erf_moments(q: Array) -> Moments:
    root = np.sqrt(1 + 4 * q)
    return Moments(2 / math.pi * np.arctan2(2 * q, root), 4 / math.pi / root)


def _gelu_moments(q: Array) -> Moments:
    bounded, root = q / (1 + q), np.sqrt(1 + 2 * q)
    common = 0.25 + (np.arctan2(q, root) + 2 * bounded / root) / (2 * math.pi)
    return Moments(q * common, common + q / (1 + 2 * q) / root / (2 * math.pi))


def _gelu_slope(q: Array) -> Array:
    return np.asarray(_gelu_moments(q).second / q + _gelu_curvature(q) / (2 * math.pi))


def _gelu_curvature(q: Array) -> Array:
    """2π q d(V/q)/dq."""
    bounded, root = q / (1 + q), np.sqrt(1 + 2 * q)
    return np.asarray(bounded / root + 2 * bounded * ((1 - q * bounded) / (1 + 2 * q)) / root)


def _gelu_derivative_slope(q: Array) -> Array:
    """S is V/q + q (1 + 2q)^(−3/2) / 2π."""
    last = (1 - q) / (1 + 2 * q) / (1 + 2 * q) / np.sqrt(1 + 2 * q)
    return np.asarray((_gelu_curvature(q) / q + last) / (2 * math.pi))


def _tanh_moments(q: Array) -> Moments:
    """From a table in log q; its ends are the Taylor and the asymptotic series, exact there to the last digit."""
    inner = np.clip(q, SMALL_Q, LARGE_Q)
    ratio, derivative = table("tanh")(inner)
    if q.size and q.min() >= SMALL_Q and q.max() <= LARGE_Q:
        return Moments(q * ratio, derivative)
    small, large = q < SMALL_Q, q > LARGE_Q
    density = 1 / np.sqrt(2 * math.pi * np.maximum(q, 1.0))
    second = np.where(small, q * (1 - 2 * q), np.where(large, 1 - density * (2 - math.pi**2 / 12 / q), q * ratio))
    far = density * (4 / 3 - (math.pi**2 - 6) / 18 / q)
    return Moments(second, np.where(small, 1 - 2 * q, np.where(large, far, derivative)))


def _tanh_slope(q: Array) -> Array:
    """V' = E (phi phi')' = 3 S + 2 V - 2, since tanh' = 1 - tanh²."""
    second, derivative_second = _tanh_moments(q)
    return 3 * derivative_second + 2 * second - 2


def _tanh_derivative_slope(q: Array) -> Array:
    """q S' = ½ E x (phi'²)' = −2 E x tanh(x) sech⁴(x), by Stein's lemma; from the table, and −2 q before it."""
    tabled = table("tanh slope")(np.clip(q, SMALL_Q, LARGE_Q))[0]
    return np.asarray(np.where(q < SMALL_Q, -2.0, tabled / q))


def _tabled_fourth(name: str) -> Callable[[Array], Array]:
    return lambda q: table(f"{name} fourth")(np.clip(q, SMALL_Q, LARGE_Q))[0]


_LAWS: dict[str, Law] = {
    "linear": Law(
        lambda q: Moments(q, np.ones_like(q)),
        lambda q: Means(np.zeros_like(q), np.ones_like(q)),
        np.ones_like,
        np.zeros_like,
        np.ones_like,
    ),
    "relu": Law(
        lambda q: Moments(q / 2, np.full_like(q, 0.5)),
        lambda q: Means(np.sqrt(q / (2 * math.pi)), np.full_like(q, 0.5)),
        lambda q: np.full_like(q, 0.5),
        np.zeros_like,
        lambda q: np.full_like(q, 0.5),
    ),
    "erf": Law(
        _erf_moments,
        lambda q: Means(np.zeros_like(q), 2 / np.sqrt(math.pi * (1 + 2 * q))),
        lambda q: 4 / math.pi / ((1 + 2 * q) * np.sqrt(1 + 4 * q)),
        lambda q: -8 / math.pi / ((1 + 4 * q) * np.sqrt(1 + 4 * q)),
        lambda q: 16 / math.pi**2 / np.sqrt(1 + 8 * q),
    ),
    "gelu": Law(
        _gelu_moments,
        lambda q: Means(q / np.sqrt(2 * math.pi * (1 + q)), np.full_like(q, 0.5)),
        _gelu_slope,
        _gelu_derivative_slope,
        _tabled_fourth("gelu"),
    ),
    "tanh": Law(
        _tanh_moments,
        lambda q: Means(np.zeros_like(q), 1 - _tanh_moments(q).second),
        _tanh_slope,
        _tanh_derivative_slope,
        _tabled_fourth("tanh"),
    ),
}
_LAWS |= {name: by_quadrature(name) for name in ACTIVATIONS if name not in _LAWS}

#: activation -> V(q) and S(q)
MOMENTS: dict[str, Callable[[Array], Moments]] = {name: law.moments for name, law in _LAWS.items()}
#: activation -> E phi and E phi'
MEANS: dict[str, Callable[[Array], Means]] = {name: law.means for name, law in _LAWS.items()}
#: activation -> dV/dq
VARIANCE_SLOPES: dict[str, Callable[[Array], Array]] = {name: law.variance_slope for name, law in _LAWS.items()}
#: activation -> dS/dq; beyond [1e-8, 1e8] that of tanh is its series' first term
DERIVATIVE_SLOPES: dict[str, Callable[[Array], Array]] = {name: law.derivative_slope for name, law in _LAWS.items()}
#: activation -> E phi'⁴; for gelu and tanh that of the nearest q in [1e-8, 1e8]
DERIVATIVE_FOURTHS: dict[str, Callable[[Array], Array]] = {name: law.derivative_fourth for name, law in _LAWS.items()}


def nonlinearity(name: str, q: Array) -> Array:
    """Share of the variance of phi(x) that its best linear fit leaves unexplained; as q.

    1 - Cov(phi(x), x)² / (Var phi(x) Var x), where Cov(phi(x), x) = q E phi'(x) by Stein's lemma.
    """
    second, means = MOMENTS[name](q).second, MEANS[name](q)
    return np.maximum(0.0, 1 - q * means.derivative**2 / (second - means.value**2))
