"""Gaussian cross moments of single activations, split into the value at gap 0 and the drop over the gap.

x and y have variances q1 and q2 and covariance √(q1 q2) - gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch

from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield.moments import MOMENTS, Array

#: Gauss-Hermite nodes in each of two variables, of the activations without closed forms
NODES = 64


class Kernel(NamedTuple):
    """E phi(x)phi(y) and E phi'(x)phi'(y)."""

    second: Array
    derivative_second: Array


class Split(NamedTuple):
    """The kernel at gap 0, and how far it falls over the gap."""

    top: Kernel
    drop: Kernel


def _linear(q1: Array, q2: Array, gap: Array) -> Split:
    return Split(Kernel(np.sqrt(q1 * q2), np.ones_like(gap)), Kernel(gap, np.zeros_like(gap)))


def _relu(q1: Array, q2: Array, gap: Array) -> Split:
    """Arc-cosine kernels of degrees 1 and 0 (Cho & Saul 2009), in the angle t between x and y: 2 sin²(t/2) = gap/√(q1 q2).

    With √(q1 q2)[sin t + (π - t)cos t]/2π the drop from t = 0 is gap/2 - √(q1 q2)[sin t - t cos t]/2π.
    """
    root = np.sqrt(q1 * q2)
    t = 2 * np.arctan2(np.sqrt(gap), np.sqrt(2 * root - gap))
    series = t**3 * (1 / 3 - t**2 * (1 / 30 - t**2 / 840))  # where the difference would lose digits
    bend = np.where(t < 0.03, series, np.sin(t) - t * np.cos(t))
    drop = Kernel(gap / 2 - root * bend / (2 * math.pi), t / (2 * math.pi))
    return Split(Kernel(root / 2, np.full_like(gap, 0.5)), drop)


class _Arc(NamedTuple):
    """What the laws built on asin(c/√(ab)) share, with D = ab - c²; 0 marks the values at gap 0."""

    c: Array
    angle0: Array  # asin at gap 0
    fall: Array  # of the asin over the gap
    root0: Array  # √D0
    root: Array  # √D
    rise: Array  # √D - √D0


def _arc(c0: Array, d0: Array, gap: Array) -> _Arc:
    """D - D0 = c0² - c² = gap (c0 + c), and the fall is the angle between (√D0, c0) and (√D, c), by its sine and cosine."""
    c = c0 - gap
    change = gap * (c0 + c)
    root0, root = np.sqrt(d0), np.sqrt(d0 + change)
    rise = change / (root0 + root)
    fall = np.arctan2(c0 * rise + root0 * gap, c0 * c + root0 * root)
    return _Arc(c, np.arctan2(c0, root0), fall, root0, root, rise)


def _gelu(q1: Array, q2: Array, gap: Array) -> Split:
    """In terms of a = 1 + q1, b = 1 + q2, D = ab - c², s = 1/a + 1/b.

        E phi phi  = c(¼ + asin(c/√(ab))/2π) + [(1 - s)√D + 1/√D]/2π,   the bracket being (q1 q2 - c² + s c²)/√D
        E phi'phi' = ¼ + asin(c/√(ab))/2π + c(s + 1/D)/(2π√D)

    from E Phi(x)Phi(y) = ¼ + asin(c/√(ab))/2π by Stein's lemma in x and in y.
    """
    s, c0 = 1 / (1 + q1) + 1 / (1 + q2), np.sqrt(q1 * q2)
    arc = _arc(c0, 1 + q1 + q2, gap)
    quarter, p0 = 0.25 + arc.angle0 / (2 * math.pi), 1 / arc.root0
    second = c0 * (quarter + s * c0 * p0 / (2 * math.pi))
    top = Kernel(second, quarter + c0 * (s + p0**2) * p0 / (2 * math.pi))
    terms = c0 * arc.fall - ((1 - s) - p0 / arc.root) * arc.rise
    drop = gap * (quarter - arc.fall / (2 * math.pi)) + terms / (2 * math.pi)
    # For a large q those terms cancel to their last digits. Then integrate the slope; s = gap u² makes its root smooth.
    close = (c0 > 1e6) & (gap < 1e-8 * c0)
    if close.any():
        nodes, weights = np.polynomial.legendre.leggauss(16)
        u = (nodes + 1) / 2
        mean = _gelu_slope_drop(q1[..., None], q2[..., None], gap[..., None] * u**2) @ (weights * u)
        drop = np.where(close, gap * (top.derivative_second - mean), drop)
    return Split(top, Kernel(drop, _gelu_slope_drop(q1, q2, gap)))


def _gelu_slope_drop(q1: Array, q2: Array, gap: Array) -> Array:
    """How far E phi'phi' falls over the gap: a sum of positive terms, p = 1/√D."""
    s, c0 = 1 / (1 + q1) + 1 / (1 + q2), np.sqrt(q1 * q2)
    arc = _arc(c0, 1 + q1 + q2, gap)
    p0, p = 1 / arc.root0, 1 / arc.root
    fall = arc.rise * p0 * p * (s + p0**2 + p0 * p + p**2)  # of (s + 1/D)/√D
    return np.asarray((arc.fall + c0 * fall + gap * (s + p**2) * p) / (2 * math.pi))


def _erf_mixture(widths: Array, weights: Array, q1: Array, q2: Array, gap: Array) -> Split:
    """Of phi(x) = sum_i weights_i erf(x/(√2 widths_i)); the cross moments of two terms have the closed form of erf's own.

    (2/π) asin(c/√((w² + q1)(w'² + q2))) and (2/π)/√((w² + q1)(w'² + q2) - c²).
    """
    c0 = np.sqrt(q1 * q2)[..., None]
    sums = [np.zeros_like(gap) for _ in range(4)]
    for width, weight in zip(widths**2, weights, strict=True):
        d0 = width * widths**2 + width * q2[..., None] + widths**2 * q1[..., None]
        arc = _arc(c0, d0, gap[..., None])
        terms = (arc.angle0, 1 / arc.root0, arc.fall, arc.rise / arc.root0 / arc.root)
        for total, term in zip(sums, terms, strict=True):
            total += (2 / math.pi * weight) * (term * weights).sum(axis=-1)
    return Split(Kernel(sums[0], sums[1]), Kernel(sums[2], sums[3]))


@cache
def _tanh_mixture() -> tuple[Array, Array]:
    """Widths and weights with tanh(x) = sum_i weights_i erf(x/(√2 widths_i)) to 1e-15 of tanh(x), for every x.

    tanh(x) = P(|X| < x) for the logistic X of scale ½, which is a normal variable times an independent k of Kolmogorov's
    law (Andrews & Mallows 1974): density 8k sum_n (-1)^(n-1) n² exp(-2n²k²). The trapezoid rule in log k converges
    exponentially, the density being analytic for |arg k| < π/4.
    """
    step = 0.12
    k = np.exp(np.arange(math.log(0.17), math.log(4.6), step))  # the law leaves 1e-18 outside
    n = np.arange(1, 80)[:, None]
    direct = 8 * k * (np.where(n % 2, 1, -1) * n**2 * np.exp(-2 * (n * k) ** 2)).sum(axis=0)
    m = (2 * n - 1) ** 2 * math.pi**2 / 8 / k**2  # the same law by Jacobi's identity, for small k
    dual = math.sqrt(2 * math.pi) / k**2 * (np.exp(-m) * (2 * m - 1)).sum(axis=0)
    return k, step * k * np.where(k < 0.8, dual, direct)


def by_quadrature(name: str) -> Callable[[Array, Array, Array], Split]:
    """The law of an activation without closed forms: smooth ones to some 1e-5, slopes that jump to some percent.

    Half the squared distance of phi(x) and phi(y) keeps its digits at a small gap. With x = √q1 (a u + b v) and
    y = √q2 (a u - b v) their correlation is a² - b² = 1 - 2 b², b² = gap / (2 √(q1 q2)).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weight = np.outer(weights, weights) / weights.sum() ** 2

    def distances(q1: Array, q2: Array, gap: Array) -> list[Array]:
        b2 = (gap / (2 * np.sqrt(q1 * q2)))[..., None, None]
        along, across = np.sqrt(1 - b2) * nodes[:, None], np.sqrt(b2) * nodes
        x, y = (torch.from_numpy(np.sqrt(q)[..., None, None] * z) for q, z in ((q1, along + across), (q2, along - across)))
        function, derivative = ACTIVATIONS[name]
        one, other = function(x), function(y)
        gaps = one - other, derivative(x, one) - derivative(y, other)
        return [0.5 * (apart.numpy() ** 2 * weight).sum(axis=(-2, -1)) for apart in gaps]

    def law(q1: Array, q2: Array, gap: Array) -> Split:
        start, end = (np.array(distances(q1, q2, at)) for at in (np.zeros_like(gap), gap))
        top = (np.array(MOMENTS[name](q1)) + np.array(MOMENTS[name](q2))) / 2 - start
        return Split(Kernel(*top), Kernel(*(end - start)))

    return law


#: activation -> its law at (q1, q2, gap)
LAWS: dict[str, Callable[[Array, Array, Array], Split]] = {
    "linear": _linear,
    "relu": _relu,
    "erf": partial(_erf_mixture, np.array([math.sqrt(0.5)]), np.ones(1)),
    "gelu": _gelu,
    "tanh": lambda q1, q2, gap: _erf_mixture(*_tanh_mixture(), q1, q2, gap),
}
LAWS |= {name: by_quadrature(name) for name in ACTIVATIONS if name not in LAWS}
