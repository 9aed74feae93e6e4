"""nasjac show: all that is known of one architecture."""

from __future__ import annotations

import argparse
import json

from nasjac.cli.query_words import DATABASE, TRUST, parsed, take
from nasjac.cli.show_text import as_text
from nasjac.foundation.errors import InputError
from nasjac.store.database import check_known
from nasjac.store.known import known_of
from nasjac.store.store import Store

FORMATS = ("table", "json")


def main(argv: list[str]) -> int:
    """Print what is known of the architecture. InputError: no such key, an ambiguous one, or no such database."""
    asked = _options(argv)
    with Store(asked.database, read_only=True, trust=asked.trust) as store:
        known = known_of(store, store.resolve_key(asked.key))
    print(json.dumps(vars(known), indent=1, ensure_ascii=False) if asked.format == "json" else as_text(known))
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nasjac show",
        usage="nasjac show [options] KEY",
        description="Print all that is known of one architecture. The database is only read.",
    )
    parser.add_argument("words", nargs="*", metavar="KEY", help="its key, or the start of it if no other key starts so")
    parser.add_argument("--database", metavar="PATH", help=DATABASE)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="table is text for people, with a few layers of each profile; json has everything (default: table); also as a "
        "word, format=json",
    )
    parser.add_argument("--trust", action="store_true", help=TRUST)
    asked = parsed(parser, argv)
    words = take(asked, {"database": "nasjac.db", "format": "table"})
    check_known("format", asked.format, FORMATS)
    if len(words) != 1:
        parser.error(f"one KEY must be given, got {len(words)} words")
    [asked.key] = words
    if asked.key.startswith("study="):
        raise InputError(
            f"`key` must be the start of an architecture's key, got {asked.key!r}; for a study: nasjac query {asked.key}"
        )
    return asked
