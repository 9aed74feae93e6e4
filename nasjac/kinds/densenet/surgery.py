"""Why DenseNets neither grow nor lose branches: each block changes what all later blocks take in."""

from __future__ import annotations

from nasjac.architecture.spec import Spec
from nasjac.kinds.surgery import Surgery


class DenseNetSurgery(Surgery):
    """The rules of DenseNets: they refuse to grow and to be pruned."""

    def growth_refusal(self, spec: Spec) -> str | None:
        rule = "residual blocks x + F(x), which keep the shape, to grow; a densenet's blocks change it"
        return f"`checkpoint` must be of {rule}"

    def pruning_refusal(self, spec: Spec) -> str | None:
        rule = "residual blocks x + F(x) to prune; what the branches of a densenet make are channels of all later blocks"
        return f"`checkpoint` must be of {rule}"


SURGERY = DenseNetSurgery()
