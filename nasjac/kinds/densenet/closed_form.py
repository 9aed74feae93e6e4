"""Closed forms of DenseNets: expected energies of their branches, and the facts that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts
from nasjac.architecture.size import Size
from nasjac.kinds.convolutional import closed_form
from nasjac.kinds.convolutional.closed_form import image_size, image_stack
from nasjac.kinds.convolutional.energies import Energies, dense_energies
from nasjac.kinds.densenet.spec import DenseNet


def energies(spec: DenseNet) -> Energies:
    """The energies of the branches of one Spec."""
    return dense_energies(image_stack(spec, spec.growth))


def branch_energies(spec: DenseNet) -> NDArray[np.float64]:
    """[L] expected branch energy χ of each kept block."""
    return energies(spec).energy


def size(spec: DenseNet) -> Size:
    """Return parameters and FLOPs of a Spec's blocks."""
    return image_size(spec, lambda _: spec.norm != "none")


def facts(specs: Sequence[DenseNet]) -> list[Facts]:
    """Return the facts of canonical Specs, in order."""
    return closed_form.facts(specs, energies, size)
