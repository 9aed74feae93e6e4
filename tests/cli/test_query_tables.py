"""CSV files as tables of nasjac query: read as what they are, or refused in one sentence, and never fetched."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasjac.cli.query import main
from nasjac.foundation.errors import InputError
from nasjac.store.cells import Kind, kind_of, kind_of_column, value
from nasjac.store.schema import column_names

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Writes t.csv and gives the rows of a question to it."""
    monkeypatch.chdir(tmp_path)

    def run(content: bytes | str, sql: str = "SELECT * FROM t") -> list[dict[str, Any]]:
        Path("t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        main(["--table", "t.csv", sql, "--format", "json"])
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    return run


def test_columns_of_numbers_are_numbers(ask: Ask) -> None:
    content = (
        '\ufeffwhole, number ,percent,truth,text,mixed,huge,none,quoted "one"\r\n'
        " 1 ,.5,93.1%,True,NA,1,99999999999999999999,,1\r\n"
        "\r\n"
        '-2,1e3,0.5,false,"a, b",x,-1,NA,2\r\n'
        ",nan,NA,,,TRUE,,null,3\r\n"
    )
    assert ask(content) == [
        {"whole": 1, "number": 0.5, "percent": 0.931, "truth": 1, "text": "NA", "mixed": "1", "huge": 1e20, "none": None,
         'quoted "one"': 1},
        {"whole": -2, "number": 1000.0, "percent": 0.5, "truth": 0, "text": "a, b", "mixed": "x", "huge": -1.0,
         "none": None, 'quoted "one"': 2},
        {"whole": None, "number": None, "percent": None, "truth": None, "text": None, "mixed": "TRUE", "huge": None,
         "none": None, 'quoted "one"': 3},
    ]  # fmt: skip
    kinds = "SELECT typeof(whole) w, typeof(number) n, typeof(percent) p, typeof(truth) b, typeof(text) t FROM t LIMIT 1"
    assert ask(content, kinds) == [{"w": "integer", "n": "real", "p": "real", "b": "integer", "t": "text"}]


@pytest.mark.parametrize(
    ("cell", "kind", "meaning"),
    [
        ("9223372036854775807", Kind.WHOLE, 2**63 - 1),
        ("-9223372036854775808", Kind.WHOLE, -(2**63)),
        ("9223372036854775808", Kind.NUMBER, 2.0**63),
        ("9" * 5000, Kind.NUMBER, float("inf")),
        ("+7", Kind.WHOLE, 7),
        ("1_000", Kind.TEXT, "1_000"),
        ("٣", Kind.TEXT, "٣"),
        ("0x10", Kind.TEXT, "0x10"),
        ("-inf", Kind.NUMBER, float("-inf")),
        ("12.5 %", Kind.PERCENTAGE, 0.125),
        ("%", Kind.TEXT, "%"),
        ("1.", Kind.NUMBER, 1.0),
        (".", Kind.TEXT, "."),
        ("#N/A", Kind.NOTHING, None),
    ],
)
def test_a_cell(cell: str, kind: Kind, meaning: object) -> None:
    assert kind_of(cell) == kind and value(cell, kind) == meaning


def test_a_column_mixes_numbers_alone() -> None:
    assert kind_of_column([Kind.WHOLE, Kind.NUMBER, Kind.NOTHING]) == Kind.NUMBER
    assert kind_of_column([Kind.TRUTH, Kind.NOTHING]) == Kind.TRUTH
    assert kind_of_column([Kind.TRUTH, Kind.WHOLE]) == Kind.TEXT
    assert kind_of_column([Kind.PERCENTAGE, Kind.TEXT]) == Kind.TEXT
    assert kind_of_column([]) == Kind.NOTHING


def test_a_column_without_a_name_and_a_table_without_rows(ask: Ask) -> None:
    assert ask(",a\n0,1\n") == [{"Unnamed: 0": 0, "a": 1}]
    assert ask("a,b\n") == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a;b\n1;2\n", "`table` must be separated by commas, got semicolons in t.csv"),
        ("a,b\n1,2\n".encode("utf-16"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16"),
        (b"", "`table` must have a header"),
        (b"a,b\n1,\x002\n", "a null character"),
        (b'a,b\n1,"2\n', "a quotation mark that nothing closes"),
        (b"a,A\n1,2\n", "`table` must have different names of columns, got a and A in t.csv"),
        (b"a,b,a\n1,2,3\n", "`table` must have different names of columns, got a and a in t.csv"),
        (
            b"a,b\n1,2\n\n1\n3,4\n1,2,3\n",
            "`table` must have 2 cells in every row, as many as its header, got 2 rows that have not in t.csv, the first "
            "of them row 4 with 1",
        ),
        (",".join(f"c{number}" for number in range(2001)).encode(), "`table` must have at most 2000 columns, got 2001"),
    ],
)
def test_what_is_no_table(ask: Ask, content: bytes, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        ask(content)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "file",
    [
        *("http://127.0.0.1:PORT/x.csv", "HTTP://127.0.0.1:PORT/x.csv?a=b", "https://127.0.0.1:PORT/x", "ftp://127.0.0.1:PORT/x"),
        *("s3://b/x.csv", "gs://b/x.csv", "file:///etc/passwd", "file:t.csv", "memory://x", "data:text/csv,a"),
        *("simplecache::http://127.0.0.1:PORT/x.csv", "github://a:b@c/x.csv", "c3+ssh://h/x", "zip://x.csv::t.zip"),
    ],
)  # fmt: skip
def test_nothing_is_fetched(ask: Ask, file: str) -> None:
    Path("t.csv").write_text("a\n1\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        word = file.replace("PORT", str(server.getsockname()[1]))
        with pytest.raises(InputError, match=r"^`table` must be a file of this machine, got .*nothing is fetched"):
            main(["--table", f"x={word}", "SELECT * FROM x"])
        with pytest.raises(InputError, match=r"^`table` must "):
            main(["--table", word, "SELECT 1"])
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_name_with_a_colon_is_a_file_by_its_folder(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run:1.csv").write_text("a\n1\n")
    assert main(["--table", "x=./run:1.csv", "SELECT * FROM x"]) == 0
    assert capsys.readouterr().out == "a\n1\n"


def test_pipes_devices_and_folders_are_refused(ask: Ask) -> None:
    os.mkfifo("pipe")
    for file in ("pipe", "/dev/zero", ".", "absent.csv"):
        with pytest.raises(InputError, match=r"^`table` must be a file"):
            main(["--table", f"x={file}", "SELECT * FROM x"])


def test_no_table_hides_another(ask: Ask) -> None:
    Path("t.csv").write_text("a\n1\n")
    names = [*column_names(), "Leaderboard", "TRIAL", "main", "Temp", "results", "sqlite_master", "SQLite_x"]
    assert "leaderboard" in names
    for name in names:  # whether a database is there or not: here is none
        with pytest.raises(InputError, match=r"^`table` must have a name that no table or view of nasjac or SQLite has"):
            main(["--table", f"{name}=t.csv", "SELECT 1"])
    with pytest.raises(InputError, match=r"^`table` must give every table a name of its own, got T twice"):
        main(["--table", "t=t.csv", "--table", "T=t.csv", "SELECT 1"])


def test_an_error_lists_what_is_there(ask: Ask) -> None:
    with pytest.raises(InputError, match=r"`sql` must name a table that is there \(t\), got 'leaderboard'"):
        ask("depth\n1\n", "SELECT * FROM leaderboard")
    with pytest.raises(
        InputError, match=r"`sql` must name a column that is there \(depth\), got 'dept'; did you mean depth\?"
    ):
        ask("depth\n1\n", "SELECT dept FROM t")


@pytest.mark.parametrize("words", [[], ["--trust"]])
def test_trust_reaches_the_database(ask: Ask, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def connect(path: Path, read_only: bool, trust: bool) -> sqlite3.Connection:
        told.extend([path.name, read_only, trust])
        return sqlite3.connect(":memory:")

    monkeypatch.setattr("nasjac.store.files.connect", connect)
    assert main(["SELECT 1", *words]) == 0
    assert told == ["nasjac.db", True, bool(words)]
