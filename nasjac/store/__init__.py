"""The results database: SQLite, one file, its rows as nouns."""

from nasjac.store.store import Store

__all__ = ["Store"]
