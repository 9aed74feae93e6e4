"""nasjac query: questions to the results database, answered as a table, CSV or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from nasjac.cli.answers import put_text, write, written_out
from nasjac.cli.last_resort import last_resort
from nasjac.cli.query_options import read_options
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json
from nasjac.store.checkpoint_studies import check_of_initialization
from nasjac.store.database import check_known, path_of
from nasjac.store.files import opened
from nasjac.store.leaderboard import leaderboard_sql
from nasjac.store.schema import relations
from nasjac.store.select import Stream, select, stream
from nasjac.store.time_limit import TimeLimit

#: what a table shows of the leaderboard unless asked; csv and json give every column
SHOWN = (
    *("study", "number", "key", "merit", "trainability_cost", "trainability_cost_se", "nonlinear_effective_depth"),
    *("depth", "width", "placement", "activation", "skip_density", "params", "validation_accuracy"),
)


def main(argv: list[str]) -> int:
    """Answer one question on standard output, row by row.

    Raises:
        InputError: See `read_options`, `leaderboard_sql`, `nasjac.store.files.opened` and `nasjac.store.select.stream`.
        KeyboardInterrupt: At Ctrl-C.
        BrokenPipeError: Whoever read the output has seen enough.
    """
    asked = read_options(argv)
    with written_out():
        if asked.schema:
            _print_schema(asked.format)
        else:
            with answer(asked) as found:
                write(found.columns, found.rows, asked.format)
    return 0


@contextmanager
def answer(asked: argparse.Namespace) -> Iterator[Stream]:
    """Give what the database says to the options of `nasjac query`."""
    options = {name: getattr(asked, name) for name in ("study", "where", "sort", "descending", "limit", "columns")}
    options = {name: value for name, value in options.items() if value is not None and value is not False}
    if asked.sql is not None and options:
        given = ", ".join(f"--{name}" for name in options)
        raise InputError(
            "the question must be either a SELECT or --study, --where, --sort, --descending, --limit and --columns, got a "
            f"SELECT and {given}: what they ask can be written in the SELECT"
        )
    if "columns" in options:
        options["columns"] = [name.strip() for name in asked.columns.split(",")]
    elif asked.format == "table":
        options["columns"] = SHOWN
    sql, values = (asked.sql, {}) if asked.sql is not None else leaderboard_sql(**options)
    name = "sql" if asked.where is None else "where"
    with opened(asked.files, path_of(asked.database), trust=asked.trust) as connection:
        if asked.study is not None:
            studies = dict(select(connection, "SELECT name, identity FROM study ORDER BY rowid", {}, "study").rows)
            check_known("study", asked.study, studies)
            check_of_initialization(asked.study, parse_json(str(studies[asked.study]), f"identity of {asked.study!r}"))
        limit = TimeLimit(asked.seconds)
        with last_resort(limit), stream(connection, sql, values, name, asked.where, limit) as found:
            yield found


def _print_schema(form: str) -> None:
    if form != "table":
        rows = [(relation.name, *column) for relation in relations() for column in relation.columns]
        write(("relation", "column", "type", "meaning"), rows, form)
        return
    for relation in relations():
        put_text(f"{relation.kind} {relation.name}: {relation.meaning}\n")
        width = max(len(column.name) for column in relation.columns)
        for column in relation.columns:
            put_text(f"    {column.name:{width}}  {column.type:8}{column.meaning}\n")
        put_text("\n")
