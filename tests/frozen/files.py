"""The frozen files, written and read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SPECS, TERMS, STUDY, NEXT = (
    FOLDER / name for name in ("specs.json.gz", "terms.json.gz", "study.db.gz", "next_trials.json.gz")
)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSON object a line; the same rows are the same bytes."""
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects that `write_lines` wrote."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
