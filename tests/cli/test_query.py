"""nasjac query: the same rows in three formats, and one sentence for a wrong question."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nasjac.cli import answers
from nasjac.cli.query import main
from nasjac.cli.query_options import SHOWN
from nasjac.foundation import text_tables as tables
from nasjac.store.schema import column_names, relations
from tests.store.rows import filled, key_of

Ask = Callable[..., str]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `nasjac query` beside a filled nasjac.db and gives what it prints."""
    monkeypatch.chdir(tmp_path)
    filled(Path("nasjac.db")).close()

    def run(*argv: str) -> str:
        assert main(list(argv)) == 0
        return capsys.readouterr().out

    return run


def test_the_three_formats_say_the_same(ask: Ask) -> None:
    question = ("--columns", "key,trainability_cost,placement,validation_accuracy", "--limit", "3")
    expected = [(key_of(number), number + 0.125, "pre" if number % 2 else "none", None) for number in range(3)]
    names = ["key", "trainability_cost", "placement", "validation_accuracy"]
    assert json.loads(ask(*question, "--format", "json")) == [dict(zip(names, row, strict=True)) for row in expected]
    header, *rows = csv.reader(io.StringIO(ask(*question, "--format", "csv"), newline=""))
    assert header == names and rows == [["" if cell is None else str(cell) for cell in row] for row in expected]
    header, *rows = (line.split() for line in ask(*question).splitlines())
    assert header == names and rows == [["-" if cell is None else str(cell) for cell in row] for row in expected]


def test_the_default_is_the_leaderboard(ask: Ask) -> None:
    assert [row["number"] for row in json.loads(ask("--format", "json"))] == list(range(8))
    assert tuple(json.loads(ask("--format", "json"))[0]) == column_names()["leaderboard"]
    assert tuple(ask().splitlines()[0].split()) == SHOWN


@pytest.mark.parametrize(
    ("argv", "numbers"),
    [
        (["--where", "placement='pre' and skip_density > 0.5"], [5, 7]),
        (["--where", "placement='pre' -- odd ones"], [1, 3, 5, 7]),
        (["--where", "number = 1 OR number = 2", "--study", "k"], [1, 2]),
        (["--sort", "params", "--descending", "--limit", "2"], [7, 6]),
        (["--descending", "--limit", "1"], [7]),
        (["--sort", "validation_accuracy", "--limit", "2"], [0, 1]),
        (["--limit", "3"], [0, 1, 2]),
    ],
)
def test_questions_to_the_leaderboard(ask: Ask, argv: list[str], numbers: list[int]) -> None:
    assert [row["number"] for row in json.loads(ask(*argv, "--columns", " number ", "--format", "json"))] == numbers


def test_words_of_the_other_verbs_are_taken(ask: Ask) -> None:
    assert ask("study=k", "format=csv", "database=nasjac.db") == ask("--study", "k", "--format", "csv")
    assert ask("--where", "study='k'") == ask("--where", "study = 'k'")


def test_null_is_last_in_both_directions(ask: Ask) -> None:
    from nasjac.store import Store

    with Store("nasjac.db") as store:
        store._connection.execute("UPDATE measurement SET log_rank = NULL WHERE architecture_key = ?", (key_of(3),))
    for direction in ([], ["--descending"]):
        rows = json.loads(ask("--sort", "log_rank", *direction, "--columns", "number,log_rank", "--format", "json"))
        assert rows[-1] == {"number": 3, "log_rank": None}


def test_sql(ask: Ask) -> None:
    sql = "WITH p AS (SELECT placement, count(*) AS n FROM architecture GROUP BY 1) SELECT * FROM p ORDER BY placement;"
    assert ask(sql) == "placement  n\nnone       4\npre        4\n"
    assert json.loads(ask("SELECT 9e999 AS big, NULL AS none, 'a\"b' AS text", "--format", "json")) == [
        {"big": None, "none": None, "text": 'a"b'}
    ]
    assert ask("SELECT key FROM architecture WHERE 0", "--format", "json") == "[]\n"
    assert ask("SELECT key FROM architecture WHERE 0") == "key\n"


def test_csv_is_rfc_4180() -> None:
    text = tables.as_csv(["a", "b"], [['say "x", y', "two\nlines"], [None, 0.1]])
    assert text == 'a,b\r\n"say ""x"", y","two\nlines"\r\n,0.1\r\n'


def test_no_cell_of_csv_is_a_formula() -> None:
    """Text that a spreadsheet program would run has an apostrophe before it; numbers are numbers."""
    for text in ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "=", "-3.5"):
        assert tables.spreadsheet_safe(text) == "'" + text
        [[written]] = csv.reader(io.StringIO(tables.as_csv([text], []), newline=""))
        assert written == "'" + text
    for value in (-3.5, -1, None, "", "a=1", "'=1", "{}", b"=1", True):
        assert tables.spreadsheet_safe(value) is value
    assert tables.as_csv(["a", "b"], [[-3.5, "-3.5"]]) == "a,b\r\n-3.5,'-3.5\r\n"


def test_on_a_terminal_rich_prints_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    answers.write(["name", "value"], [["[bold]x[/bold]", 0.123456789], ["y", None]], "table")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line.split() for line in lines] == [["name", "value"], ["[bold]x[/bold]", "0.123457"], ["y", "-"]]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--where", "skip_density >"], "`where` must be SQL that SQLite can run, got 'skip_density >': "),
        (["--where", ""], "`where` must be a condition, got an empty text"),
        (["--where", "name = 'mine'"], "^`where` must name a column that is there, got 'name'; .*study.* has one of that"),
        (["SELECT merits, 'from study' FROM leaderboard"], "got 'merits'; did you mean merit.*--schema` lists all"),
        (["SELECT nam FROM study, run WHERE study"], r"did you mean name\?"),
        (["SELECT name FROM batch"], r"there \(study, batch, notes\), got 'name'; study has"),
        (["--sort", "merit desc"], "`sort` must be a column .*, got 'merit desc'; .*--sort merit --descending"),
        (["--columns", "key merit"], "`columns` must be .*, got 'key merit'; .*--columns key,merit"),
        (["mine"], "got 'mine'; for one study: --study mine"),
        (["7b7e"], "got '7b7e'; `nasjac show 7b7e` tells about an architecture"),
        (["limit=3"], "got 'limit=3'; write --limit 3"),
        (["format=xml"], "`format` must be one of table, csv, json, got 'xml'"),
        (["study=k", "--study", "k"], "`study` must be given once, got k and k"),
        (["study=q"], "`study` must be one of k, got 'q'"),
        (["--where", "skp_density > 0.5"], r"`where` .*got 'skp_density'; did you mean skip_density\?"),
        (["--where", "placement = pre"], "text goes in single quotes"),
        (["--where", "1); DROP TABLE trial"], "`where` must be "),
        (["--where", "1; DROP TABLE trial; --"], "`where` must be "),
        (["--columns", "key,cost"], "`columns` must be a column of the leaderboard, got 'cost'"),
        (["--columns", "key,trainability_cots"], r"did you mean trainability_cost\?"),
        (["--sort", "number; DROP TABLE trial"], "`sort` must be a column of the leaderboard, got 'number; DROP"),
        (["--limit", "0"], "`limit` must be at least 1 and at most 9223372036854775807, got 0"),
        (["--limit", "-1"], "`limit` must be at least 1 and at most 9223372036854775807, got -1"),
        (["--study", "q"], "`study` must be one of k, got 'q'"),
        (["SELECT 1", "--study", "k"], "must be either a SELECT or --study, .* and --columns, got a SELECT and --study"),
        (["SELECT 1", "--limit", "0"], "must be either a SELECT or .*, got a SELECT and --limit"),
        (["DELETE FROM trial"], "`sql` must be one SELECT that only reads, got 'DELETE FROM trial'"),
        ([""], "`sql` must be one SELECT"),
        (["SELECT 1; SELECT 2"], "`sql` must be one statement"),
        (["SELECT 1 AS a, 2 AS a", "--format", "json"], "different names for json, got a twice"),
        (["--database", "no.db"], "`database` must be a file that exists, got .*no.db"),
    ],
)
def test_a_wrong_question(ask: Ask, argv: list[str], sentence: str) -> None:
    before = Path("nasjac.db").read_bytes()
    with pytest.raises(ValueError, match=sentence):
        main(argv)
    assert Path("nasjac.db").read_bytes() == before and not Path("no.db").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["--format", "xml"],
        ["--limit", "many"],
        ["--where=--"],
        ["SELECT 1", "--table=--"],
        ["SELECT", "1"],
        ["--wher", "1", "2", "3"],
    ],
)
def test_wrong_options_exit_with_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2


def test_schema_needs_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--schema"]) == 0
    text = capsys.readouterr().out
    main(["--schema", "--format", "json"])
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert len(rows) == sum(len(relation.columns) for relation in relations())
    for row in rows:
        assert row["meaning"] in text and f"    {row['column']} " in text
    assert "view leaderboard: one row per study and architecture it kept" in text
    assert not list(tmp_path.iterdir())


def test_asking_loads_nothing_heavy() -> None:
    script = (
        "import sys; from nasjac.cli import query, show\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'optuna', 'pandas', 'numpy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_long_text_is_cut_in_a_table_alone() -> None:
    assert tables.cell("x" * 100) == "x" * 45 + "..." and "x" * 100 in tables.as_csv(["a"], [["x" * 100]])


def test_csv_files_are_tables_beside_the_database(ask: Ask, tmp_path: Path) -> None:
    """Numbers are numbers, empty cells NULL; both kinds of tables can be joined, and nothing is written."""
    frame = pd.DataFrame({"key": [key_of(0), key_of(1)], "accuracy": [0.5, None], "depth": [4, 8]})
    frame.to_csv(tmp_path / "trained.csv.gz", index=False)
    before = (tmp_path / "nasjac.db").read_bytes()
    sql = "SELECT t.depth, t.accuracy, a.placement FROM trained AS t JOIN architecture AS a USING (key) ORDER BY t.depth"
    expected = [
        {"depth": 4, "accuracy": 0.5, "placement": "none"},
        {"depth": 8, "accuracy": None, "placement": "pre"},
    ]
    assert json.loads(ask("--table", "trained.csv.gz", sql, "--format", "json")) == expected
    alone = ("--database", "none.db", "--table", "t=trained.csv.gz", "SELECT sum(depth) AS d FROM t", "--format", "json")
    assert json.loads(ask(*alone)) == [{"d": 12}]
    assert (tmp_path / "nasjac.db").read_bytes() == before and not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--table", "absent.csv", "SELECT 1"), "`table` must be a file that exists, got 'absent.csv'"),
        (
            ("--table", "a-b=absent.csv", "SELECT 1"),
            "`table` must have a name of letters, digits and _, NAME=FILE, got 'a-b'",
        ),
    ],
)
def test_a_wrong_file(ask: Ask, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        main(list(words))
