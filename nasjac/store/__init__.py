"""The results database: SQLite, one file, its rows as nouns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasjac.store.store import Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:
    """Load Store when it is first used: `nasjac query` asks SQLite without the types of rows."""
    if name != "Store":
        raise AttributeError(f"module 'nasjac.store' has no attribute {name!r}")
    from nasjac.store.store import Store

    return Store
