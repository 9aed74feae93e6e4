"""Neural architecture search for residual networks by their Jacobians at initialization.

The floor plan. A module imports only from floors below its own (`tests/house/test_floors.py` checks it).

     0  foundation
     1  mathematics
     2  architecture
     3  sampling reporting samplers dynamics
     4  kinds
     5  datasets store
     6  scores trainers
     7  tables models
     8  surgery
     9  searching
    10  testing
    11  cli

mathematics, architecture, sampling, kinds and scores need torch and numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasjac.architecture.block import Block
    from nasjac.architecture.spec import Spec
    from nasjac.foundation.errors import InputError
    from nasjac.kinds.build import build
    from nasjac.kinds.densenet.spec import DenseNet
    from nasjac.kinds.kind import Kind
    from nasjac.kinds.modules.network import ResidualNetwork
    from nasjac.kinds.residual_mlp.spec import ResidualMLP
    from nasjac.kinds.resnet.spec import ResNet
    from nasjac.kinds.transformer.spec import Decoder, VisionTransformer
    from nasjac.models.diagnose import diagnose
    from nasjac.models.prescribe import prescribe
    from nasjac.models.theory import theory
    from nasjac.scores import measure
    from nasjac.scores.base import Score
    from nasjac.scores.closed_forms import expected_norms
    from nasjac.searching.design import design
    from nasjac.searching.front import search
    from nasjac.searching.stored_studies import report, validate
    from nasjac.searching.train import train
    from nasjac.store import Store
    from nasjac.surgery.grow import grow
    from nasjac.surgery.prune import prune
    from nasjac.tables.correlate import correlate

__version__ = "0.2.0"

#: the public names and where they live; loaded when first used, so that a light command stays light
_PUBLIC = {
    "Block": "nasjac.architecture.block",
    "Decoder": "nasjac.kinds.transformer.spec",
    "DenseNet": "nasjac.kinds.densenet.spec",
    "InputError": "nasjac.foundation.errors",
    "Kind": "nasjac.kinds.kind",
    "ResNet": "nasjac.kinds.resnet.spec",
    "ResidualMLP": "nasjac.kinds.residual_mlp.spec",
    "ResidualNetwork": "nasjac.kinds.modules.network",
    "Score": "nasjac.scores.base",
    "Spec": "nasjac.architecture.spec",
    "Store": "nasjac.store",
    "VisionTransformer": "nasjac.kinds.transformer.spec",
    "build": "nasjac.kinds.build",
    "correlate": "nasjac.tables.correlate",
    "design": "nasjac.searching.design",
    "diagnose": "nasjac.models.diagnose",
    "expected_norms": "nasjac.scores.closed_forms",
    "grow": "nasjac.surgery.grow",
    "measure": "nasjac.scores",
    "prescribe": "nasjac.models.prescribe",
    "prune": "nasjac.surgery.prune",
    "report": "nasjac.searching.stored_studies",
    "search": "nasjac.searching.front",
    "theory": "nasjac.models.theory",
    "train": "nasjac.searching.train",
    "validate": "nasjac.searching.stored_studies",
}

__all__ = [
    "Block",
    "Decoder",
    "DenseNet",
    "InputError",
    "Kind",
    "ResNet",
    "ResidualMLP",
    "ResidualNetwork",
    "Score",
    "Spec",
    "Store",
    "VisionTransformer",
    "build",
    "correlate",
    "design",
    "diagnose",
    "expected_norms",
    "grow",
    "measure",
    "prescribe",
    "prune",
    "report",
    "search",
    "theory",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'nasjac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
