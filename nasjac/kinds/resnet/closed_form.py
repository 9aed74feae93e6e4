"""Closed forms of ResNets: expected energies of their branches, and the facts that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts
from nasjac.kinds.convolutional import closed_form
from nasjac.kinds.convolutional.closed_form import image_stack
from nasjac.kinds.convolutional.energies import Energies, residual_energies
from nasjac.kinds.resnet.spec import ResNet


def energies(spec: ResNet) -> Energies:
    """The energies of the branches of one Spec."""
    return residual_energies(image_stack(spec))


def branch_energies(spec: ResNet) -> NDArray[np.float64]:
    """[L] expected branch energy χ of each kept block."""
    return energies(spec).energy


def facts(specs: Sequence[ResNet]) -> list[Facts]:
    """Facts of canonical Specs, in order. A projection has no norm in the pre order."""
    return closed_form.facts(
        specs, energies, lambda spec, changes: spec.norm != "none" and not (changes and spec.order == "pre")
    )
