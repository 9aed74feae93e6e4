"""The table of kinds."""

from __future__ import annotations

import sys

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.densenet.kind import KIND as DENSENET
from nasjac.kinds.kind import Kind
from nasjac.kinds.residual_mlp.kind import KIND as RESIDUAL_MLP
from nasjac.kinds.resnet.kind import KIND as RESNET
from nasjac.kinds.transformer.kind import DECODER, ENCODER

TABLE = {kind.spec.kind: kind for kind in (RESIDUAL_MLP, DECODER, ENCODER, RESNET, DENSENET)}


def kind_of(spec: Spec) -> Kind:
    """Return the kind of a Spec, which outside the package is the object that its `kind` names as package.module:KIND.

    Raises:
        InputError: The Spec's `kind` names no Kind, or its module is not imported.
    """
    if spec.kind in TABLE:
        return TABLE[spec.kind]
    module, _, name = spec.kind.partition(":")
    kind = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(kind, Kind):
        rule = "the place of its Kind as package.module:KIND, in a module that is imported"
        raise InputError(f"`{type(spec).__name__}.kind` must be {rule}, got {spec.kind!r}")
    return kind
