"""Fields of other kinds, which a kind's Specs never had a use for."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from nasjac import Spec
from nasjac.foundation.errors import InputError


def check_inert(spec: Spec, **others: Any) -> None:
    """The Spec has no such fields and is made with none; JSON of before, which may have them, is the same Spec."""
    own = {entry.name: getattr(spec, entry.name) for entry in fields(spec)}
    for name, value in others.items():
        assert name not in own
        with pytest.raises(InputError, match=f"`{name}` is not a field of {type(spec).__name__}; its fields are width, "):
            Spec.of(kind=spec.kind, **own, **{name: value})
    assert Spec.from_json(json.dumps({**spec.content, **others})) == spec
