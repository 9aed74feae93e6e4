"""Gaussian expectations by quadrature, and tables of them over the variance q; x = √q g with g ~ N(0, 1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebvander
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: the variances that a table holds
SMALL_Q, LARGE_Q = 1e-8, 1e8
CELL = 0.25  # width of a cell in log q: a pole at distance π makes degree 8 exact to a few 1e-15
DEGREE = 8


def even_means(q: Array, *functions: Callable[[Array], Array]) -> list[Array]:
    """E f(√q g) of even f with features of unit width, to 1e-15: Gauss-Legendre in g on panels that grow from zero.

    Gauss-Hermite nodes converge slowly here, because tanh has poles at ±iπ/2: 200 of them err by 1e-6 at q = 4.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40)
    root = np.sqrt(q)[..., None, None]
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-16, 4), [12.0]])  # in g; beyond 12 the density is 1e-32
    low, high = edges[:-1, None], edges[1:, None]
    g = low + (high - low) * (nodes + 1) / 2
    density = (high - low) / 2 * weights * np.exp(-0.5 * g**2) * math.sqrt(2 / math.pi)
    x = root * g
    return [(f(x) * density).sum(axis=(-2, -1)) for f in functions]


class Table:
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


@cache
def table(name: str) -> Table:
    """The table of an activation's moments; V / q and S are those of `tanh`, `slope` is q dS/dq, `fourth` E phi'⁴."""
    functions: dict[str, Callable[[Array], list[Array]]] = {
        "tanh": _tanh_ratio_and_slope,
        "tanh slope": lambda q: even_means(q, lambda x: -2 * x * np.tanh(x) * _sech(x, 4)),
        "tanh fourth": lambda q: even_means(q, lambda x: _sech(x, 8)),
        "gelu fourth": lambda q: even_means(q, _gelu_even_fourth),
    }
    return Table(lambda q: np.stack(functions[name](q)))


def _tanh_ratio_and_slope(q: Array) -> list[Array]:
    """V / q and S of tanh."""
    second, derivative = even_means(q, lambda x: np.tanh(x) ** 2, lambda x: _sech(x, 4))
    return [second / q, derivative]


def _sech(x: Array, power: float) -> Array:
    return np.asarray(np.cosh(np.minimum(x, 350.0)) ** -float(power))  # beyond, it is 0 and cosh would overflow


def _gelu_even_fourth(x: Array) -> Array:
    """The even part of gelu'⁴, gelu'(x) = Phi(x) + x Phi'(x)."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    odd = 0.5 * erf(x / math.sqrt(2)) + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return np.asarray(((0.5 + odd) ** 4 + (0.5 - odd) ** 4) / 2)
