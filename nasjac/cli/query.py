"""nasjac query: questions to the results database, answered as a table, CSV or JSON."""

from __future__ import annotations

from nasjac.cli.answers import put_text, write, written_out
from nasjac.cli.last_resort import last_resort
from nasjac.cli.query_options import read_options
from nasjac.store.question import answered
from nasjac.store.schema import relations
from nasjac.store.time_limit import TimeLimit


def main(argv: list[str]) -> int:
    """Answer one question on standard output, row by row.

    Raises:
        InputError: See `read_options` and `nasjac.store.question.answered`.
        KeyboardInterrupt: At Ctrl-C.
        BrokenPipeError: Whoever read the output has seen enough.
    """
    asked = read_options(argv)
    limit = TimeLimit(asked.seconds)
    with written_out():
        if asked.schema:
            _print_schema(asked.format)
            return 0
        with last_resort(limit), answered(asked.question, asked.database, asked.files, limit, asked.trust) as found:
            write(found.columns, found.rows, asked.format)
    return 0


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
