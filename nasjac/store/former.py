"""Architectures that earlier versions stored under keys which their Specs no longer have.

What is stored stays as it is: rows keep their keys, and are found by those and by the keys of today.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping

#: SQL: what the text of every Spec has whose key has changed since it was stored; the others need not be read
_MAY_DIFFER = """instr(spec, '"step"') OR instr(spec, '"block":"implicit"') OR instr(spec, '-0.0')
    OR (instr(spec, '"logit_scale"') AND json_extract(spec, '$.heads') = width)
    OR (instr(spec, '"order"') AND activation = 'linear')"""


def former_keys(connection: sqlite3.Connection) -> Mapping[str, list[str]]:
    """Key of today -> the other keys under which the same network is stored, oldest first.

    There are several where earlier versions told forms apart that are one now (`nasjac.spec.Spec.canonical`).
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    rows = connection.execute(f"SELECT key, spec FROM architecture WHERE {_MAY_DIFFER} ORDER BY rowid").fetchall()
    if not rows:
        return found
    from nasjac.spec import Spec  # late: it brings torch, which a question to most databases does not need

    for key, text in rows:
        today = Spec.from_json(text).key
        if today != key:
            found[today].append(key)
    return found
