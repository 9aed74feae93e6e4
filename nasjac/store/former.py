"""Specs as the database holds them, and architectures that earlier versions stored under keys which they no longer have.

What is stored stays as it is: rows keep their keys, and are found by those and by the keys of today.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nasjac.foundation.errors import InputError
from nasjac.store.columns import to_json
from nasjac.store.rows import ArchitectureRow

if TYPE_CHECKING:
    from nasjac.architecture.spec import Spec

#: SQL: what the text of every Spec has whose key has changed since it was stored; the others need not be read
MAY_DIFFER = """instr(spec, '"step"') OR instr(spec, '"block":"implicit"') OR instr(spec, '-0.0')
    OR (instr(spec, '"logit_scale"') AND json_extract(spec, '$.heads') = width)
    OR (instr(spec, '"order"') AND activation = 'linear')"""


def former_keys(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Mapping[str, list[str]]:
    """Return, by key of today, the other keys under which the same network is stored, oldest first.

    There are several where earlier versions told forms apart that are one now (`nasjac.architecture.spec.Spec.canonical`).

    Args:
        rows: Key and Spec of the architectures that `MAY_DIFFER` finds, oldest first.

    Raises:
        InputError: What is stored is no Spec; it names the key.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, content in rows:
        today = _parsed(key, content).key
        if today != key:
            found[today].append(key)
    return found


def stored_spec(row: ArchitectureRow) -> Spec:
    """Return the Spec of a stored architecture. InputError names a key under which there is none, or another one."""
    spec = _parsed(row.key, row.spec)
    # a key is the digest of the text of its time: that of today, or of what an earlier version took for canonical
    if row.key not in (spec.key, hashlib.sha256(to_json(row.spec, sort_keys=True).encode()).hexdigest()[:12]):
        raise InputError(f"`database` must hold each Spec under its own key, got one of key {spec.key} under {row.key!r}")
    return spec


def _parsed(key: str, content: Mapping[str, Any]) -> Spec:
    from nasjac.architecture.spec import Spec  # late: it brings torch, which a question to most databases does not need

    try:
        return Spec.from_json(to_json(content))
    except InputError as error:
        raise InputError(
            f"`database` must hold a Spec under every key, got another thing under {key!r}: {error}"
        ) from error
