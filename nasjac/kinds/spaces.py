"""The search spaces by name, as the option `space` names them: those that the kinds declare."""

from __future__ import annotations

from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.table import TABLE, kind_of

SPACES: dict[str, type[Space]] = {name: kind.space for name, kind in TABLE.items() if kind.space is not None}


def default_space(spec: Spec) -> Space:
    """Return the space of a Spec's kind with its default options, for inputs such as the Spec takes.

    Raises:
        InputError: The kind declares no space.
    """
    space = kind_of(spec).space
    if space is None:
        raise InputError(f"`space` must be said for architectures of kind {spec.kind}, which has no default space")
    return space.like(spec)
