"""Words of the form name=value, as the other verbs have them, for the verbs that take --name value."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nasjac.foundation.errors import InputError


def parser_of(
    verb: str, word: str, word_help: str, description: str, formats: Sequence[str], format_help: str, **more: Any
) -> argparse.ArgumentParser:
    """Return a parser of words and of the options that query and show share: --database, --format and --trust."""
    usage = f"nasjac {verb} [options] {word}"
    parser = argparse.ArgumentParser(prog=f"nasjac {verb}", usage=usage, description=description, **more)
    parser.add_argument("words", nargs="*", metavar=word.strip("[]"), help=word_help)
    database = "the results database (default: nasjac.db); also as a word, database=PATH"
    parser.add_argument("--database", metavar="PATH", help=database)
    parser.add_argument("--format", choices=formats, help=f"{format_help}; also as a word, format=json")
    trust = "read a database whose tables, views and triggers are not as nasjac makes them; only if you know who made it"
    parser.add_argument("--trust", action="store_true", help=trust)
    return parser


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse the options. SystemExit, with code 2, for what argparse refuses, and for --option=-- too."""
    for word in argv:
        if word.startswith("--") and word.endswith("=--"):  # argparse takes the value for the end of the options
            parser.error(f"argument {word[:-3]}: expected one argument")
    return parser.parse_intermixed_args(list(argv))


def take(asked: argparse.Namespace, defaults: Mapping[str, str | None]) -> list[str]:
    """Set options from `asked.words`, and to their defaults if they are given neither way.

    Args:
        asked: The options, None where they are not given, and the words.
        defaults: By the name of each option that may be a word.

    Returns:
        The other words.

    Raises:
        InputError: An option is given twice.
    """
    others = []
    for word in asked.words:
        name, equals, value = word.partition("=")
        if not equals or name not in defaults:
            others.append(word)
            continue
        if getattr(asked, name) is not None:
            raise InputError(f"`{name}` must be given once, got {getattr(asked, name)} and {value}")
        setattr(asked, name, value)
    for name, default in defaults.items():
        if getattr(asked, name) is None:
            setattr(asked, name, default)
    return others


def instead(word: str, options: Sequence[str]) -> str:
    """Return what to write in place of a single word that is no SELECT, as the end of a sentence, or nothing."""
    name, equals, value = word.partition("=")
    if equals and name in options:
        return f"; write --{name} {value}"
    if re.fullmatch(r"(?=.*\d)[0-9a-f]{3,}", word):
        return f"; `nasjac show {word}` tells about an architecture"
    return f"; for one study: --study {word}" if re.fullmatch(r"[\w.-]+", word) else ""
