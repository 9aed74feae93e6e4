"""The options of nasjac query."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasjac.cli.query_words import instead, parsed, parser_of, take
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import MEASURED
from nasjac.store.database import check_known
from nasjac.store.leaderboard import Leaderboard

FORMATS = ("table", "csv", "json")
SECONDS = 60
_OF_THE_LEADERBOARD = ("study", "where", "sort", "descending", "limit", "columns")
#: what a table shows of the leaderboard unless asked; csv and json give every column
SHOWN = (
    *("study", "number", "key", "merit", "trainability_cost", "trainability_cost_se", "nonlinear_effective_depth"),
    *("depth", "width", "placement", "activation", "skip_density", "params", "validation_accuracy"),
)

EPILOG = f"""examples:
  nasjac query --where "placement = 'pre' AND skip_density > 0.5" --limit 20
  nasjac query --study k --sort merit --descending --limit 10
  nasjac query --study k --sort nonlinear_effective_depth --descending --format csv > leaderboard.csv
  nasjac query "SELECT placement, count(*), min(trainability_cost) FROM leaderboard GROUP BY placement"
  nasjac query --table trained=groundtruth.csv.gz "SELECT kind, count(*), max(accuracy) FROM trained GROUP BY kind"
  nasjac query --schema

Rows are written as they are found, in every format; the widths of a table are those of its first {MEASURED:,} rows. If the
time is up, or Ctrl-C is pressed, what was written stays incomplete, a sentence says so on standard error, and the exit code
is 2 or 130. In csv, text that begins like a formula (=, +, -, @, tab, line break) has an apostrophe before it, so that no
spreadsheet program runs it; numbers stay as they are. A blob is written as hexadecimal digits.

A CSV file must be UTF-8 and separated by commas. In a column of numbers, empty cells, NA and the like are NULL, 93.1% is
read as 0.931, and a whole number beyond 64 bits is a floating-point number; any other column is text, also one in which
numbers and text are mixed. Nothing is fetched from URLs.
"""


@dataclass(frozen=True)
class Asked:
    """The options: `files` are those of --table by the names of their tables, `seconds` those of --timeout."""

    question: str | Leaderboard
    database: str
    format: str
    files: Mapping[str, str]
    seconds: float | None
    schema: bool
    trust: bool


def read_options(argv: Sequence[str]) -> Asked:
    """Return the options.

    Raises:
        InputError: Two databases, two tables of one name, a time that is none, or both a SELECT and other questions.
        SystemExit: With code 2, for what argparse refuses.
    """
    parser = _parser()
    asked = parsed(parser, argv)
    words = take(asked, {"database": "nasjac.db", "format": "table", "study": None})
    check_known("format", asked.format, FORMATS)
    if len(words) > 1:
        parser.error(f"the question must be one SELECT in quotation marks, got {len(words)} words")
    if words and re.fullmatch(r"\S+", words[0]) and (hint := instead(words[0], list(vars(asked)))):
        raise InputError(f"`sql` must be one SELECT in quotation marks, got {words[0]!r}{hint}")
    files, seconds = _files(asked.table or ()), _seconds(asked.timeout)
    question = Leaderboard() if asked.schema else _question(asked, words[0] if words else None)
    return Asked(question, asked.database, asked.format, files, seconds, asked.schema, asked.trust)


def _question(asked: argparse.Namespace, sql: str | None) -> str | Leaderboard:
    options = {name: getattr(asked, name) for name in _OF_THE_LEADERBOARD}
    options = {name: value for name, value in options.items() if value is not None and value is not False}
    if sql is not None and options:
        given = ", ".join(f"--{name}" for name in options)
        raise InputError(
            "the question must be either a SELECT or --study, --where, --sort, --descending, --limit and --columns, got a "
            f"SELECT and {given}: what they ask can be written in the SELECT"
        )
    if sql is not None:
        return sql
    if "columns" in options:
        options["columns"] = [name.strip() for name in asked.columns.split(",")]
    elif asked.format == "table":
        options["columns"] = SHOWN
    return Leaderboard(**options)


def _files(words: Sequence[str]) -> dict[str, str]:
    """NAME=FILE, or a file whose name up to the first dot is the table's."""
    files: dict[str, str] = {}
    for word in words:
        name, file = word.split("=", 1) if "=" in word else (Path(word).name.split(".")[0], word)
        if name.lower() in (other.lower() for other in files):
            raise InputError(f"`table` must give every table a name of its own, got {name} twice; NAME=FILE gives another")
        files[name] = file
    return files


def _seconds(text: str) -> float | None:
    if text == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"`timeout` must be a number of seconds above 0, or none for no limit, got {text!r}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "query",
        "[SELECT]",
        'one SELECT, e.g. "SELECT * FROM architecture"',
        "Ask the results database; without SQL, the leaderboard. The database is only read.",
        FORMATS,
        "default: table",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--table",
        action="append",
        metavar="[NAME=]FILE",
        help="a CSV file (.gz too) as a table too, whose name is the file's up to its first dot; if that has other "
        "characters than letters, digits and _, it needs NAME=FILE; may be given again",
    )
    parser.add_argument(
        "--timeout",
        default=str(SECONDS),
        metavar="SECONDS",
        help="how long SQLite may work on the answer, in seconds above 0, or none for no limit (default: "
        f"{SECONDS}); time in which a pager waits does not count",
    )
    parser.add_argument("--schema", action="store_true", help="print the tables, views and columns and what they mean")
    _add_leaderboard(parser.add_argument_group("of the leaderboard"))
    return parser


def _add_leaderboard(leaderboard: argparse._ArgumentGroup) -> None:
    leaderboard.add_argument("--study", help="one study only; also as a word, study=NAME")
    leaderboard.add_argument("--where", help="an SQL condition over the leaderboard's columns; text in single quotes")
    leaderboard.add_argument("--sort", metavar="COLUMN", help="column to sort by (default: trainability_cost)")
    leaderboard.add_argument("--descending", action="store_true", help="largest first")
    leaderboard.add_argument("--limit", type=int, metavar="N", help="at most N rows (default: all)")
    leaderboard.add_argument("--columns", metavar="A,B,...", help="which columns (default: a few, in csv and json all)")
