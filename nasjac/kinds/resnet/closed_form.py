"""Closed forms of ResNets: expected energies of their branches, and the facts that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts
from nasjac.architecture.size import Size
from nasjac.kinds.convolutional import closed_form
from nasjac.kinds.convolutional.closed_form import image_size, image_stack
from nasjac.kinds.convolutional.energies import Energies, residual_energies
from nasjac.kinds.resnet.spec import ResNet


def energies(spec: ResNet) -> Energies:
    """Return the energies of a Spec's branches."""
    return residual_energies(image_stack(spec))


def branch_energies(spec: ResNet) -> NDArray[np.float64]:
    """Return [L] the expected branch energy χ of each kept block."""
    return energies(spec).energy


def size(spec: ResNet) -> Size:
    """Return parameters and FLOPs of a Spec's blocks. A projection has no norm in the pre order."""
    return image_size(spec, lambda changes: spec.norm != "none" and not (changes and spec.order == "pre"))


def facts(specs: Sequence[ResNet]) -> list[Facts]:
    """Return the facts of canonical Specs, in order."""
    return closed_form.facts(specs, energies, size)
