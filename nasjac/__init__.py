"""Neural architecture search for residual networks by their Jacobians at initialization.

The floor plan. A module imports only from floors below its own (`tests/test_floors.py` checks it).

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
    10  cli

mathematics, architecture, sampling, kinds and scores need torch and numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasjac.architecture.spec import Block, Spec
    from nasjac.foundation.errors import InputError
    from nasjac.kinds.build import build
    from nasjac.models import diagnose
    from nasjac.scores import measure
    from nasjac.scores.closed_forms import expected_norms
    from nasjac.searching.front import report, search, train, validate
    from nasjac.store import Store
    from nasjac.tables.correlate import correlate

#: the public names and where they live; loaded when first used, so that a light command stays light
_PUBLIC = {
    "Block": "nasjac.architecture.spec",
    "InputError": "nasjac.foundation.errors",
    "Spec": "nasjac.architecture.spec",
    "build": "nasjac.kinds.build",
    "correlate": "nasjac.tables.correlate",
    "measure": "nasjac.scores",
    "diagnose": "nasjac.models",
    "Store": "nasjac.store",
    "expected_norms": "nasjac.scores.closed_forms",
    "search": "nasjac.searching.front",
    "validate": "nasjac.searching.front",
    "report": "nasjac.searching.front",
    "train": "nasjac.searching.front",
}

__all__ = ["Block", "InputError", "Spec", "Store", "build", "correlate", "diagnose", "expected_norms", "measure"]
__all__ += ["report", "search", "train", "validate"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'nasjac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
