"""Forward mode through linear layers at the cost of one more product, not of two.

For y = W x + b torch computes dy = W dx + dW x + db also where W and b have no tangent: a whole product with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


def tangent(tensor: Tensor | None) -> Tensor | None:
    """Its tangent at the present level, if it has one."""
    return None if tensor is None else forward_ad.unpack_dual(tensor).tangent  # type: ignore[no-untyped-call]


class LinearTangents(TorchFunctionMode):
    """While active, linear layers whose weights have no tangent map the tangent of their input by the same function."""

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        rule = RULES.get(func)
        return func(*args, **(kwargs or {})) if rule is None else rule(func, *args, **(kwargs or {}))


def _layer(function: Function, input: Tensor, weight: Tensor, bias: Tensor | None = None, *more: Any, **named: Any) -> Any:
    moved = tangent(input)
    if moved is None or tangent(weight) is not None or tangent(bias) is not None:
        return function(input, weight, bias, *more, **named)
    fixed = forward_ad.unpack_dual(input).primal  # type: ignore[no-untyped-call]
    return _dual(function(fixed, weight, bias, *more, **named), function(moved, weight, None, *more, **named))


def _addmm(function: Function, input: Tensor, mat1: Tensor, mat2: Tensor, **named: Any) -> Any:
    moved = tangent(mat1)
    if moved is None or tangent(input) is not None or tangent(mat2) is not None or "out" in named:
        return function(input, mat1, mat2, **named)
    fixed = forward_ad.unpack_dual(mat1).primal  # type: ignore[no-untyped-call]
    return _dual(function(input, fixed, mat2, **named), named.get("alpha", 1) * torch.mm(moved, mat2))


def _dual(primal: Tensor, tangent: Tensor) -> Any:
    return forward_ad.make_dual(primal, tangent)  # type: ignore[no-untyped-call]


RULES: dict[Function, Function] = {
    F.linear: _layer,
    F.conv1d: _layer,
    F.conv2d: _layer,
    F.conv3d: _layer,
    torch.addmm: _addmm,
}
