"""Neural architecture search for residual networks by their Jacobians at initialization.

The floor plan. A module imports only from floors below its own (`tests/test_floors.py` checks it).

    0  errors
    1  activations  placement  wiring  pruning  scales  images  meanfield  paths  jacobian  lanczos  cost  ranking  front
    1  reading  origin  places  workers  file_system  fingerprint
    2  spec  measurement  estimators  image_energies  decorrelation  strata  csv_text  atomic_files
    3  networks  facts  ensemble  foreign  dynamics
    4  theory  checkpoint_info  weights  spaces  samplers  datasets  objectives  store  branches
    5  scores  trainers  checkpoint  growth  compression  study  prescription  reporting  console  tables  interrupts
    6  verbs
    7  cli

Floors 0 to 3, `theory` and `scores` need torch and numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasjac.errors import InputError
    from nasjac.foreign import diagnose
    from nasjac.networks import build
    from nasjac.scores import measure
    from nasjac.spec import Block, Spec
    from nasjac.store import Store
    from nasjac.theory import expected_norms

#: the public names and where they live; loaded when first used, so that a light command stays light
_PUBLIC = {
    "Block": "nasjac.spec",
    "InputError": "nasjac.errors",
    "Spec": "nasjac.spec",
    "build": "nasjac.networks",
    "measure": "nasjac.scores",
    "diagnose": "nasjac.foreign",
    "Store": "nasjac.store",
    "expected_norms": "nasjac.theory",
}

__all__ = ["Block", "InputError", "Spec", "Store", "build", "diagnose", "expected_norms", "measure"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'nasjac' has no attribute {name!r}")
