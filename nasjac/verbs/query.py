"""nasjac query: questions to the results database, answered as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjac import tables
from nasjac.errors import InputError
from nasjac.store import Store
from nasjac.store.database import Table, check_known, path_of, select
from nasjac.store.files import opened
from nasjac.store.schema import column_names, relations

#: what a table shows of the leaderboard unless asked; csv and json give every column
SHOWN = (
    *("study", "number", "key", "merit", "trainability_cost", "trainability_cost_se", "nonlinear_effective_depth"),
    *("depth", "width", "placement", "activation", "skip_density", "params", "validation_accuracy"),
)

EPILOG = """examples:
  nasjac query --where "placement = 'pre' AND skip_density > 0.5" --limit 20
  nasjac query --study k --sort merit --descending --limit 10
  nasjac query --study k --sort nonlinear_effective_depth --descending --format csv > leaderboard.csv
  nasjac query "SELECT placement, count(*), min(trainability_cost) FROM leaderboard GROUP BY placement"
  nasjac query --table trained=groundtruth.csv.gz "SELECT kind, count(*), max(accuracy) FROM trained GROUP BY kind"
  nasjac query --schema
"""


def main(argv: list[str]) -> int:
    """Answer one question on standard output. ValueError: see `leaderboard_sql` and `nasjac.store.database`."""
    asked = _parser().parse_args(argv)
    if asked.schema:
        return _print_schema(asked.format)
    write(answer(asked), asked.format)
    return 0


def answer(asked: argparse.Namespace) -> Table:
    """What the database says to the options of `nasjac query`."""
    options = {name: getattr(asked, name) for name in ("study", "where", "sort", "descending", "limit", "columns")}
    options = {name: value for name, value in options.items() if value is not None and value is not False}
    if asked.sql is not None and options:
        raise InputError(f"`{next(iter(options))}` must be part of the SELECT if there is one, got both")
    if "columns" in options:
        options["columns"] = [name.strip() for name in asked.columns.split(",")]
    elif asked.format == "table":
        options["columns"] = SHOWN
    sql, values = (asked.sql, {}) if asked.sql is not None else leaderboard_sql(**options)
    if asked.table:
        with opened(_named(asked.table), path_of(asked.database)) as connection:
            return select(connection, sql, values, "sql" if asked.where is None else "where", asked.where)
    with Store(asked.database, read_only=True) as store:
        if asked.study is not None:
            store.study(asked.study)
        return store.select(sql, values, "sql" if asked.where is None else "where", asked.where)


def _named(words: Sequence[str]) -> dict[str, str]:
    """NAME=FILE, or a file whose name up to the first dot is the table's."""
    pairs = (word.split("=", 1) if "=" in word else (Path(word).name.split(".")[0], word) for word in words)
    return {name: path for name, path in pairs}


def leaderboard_sql(
    columns: Sequence[str] | None = None,
    study: str | None = None,
    where: str | None = None,
    sort: str = "trainability_cost",
    descending: bool = False,
    limit: int | None = None,
) -> tuple[str, Mapping[str, Any]]:
    """A SELECT from the leaderboard and its parameters.

    `columns` None is all of them; `where` is any SQL condition over them. NULL sorts last either way, ties by study and
    number. ValueError: a column that is not there; a limit below 1.
    """
    there = column_names()["leaderboard"]
    columns = there if columns is None else columns
    for column in columns:
        check_known("columns", column, there)
    check_known("sort", sort, there)
    if limit is not None and limit < 1:
        raise InputError(f"`limit` must be at least 1, got {limit}")
    conditions = ["study = :study"] if study is not None else []
    conditions += [f"(\n{where}\n)"] if where is not None else []  # on its own line: it may end in a comment
    order = f"{sort} {'DESC' if descending else 'ASC'} NULLS LAST, study, number"
    sql = f"SELECT {', '.join(columns)} FROM leaderboard WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order}"
    return f"{sql} LIMIT :limit", {"study": study, "limit": -1 if limit is None else limit}


def write(table: Table, form: str) -> None:
    """Print the table as table, csv or json."""
    if form == "table":
        tables.show(*table)
    else:
        sys.stdout.write(tables.as_csv(*table) if form == "csv" else tables.as_json(*table))


def _print_schema(form: str) -> int:
    if form != "table":
        rows = [(relation.name, *column) for relation in relations() for column in relation.columns]
        write(Table(("relation", "column", "type", "meaning"), rows), form)
        return 0
    for relation in relations():
        print(f"{relation.kind} {relation.name}: {relation.meaning}")
        width = max(len(column.name) for column in relation.columns)
        for column in relation.columns:
            print(f"    {column.name:{width}}  {column.type:8}{column.meaning}")
        print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nasjac query",
        description="Ask the results database; without SQL, the leaderboard. The database is only read.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", nargs="?", help='one SELECT, e.g. "SELECT * FROM architecture"')
    parser.add_argument("--database", default="nasjac.db", help="path of the results database (default: nasjac.db)")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument(
        "--table", action="append", metavar="[NAME=]FILE", help="a CSV file (.gz too) as a table too; may be given again"
    )
    parser.add_argument("--schema", action="store_true", help="print the tables, views and columns and what they mean")
    leaderboard = parser.add_argument_group("of the leaderboard")
    leaderboard.add_argument("--study", help="one study only")
    leaderboard.add_argument("--where", help="an SQL condition over its columns")
    leaderboard.add_argument("--sort", metavar="COLUMN", help="column to sort by (default: trainability_cost)")
    leaderboard.add_argument("--descending", action="store_true", help="largest first")
    leaderboard.add_argument("--limit", type=int, metavar="N", help="at most N rows (default: all)")
    leaderboard.add_argument("--columns", metavar="A,B,...", help="which columns (default: a few, in csv and json all)")
    return parser
