"""nasjac query: questions to the results database, answered as a table, CSV or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nasjac.errors import InputError
from nasjac.store.database import check_known, path_of
from nasjac.store.expression import check_expression
from nasjac.store.files import opened
from nasjac.store.schema import column_names, relations
from nasjac.store.select import Stream, select, stream
from nasjac.store.time_limit import TimeLimit
from nasjac.verbs.answers import put_text, write, written_out
from nasjac.verbs.last_resort import last_resort
from nasjac.verbs.query_columns import check_columns, check_sort
from nasjac.verbs.query_options import read_options

#: what a table shows of the leaderboard unless asked; csv and json give every column
SHOWN = (
    *("study", "number", "key", "merit", "trainability_cost", "trainability_cost_se", "nonlinear_effective_depth"),
    *("depth", "width", "placement", "activation", "skip_density", "params", "validation_accuracy"),
)
MOST_ROWS = 2**63 - 1  # the largest integer of SQLite


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
            studies = select(connection, "SELECT name FROM study ORDER BY rowid", {}, "study").rows
            check_known("study", asked.study, [study for (study,) in studies])
        limit = TimeLimit(asked.seconds)
        with last_resort(limit), stream(connection, sql, values, name, asked.where, limit) as found:
            yield found


def leaderboard_sql(
    columns: Sequence[str] | None = None,
    study: str | None = None,
    where: str | None = None,
    sort: str = "trainability_cost",
    descending: bool = False,
    limit: int | None = None,
) -> tuple[str, Mapping[str, Any]]:
    """Return a SELECT from the leaderboard and its parameters.

    NULL sorts last either way, ties by study and number.

    Args:
        columns: None is all of them.
        study: None is every study.
        where: One SQL expression over the columns.
        sort: A column.
        descending: Largest first.
        limit: Of rows; None is none.

    Raises:
        InputError: A column is not there, `where` is not one expression, or `limit` is not a number of rows.
    """
    columns = column_names()["leaderboard"] if columns is None else columns
    check_columns(columns)
    check_sort(sort)
    if limit is not None and not 1 <= limit <= MOST_ROWS:
        raise InputError(f"`limit` must be at least 1 and at most {MOST_ROWS}, got {limit}")
    conditions = ["study = :study"] if study is not None else []
    if where is not None:
        if not where.strip():
            raise InputError("`where` must be a condition, got an empty text")
        check_expression("where", where)
        # nothing binds less than OR, so that what follows it is one expression and no SELECT of its own; on its own line,
        # for it may end in a comment
        conditions.append(f"(false OR\n{where}\n)")
    order = f"{sort} {'DESC' if descending else 'ASC'} NULLS LAST, study, number"
    sql = f"SELECT {', '.join(columns)} FROM leaderboard WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order}"
    return f"{sql} LIMIT :limit", {"study": study, "limit": -1 if limit is None else limit}


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
