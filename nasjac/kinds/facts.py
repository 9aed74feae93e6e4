"""Facts of Specs of any kinds, and the expected energies of their branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import items
from nasjac.foundation.errors import InputError
from nasjac.kinds.table import kind_of
from nasjac.mathematics.meanfield import Columns


def facts(specs: Sequence[Spec]) -> list[Facts]:
    """Return the facts of each Spec, in order; two forms of one network have the facts of their common canonical form."""
    specs = [spec.canonical for spec in items("specs", specs, Spec, "Spec")]
    groups = defaultdict[str, list[int]](list)
    for number, spec in enumerate(specs):
        groups[spec.kind].append(number)
    found: dict[int, Facts] = {}
    for numbers in groups.values():
        group = [specs[number] for number in numbers]
        found |= dict(zip(numbers, kind_of(group[0]).facts_of(group), strict=True))
    return [found[number] for number in range(len(specs))]


def branch_energies(spec: Spec) -> NDArray[np.float64]:
    """Return [L] the expected branch energy χ of each kept block of a Spec."""
    return kind_of(spec).energies_of(spec)


def columns(specs: Sequence[Spec]) -> Columns:
    """Return Specs of one kind as the columns of `nasjac.mathematics.meanfield`.

    Raises:
        InputError: The kind has no closed form.
    """
    closed_form = kind_of(specs[0]).closed_form
    if closed_form is None:
        raise InputError(f"`spec` must be of a kind with a closed form, got {specs[0].kind!r}")
    return closed_form.columns(specs)
