"""The check that a text is one SQL expression, so that it can be put into a SELECT without changing the rest of it."""

from __future__ import annotations

import re

from nasjac.foundation.errors import InputError

#: SQLite's tokens as far as they can hide or hold a parenthesis: strings, quoted names, comments; else single characters
_TOKEN = re.compile(
    r"""
    ' (?: [^'] | '' )*+ '  |  " (?: [^"] | "" )*+ "  |  ` (?: [^`] | `` )*+ `  |  \[ [^\]]*+ \]
    | -- [^\n]*+  |  /\* .*? \*/
    | (?P<wrong> /\* | ['"`\[;$@\#:?] )
    | (?P<open> \( )  |  (?P<close> \) )
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = "it has a parameter, and there is no value for one"
#: by the first character of what the pattern calls wrong
_REASONS = {
    "/": "it opens a comment that it does not close",
    "[": "it opens a bracket that it does not close",
    ";": "a semicolon ends a statement",
    **dict.fromkeys("'\"`", "it opens a quotation that it does not close"),
    **dict.fromkeys("$@#:?", _PARAMETER),
}


SHOWN = 500  # characters of a question that an error quotes


def quoted(text: str) -> str:
    """Return the text as an error quotes it: its start, if it is long."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r} ..."


def check_expression(name: str, text: str) -> None:
    """Refuse a text that could end, or go on beyond, the parentheses that it is put into.

    The tokens are those of SQLite's tokenizer. Text that passes has every parenthesis, quotation and comment closed within
    itself, so that in `(false OR\\n TEXT \\n)` SQLite can only read it as an expression, or refuse it.

    Args:
        name: The name of the option, for the error.
        text: The text.

    Raises:
        InputError: A parenthesis, quotation or comment is not closed or not opened in it, or it has a semicolon or a
            parameter.
    """
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if token["wrong"] or depth < 0:
            reason = _REASONS[token["wrong"][0]] if token["wrong"] else "it closes a parenthesis that it does not open"
            raise InputError(f"`{name}` must be one SQL expression, got {quoted(text)}: {reason}")
    if depth:
        raise InputError(
            f"`{name}` must be one SQL expression, got {text!r}: it opens a parenthesis that it does not close"
        )
