"""The words of a command line, before anything reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from nasjac.foundation.errors import InputError

#: Python turns texts of at most 4,300 digits into numbers
MOST_DIGITS = 4_000
#: Hydra's grammar is read by functions that call each other
DEEPEST = 50


def check_texts(words: Sequence[str]) -> None:
    """Raise InputError unless every word is text that a file's name and a database can hold."""
    for word in words:
        if "\0" in word:
            raise InputError(f"a word of the command line must be without null characters, got {_start(word)}")
        try:
            word.encode()
        except UnicodeEncodeError as error:  # bytes that are no UTF-8
            raise InputError(f"a word of the command line must be valid UTF-8, got {_start(word)}") from error


def check_values(words: Sequence[str]) -> None:
    """Raise InputError if a word holds a number of too many digits, or lists in lists too deep to be read."""
    for word in words:
        runs = (len(list(run)) for digits, run in groupby(word, lambda letter: letter.isdigit() or letter == "_") if digits)
        if (most := max(runs, default=0)) > MOST_DIGITS:
            raise InputError(f"`{_name(word)}` must hold numbers of at most {MOST_DIGITS} digits, got one of {most}")
        if (depth := _depth(word)) > DEEPEST:
            raise InputError(f"`{_name(word)}` must be nested at most {DEEPEST} deep, got {depth}")


def _depth(word: str) -> int:
    """How deep brackets, braces and parentheses are nested; those in quotes count too."""
    depth = deepest = 0
    for letter in word:
        depth += (letter in "[{(") - (letter in "]})" and depth > 0)
        deepest = max(deepest, depth)
    return deepest


def _name(word: str) -> str:
    return word.partition("=")[0][:60]


def _start(word: str) -> str:
    return repr(word if len(word) <= 60 else f"{word[:60]}...")
