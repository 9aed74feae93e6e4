"""A system of ordinary differential equations y' = f(t, y), and its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[[float, Tensor], Tensor]


@dataclass(frozen=True)
class System:
    """y' = f(t, y) in N unknowns, float64.

    `function`  (t, y [N]) -> f [N]
    `jacobian`  (t, y [N]) -> ∂f/∂y [N, N]; `automatic` makes one
    """

    function: Function
    jacobian: Function

    def for_scipy(self) -> dict[str, Callable[[float, Any], Any]]:
        """Return the arguments `fun` and `jac` of `scipy.integrate.solve_ivp`, NumPy arrays in and out."""

        def bridged(function: Function) -> Callable[[float, Any], Any]:
            return lambda t, y: function(float(t), torch.as_tensor(y, dtype=torch.float64)).numpy()

        return {"fun": bridged(self.function), "jac": bridged(self.jacobian)}


def automatic(function: Function) -> System:
    """The system with its Jacobian by forward mode (`torch.func.jacfwd`), a millisecond or more a call.

    >>> automatic(lambda t, y: -(y**2)).jacobian(0.0, torch.tensor([3.0])).tolist()
    [[-6.0]]
    """
    return System(function, lambda t, y: torch.func.jacfwd(lambda state: function(t, state))(y))
