"""The step of an implicit residual block: BDF-2 along dx/dt = F(x) - D x, solved by Newton's method.

The block's output y solves y − hβ (F(y) − D y) = history: after a block that is a step itself, from `before` to x, BDF-2's
(4 x − before)/3 with β = 2/3; else it starts, or starts anew, by backward Euler: x with β = 1. Both damp what decays,
however fast: with F(x) = λ x, Re λ < 0, nothing grows at any h. (1 + hβD) y = history + hβ F(y) is written y = b + g(y).

Newton's linear equations, and those of the gradient, are solved by `nasjac.kinds.modules.krylov` from products with J_g: no
matrix is built. Gradients are those of the implicit function theorem: with M = I − J_g(y) the gradient v by y becomes
M⁻ᵀ v by b + g; that is linear in v, and so is its derivative, M⁻¹ u. (Derivatives of M itself, second derivatives by x or
weights, are left out.) Where Newton's method fails from b on, it follows the solutions of y = b + t g(y) from t = 0 to 1;
where that fails too, the output is not a number, so that no loss or score is finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasjac.kinds.modules.krylov import minimal_residual
from nasjac.sampling.linearized import Linearized

#: largest ‖b + g(y) − y‖ of a solution, as a share of ‖b‖ + ‖y‖
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
#: Newton steps of a solution, halvings of one, and products in a linear equation, at most
NEWTON_STEPS, HALVINGS, PRODUCTS = 20, 5, 100
#: repetitions of a gradient's linear equation for what rounding left of it
REFINEMENTS = 3
#: stages of the continuation to the whole step
CONTINUATION = 8
#: how exactly Newton's linear equations are solved; its steps then shrink the residual about so much each
FORCING = 0.01

Function = Callable[[Tensor], Tensor]


class SolvingBlock(nn.Module):
    """A block that may be the solution of an equation.

    `residual` is what was left of the equation the last time: not above `TOLERANCES`, or the output is not a number.
    """

    residual: float = 0.0


class Solution:
    """y [G, ...] with y = b + g(y), `right` being b, and `residual` [G], its relative residuals.

    `function` g maps each row by itself, or the whole batch if it is `coupled`, as BatchNorm has it; then G is 1 in what
    is solved. Of a row without a solution y is not a number.
    """

    def __init__(self, function: Function, right: Tensor, coupled: bool = False) -> None:
        self._shape, self._rows = right.shape, 1 if coupled else len(right)
        self.tolerance = TOLERANCES[right.dtype]
        right = right.detach()
        y, self._at, self.residual = self._newton(function, right, right)
        if not (self.residual <= self.tolerance).all():
            y, self._at, self.residual = self._continued(function, right, y)
        solved = self.residual <= self.tolerance
        self.y = torch.where(solved[:, None], self._flat(y), torch.nan).view(self._shape)

    def apply_inverse(self, vectors: Tensor, transposed: bool) -> Tensor:
        """M⁻¹ v, or M⁻ᵀ v, in the shape of y. Not a number where it is not solved to the tolerance."""
        product = self._pulled if transposed else lambda u: self._pushed(self._at, u)
        left = flat = self._flat(vectors)
        found, bound = torch.zeros_like(flat), self.tolerance * torch.linalg.vector_norm(flat, dim=1)
        for _ in range(REFINEMENTS + 1):
            found = found + minimal_residual(product, left, self.tolerance, PRODUCTS)[0]
            left = flat - product(found)
            size = torch.linalg.vector_norm(left, dim=1)
            if not (size > bound).any():
                break
        return torch.where((size <= 10 * bound)[:, None], found, torch.nan).view(self._shape)

    def _continued(self, function: Function, right: Tensor, found: Tensor) -> tuple[Tensor, Linearized, Tensor]:
        """Where Newton's method found none from b on: from the solutions of y = b + t g(y), t growing to 1."""
        solved, y = self.residual <= self.tolerance, right
        for share in (number / CONTINUATION for number in range(1, CONTINUATION)):
            y, _, residual = self._newton(lambda y, share=share: share * function(y), right, y)  # type: ignore[misc]
            if not (~solved & (residual <= self.tolerance)).any():
                break  # the solutions end here, at a fold
        y = torch.where(solved[:, None], self._flat(found), self._flat(y)).view(self._shape)
        return self._newton(function, right, y)

    def _newton(self, function: Function, right: Tensor, y: Tensor) -> tuple[Tensor, Linearized, Tensor]:
        """From y on."""
        at, gap, residual = self._linearized(function, right, y)
        for _ in range(NEWTON_STEPS):
            open_ = residual > self.tolerance
            if not open_.any():
                break
            change, _ = minimal_residual(lambda u, at=at: self._pushed(at, u), gap, FORCING, PRODUCTS)  # type: ignore[misc]
            share = open_.to(right.dtype)
            for _ in range(HALVINGS + 1):
                tried = y + (share[:, None] * change).view(self._shape)
                new = self._linearized(function, right, tried)
                worse = open_ & ~(new[2] < residual)
                if not worse.any():
                    break
                share = torch.where(worse, share / 2, share)
            y, (at, gap, residual) = tried, new
        return y, at, residual

    def _linearized(self, function: Function, right: Tensor, y: Tensor) -> tuple[Linearized, Tensor, Tensor]:
        """g at y, b + g(y) − y, and that as a share of b and y."""
        at = Linearized(function, y)
        gap = self._flat(right + at.output - y)
        sizes = [torch.linalg.vector_norm(self._flat(x), dim=1) for x in (right, y, gap)]
        return at, gap, torch.where(sizes[2] == 0, 0.0, sizes[2] / (sizes[0] + sizes[1]))

    def _pushed(self, at: Linearized, vectors: Tensor) -> Tensor:
        return vectors - self._flat(at.push(vectors.view(self._shape)))

    def _pulled(self, vectors: Tensor) -> Tensor:
        return vectors - self._flat(self._at.pull(vectors.view(self._shape))[0])

    def _flat(self, vectors: Tensor) -> Tensor:
        return vectors.reshape(self._rows, -1)


class _Inverse(torch.autograd.Function):
    """M⁻¹ v or M⁻ᵀ v, linear in v."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, solution: Solution, transposed: bool) -> Tensor:
        ctx.solution, ctx.transposed = solution, transposed
        return solution.apply_inverse(vectors, transposed)

    @staticmethod
    def backward(ctx: Any, vectors: Tensor) -> Any:
        return _inverse(vectors, ctx.solution, not ctx.transposed), None, None


class _Solved(torch.autograd.Function):
    """The solution, whose differential is M⁻¹ times that of b + g at a fixed y."""

    @staticmethod
    def forward(ctx: Any, mapped: Tensor, solution: Solution) -> Tensor:
        ctx.solution = solution
        return solution.y.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _inverse(gradient, ctx.solution, True), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return ctx.solution.apply_inverse(tangent, False)  # type: ignore[no-any-return]


def _inverse(vectors: Tensor, solution: Solution, transposed: bool) -> Tensor:
    return _Inverse.apply(vectors, solution, transposed)  # type: ignore[no-any-return,no-untyped-call]


def bdf2(
    function: Function,
    x: Tensor,
    before: Tensor | None,
    step: float,
    leak: float,
    norms: Sequence[nn.BatchNorm2d] = (),
) -> tuple[Tensor, float]:
    """The step of size h from x [G, ...] along F(x) − D x, after that from `before` to x if there is one; its residual.

    The gradient is by x, `before` and the parameters of F; the residual is the largest relative one. `norms` are those that
    F has: where they take the statistics of the batch, its equation is one, and they see its solution alone.

    >>> y, residual = bdf2(lambda y: -9.0 * y, torch.ones(1, 2), None, step=1.0, leak=10.0)
    >>> [round(value, 6) for value in y[0].tolist()], residual < 1e-5
    ([0.05, 0.05], True)
    """
    history, beta = (x, 1.0) if before is None else ((4 * x - before) / 3, 2 / 3)
    held = 1 + step * beta * leak
    return _solve(lambda y: step * beta / held * function(y), history / held, norms)


def _solve(function: Function, right: Tensor, norms: Sequence[nn.BatchNorm2d]) -> tuple[Tensor, float]:
    """y = b + g(y) and the largest relative residual."""
    if torch.is_inference_mode_enabled():  # the products with J_g are derivatives, whoever calls
        with torch.inference_mode(False), torch.no_grad():
            return _solve(function, right.clone(), norms)
    with _unmoved(norms):
        solution = Solution(function, right, any(norm.training or norm.running_mean is None for norm in norms))
    y: Tensor = _Solved.apply(right + function(solution.y), solution)  # type: ignore[no-untyped-call]
    return y, float(solution.residual.max())


@contextmanager
def _unmoved(norms: Sequence[nn.BatchNorm2d]) -> Iterator[None]:
    """Within the block running statistics stay as they are."""
    before = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, before, strict=True):
            norm.track_running_stats = tracks
