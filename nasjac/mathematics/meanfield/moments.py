"""Gaussian moments of the activations, as functions of the variance q of the pre-activation; elementwise.

x = √q g with g ~ N(0, 1). gelu is x Phi(x), Phi the normal distribution function (not the tanh approximation).
q must lie in [1e-300, 1e300], where no intermediate result overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebvander
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Moments(NamedTuple):
    """V = E phi(x)² and S = E phi'(x)²."""

    second: Array
    derivative_second: Array


class Means(NamedTuple):
    """E phi(x) and E phi'(x)."""

    value: Array
    derivative: Array


class _Law(NamedTuple):
    """What is known of one activation, each as a function of q.

    `variance_slope` is dV/dq, `derivative_slope` dS/dq, `derivative_fourth` E phi'⁴.
    """

    moments: Callable[[Array], Moments]
    means: Callable[[Array], Means]
    variance_slope: Callable[[Array], Array]
    derivative_slope: Callable[[Array], Array]
    derivative_fourth: Callable[[Array], Array]


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
    if q.size and q.min() >= SMALL_Q and q.max() <= LARGE_Q:
        ratio, derivative = _table("tanh")(q)
        return Moments(q * ratio, derivative)
    inner = np.clip(q, SMALL_Q, LARGE_Q)
    ratio, derivative = _table("tanh")(inner)
    small, large = q < SMALL_Q, q > LARGE_Q
    density = 1 / np.sqrt(2 * math.pi * np.maximum(q, 1.0))
    second = np.where(small, q * (1 - 2 * q), np.where(large, 1 - density * (2 - math.pi**2 / 12 / q), q * ratio))
    far = density * (4 / 3 - (math.pi**2 - 6) / 18 / q)
    return Moments(second, np.where(small, 1 - 2 * q, np.where(large, far, derivative)))


def _tanh_means(q: Array) -> Means:
    return Means(np.zeros_like(q), 1 - _tanh_moments(q).second)


def _tanh_slope(q: Array) -> Array:
    """V' = E (phi phi')' = 3 S + 2 V - 2, since tanh' = 1 - tanh²."""
    second, derivative_second = _tanh_moments(q)
    return 3 * derivative_second + 2 * second - 2


def _tanh_derivative_slope(q: Array) -> Array:
    """q S' = ½ E x (phi'²)' = −2 E x tanh(x) sech⁴(x), by Stein's lemma; from the table, and −2 q before it."""
    tabled = _table("tanh slope")(np.clip(q, SMALL_Q, LARGE_Q))[0]
    return np.asarray(np.where(q < SMALL_Q, -2.0, tabled / q))


def _tabled_fourth(name: str) -> Callable[[Array], Array]:
    return lambda q: _table(f"{name} fourth")(np.clip(q, SMALL_Q, LARGE_Q))[0]


_LAWS: dict[str, _Law] = {
    "linear": _Law(
        lambda q: Moments(q, np.ones_like(q)),
        lambda q: Means(np.zeros_like(q), np.ones_like(q)),
        np.ones_like,
        np.zeros_like,
        np.ones_like,
    ),
    "relu": _Law(
        lambda q: Moments(q / 2, np.full_like(q, 0.5)),
        lambda q: Means(np.sqrt(q / (2 * math.pi)), np.full_like(q, 0.5)),
        lambda q: np.full_like(q, 0.5),
        np.zeros_like,
        lambda q: np.full_like(q, 0.5),
    ),
    "erf": _Law(
        _erf_moments,
        lambda q: Means(np.zeros_like(q), 2 / np.sqrt(math.pi * (1 + 2 * q))),
        lambda q: 4 / math.pi / ((1 + 2 * q) * np.sqrt(1 + 4 * q)),
        lambda q: -8 / math.pi / ((1 + 4 * q) * np.sqrt(1 + 4 * q)),
        lambda q: 16 / math.pi**2 / np.sqrt(1 + 8 * q),
    ),
    "gelu": _Law(
        _gelu_moments,
        lambda q: Means(q / np.sqrt(2 * math.pi * (1 + q)), np.full_like(q, 0.5)),
        _gelu_slope,
        _gelu_derivative_slope,
        _tabled_fourth("gelu"),
    ),
    "tanh": _Law(_tanh_moments, _tanh_means, _tanh_slope, _tanh_derivative_slope, _tabled_fourth("tanh")),
}

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


SMALL_Q, LARGE_Q = 1e-8, 1e8
CELL = 0.25  # width of a cell in log q: a pole at distance π makes degree 8 exact to a few 1e-15
DEGREE = 8


class _Table:
    """Smooth functions of q as polynomials of log q on cells of equal width, from Chebyshev nodes."""

    def __init__(self, functions: Callable[[Array], Array]) -> None:
        self.start = math.log(SMALL_Q)
        self.cells = math.ceil((math.log(LARGE_Q) - self.start) / CELL)
        nodes = np.cos(math.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
        log_q = self.start + CELL * (np.arange(self.cells)[:, None] + (nodes + 1) / 2)
        values = functions(np.exp(log_q))  # [functions, cells, nodes]
        # By the Chebyshev coefficients, which are sums of the values; inverting the Vandermonde matrix would lose a digit.
        waves = chebvander(nodes, DEGREE) * np.where(np.arange(DEGREE + 1) == 0, 1, 2) / (DEGREE + 1)  # [node, polynomial]
        powers = np.zeros((DEGREE + 1, DEGREE + 1))  # [power, polynomial]
        for order in range(DEGREE + 1):
            powers[: order + 1, order] = cheb2poly([0] * order + [1])
        chebyshev = np.einsum("nw,fcn->wfc", waves, values)
        self.coefficients = np.ascontiguousarray(np.einsum("pw,wfc->pfc", powers, chebyshev))

    def __call__(self, q: Array) -> Array:
        """[functions, *q.shape]; q in [SMALL_Q, LARGE_Q]."""
        position = (np.log(q) - self.start) / CELL
        cell = np.clip(position.astype(np.intp), 0, self.cells - 1)
        x = 2 * (position - cell) - 1
        value: Array = self.coefficients[-1].take(cell, axis=-1)
        for coefficient in self.coefficients[-2::-1]:
            value *= x
            value += coefficient.take(cell, axis=-1)
        return value


@lru_cache
def _table(name: str) -> _Table:
    functions: dict[str, Callable[[Array], Array]] = {
        "tanh": lambda q: np.stack(_tanh_even_means(q)),
        "tanh slope": lambda q: np.stack(_even_means(q, lambda x: -2 * x * np.tanh(x) * np.cosh(x) ** -4.0)),
        "tanh fourth": lambda q: np.stack(_even_means(q, lambda x: np.cosh(x) ** -8.0)),
        "gelu fourth": lambda q: np.stack(_even_means(q, _gelu_even_fourth)),
    }
    return _Table(functions[name])


def _tanh_even_means(q: Array) -> list[Array]:
    """V / q and S of tanh."""
    second, derivative = _even_means(q, lambda x: np.tanh(x) ** 2, lambda x: np.cosh(x) ** -4.0)
    return [second / q, derivative]


def _even_means(q: Array, *functions: Callable[[Array], Array]) -> list[Array]:
    """E f(√q g) of even f with features of unit width, to 1e-15: Gauss-Legendre in g on panels that grow from zero.

    Gauss-Hermite nodes converge slowly here, because tanh has poles at ±iπ/2: 200 of them err by 1e-6 at q = 4.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40)
    root = np.sqrt(q)[..., None, None]
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-16, 4), [12.0]])  # in g; beyond 12 the density is 1e-32
    low, high = edges[:-1, None], edges[1:, None]
    g = low + (high - low) * (nodes + 1) / 2
    density = (high - low) / 2 * weights * np.exp(-0.5 * g**2) * math.sqrt(2 / math.pi)
    x = np.minimum(root * g, 350.0)  # beyond, tanh is 1 and cosh would overflow
    return [(f(x) * density).sum(axis=(-2, -1)) for f in functions]


def _gelu_even_fourth(x: Array) -> Array:
    """The even part of gelu'⁴, gelu'(x) = Phi(x) + x Phi'(x)."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    odd = 0.5 * erf(x / math.sqrt(2)) + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return np.asarray(((0.5 + odd) ** 4 + (0.5 - odd) ** 4) / 2)
