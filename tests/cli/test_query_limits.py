"""nasjac query ends: when its time is up, at Ctrl-C, when nobody reads on; and it streams in every format."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nasjac.cli import answers
from nasjac.cli.query import main
from nasjac.foundation import text_tables as tables
from nasjac.foundation.errors import InputError
from nasjac.store.select import select, stream
from nasjac.store.time_limit import TimeLimit
from tests.store.rows import filled

COUNTING = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT"
#: a single step of SQLite's machine, within which it looks at no clock, that takes days
STEP = "SELECT instr(zeroblob(100000000), zeroblob(50000000) || x'01')"
NO_LIMIT = ("--timeout", "none", "--format", "csv")
NASJAC = (sys.executable, "-c", "import sys; from nasjac.cli import main; sys.exit(main())", "query")


@pytest.fixture(autouse=True)
def _beside_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    filled(Path("nasjac.db")).close()


def begun(*words: str, **environment: str) -> subprocess.Popen[str]:
    pipe, repository = subprocess.PIPE, str(Path(__file__).parents[2])
    variables = {**os.environ, "PYTHONPATH": repository, **environment}
    hears = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 # a shell's background job does not
    return subprocess.Popen([*NASJAC, *words], stdout=pipe, stderr=pipe, text=True, env=variables, preexec_fn=hears)


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process still says after Ctrl-C, which comes when it has written the header and looks for a second row."""
    assert process.stdout is not None and process.stdout.readline() == "n\n"
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()


@pytest.mark.parametrize("sql", [f"{COUNTING} count(*) FROM c", f"{COUNTING} n FROM c WHERE n < 0", f"{COUNTING} n FROM c"])
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_the_time_is_up(sql: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    sentence = "the question was stopped after 0.05 seconds; give --timeout a larger number, or none for no limit"
    with pytest.raises(InputError, match=f"^{sentence}"):
        main([sql, "--timeout", "0.05", "--format", form])
    assert time.monotonic() - began < 20
    assert (len(capsys.readouterr().out) > 1000) is (sql == f"{COUNTING} n FROM c")


def test_the_time_is_up_in_the_middle_of_the_output() -> None:
    process = begun(f"{COUNTING} n FROM c", "--timeout", "0.05", "--format", "json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and output.startswith('[{"n": 1},\n {"n": 2}') and not output.endswith("]\n")
    assert re.fullmatch(r"nasjac: the question was stopped after [^\n]*\n", errors)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e999", "None"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"`timeout` must be a number of seconds above 0, or none for no limit, got {text!r}")):  # fmt: skip  # noqa: E501
        main(["SELECT 1", f"--timeout={text}"])


def test_none_is_no_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{COUNTING} n FROM c LIMIT 200000, 1", "--timeout", "none"]) == 0
    assert capsys.readouterr().out.split() == ["n", "200001"]


def test_the_limit_is_a_minute_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasjac.store.time_limit.monotonic", itertools.count(0, 31).__next__)
    monkeypatch.setattr("nasjac.cli.last_resort.LOOKS", 999)
    with pytest.raises(InputError, match="stopped after 60 seconds"):
        main([f"{COUNTING} count(*) FROM c"])


def test_whoever_reads_slowly_is_not_cut_off() -> None:
    limit = TimeLimit(0.2)
    with stream(sqlite3.connect(":memory:"), f"{COUNTING} n FROM c", {}, limit=limit) as found:
        assert next(found.rows) == (1,)
        time.sleep(0.3)
        assert next(found.rows) == (2,) and limit.spent() < 0.2


def test_a_connection_is_as_before_when_its_time_was_up() -> None:
    connection = sqlite3.connect(":memory:")
    with (
        pytest.raises(InputError, match="the question was stopped after"),
        stream(connection, f"{COUNTING} sum(n) FROM c", {}, limit=TimeLimit(0.01)),
    ):
        pass
    connection.execute("CREATE TABLE t (a)")
    assert select(connection, f"{COUNTING} n FROM c LIMIT 100000", {}).rows[-1] == (100000,)


def test_ctrl_c_ends_a_question() -> None:
    process = begun(f"{COUNTING} 1 AS n UNION ALL SELECT count(*) FROM c", *NO_LIMIT, PYTHONUNBUFFERED="1")
    assert interrupted(process) == ("", "nasjac: interrupted\n") and process.returncode == 130


def test_ctrl_c_ends_a_select_of_any_part() -> None:
    """The signal comes while SQLite works, which takes what is raised within its callback for itself."""
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            select(sqlite3.connect(":memory:"), f"{COUNTING} count(*) FROM c", {})
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_step_that_sqlite_cannot_stop_ends_too(by_signal: bool) -> None:
    if by_signal:
        process = begun(f"SELECT 1 AS n UNION ALL {STEP}", *NO_LIMIT, PYTHONUNBUFFERED="1")
        assert interrupted(process) == ("", "nasjac: interrupted\n") and process.returncode == 130
    else:
        process = begun(STEP, "--timeout", "0.1")
        output, errors = process.communicate(timeout=60)
        assert output == "" and process.returncode == 2
        assert re.fullmatch(r"nasjac: the question was stopped after [^\n]*\n", errors)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_head_ends_an_endless_question_quietly(form: str) -> None:
    process = begun(f"{COUNTING} n FROM c", "--format", form)
    assert process.stdout is not None and process.stderr is not None
    assert "1" in process.stdout.readline() + process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 128 + signal.SIGPIPE
    process.stderr.close()


def test_a_short_answer_to_nobody_ends_quietly() -> None:
    process = begun("SELECT 1")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # before anything is written
    assert process.stderr.read() == "" and process.wait(timeout=60) == 128 + signal.SIGPIPE
    process.stderr.close()


def test_memory_does_not_grow_with_the_answer() -> None:
    script = f"""
import resource, sys
from nasjac.cli.query import main
def peak(rows):
    for form in ("csv", "json", "table"):
        main(["{COUNTING} n, printf('%02000d', n) AS text FROM c LIMIT " + str(rows), "--format", form])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak(2000)
print(peak(20_000) - before, file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    assert int(done.stderr) < 10_000, "kilobytes; the rows together have 40,000"


def test_widths_are_those_of_the_first_rows() -> None:
    def rows() -> Iterator[tuple[int, str]]:
        yield from ((number, "ab") for number in range(tables.MEASURED))
        yield 10**6, "cd"

    lines = list(tables.text_lines(("n", "a"), rows()))
    assert lines[:2] == ["  n  a\n", "  0  ab\n"] and lines[-2:] == ["999  ab\n", "1000000  cd\n"]
    assert "".join(lines[:-1]) == tables.as_text(("n", "a"), list(rows())[:-1])


def test_a_terminal_gets_blocks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(tables, "MEASURED", 2)
    answers.write(["n"], ((number,) for number in range(5)), "table")
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert text.split() == ["n", "0", "1", "n", "2", "3", "n", "4"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [("json", '[{"é": "😀"}]\n'), ("table", "\\xe9\n\\U0001f600\n"), ("csv", None)],
)
def test_an_output_that_has_no_code_for_a_character(
    form: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    question = ["SELECT '😀' AS é", "--format", form]
    if expected is None:
        with pytest.raises(
            InputError, match=r"^the encoding of the output must have a code for every character, got ascii"
        ):
            main(question)
        return
    main(question)
    written = output.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert json.loads(written) == json.loads(expected) if form == "json" else written == expected


def test_an_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match=r"^the standard output must be open"):
        main(["SELECT 1"])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--limit", "9" * 20], "`limit` must be at least 1 and at most 9223372036854775807, got 9999"),
        (["SELECT '\udcff'"], "`sql` must be text that UTF-8 can write, without null characters"),
        (["SELECT 1 AS 'a\0b'"], "`sql` must be text that UTF-8 can write, without null characters"),
        (["--study", "\udcff"], "`study` must be one of k, got "),
        (["SELECT " + "1+" * 20_000 + "1"], "`sql` must be SQL that SQLite can run, got 'SELECT 1"),
        (["SELECT CAST(x'ff' AS TEXT) AS a"], "must ask for text in UTF-8, got other bytes in column a; hex(a) shows them"),
        (["SELECT json_extract('[\"\\ud800\"]', '$[0]') AS a"], "`sql` must ask for text in UTF-8"),
        (["SELECT zeroblob(1000000000)"], "string or blob too big"),
        (["SELECT abs(-9223372036854775808)"], "integer overflow"),
        (["SELECT :x"], "`sql` must be SQL that SQLite can run"),
        (["SELECT ?"], "`sql` must be SQL that SQLite can run"),
    ],
)  # fmt: skip
def test_a_sentence_and_no_traceback(argv: list[str], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        main(argv)
    assert sentence in str(refused.value) and len(str(refused.value)) < 1000


def test_blobs_and_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT x'00ff' AS b, 9e999 AS i, 9e999 - 9e999 AS n, '=1' AS f, -1 AS m"
    main([sql, "--format", "json"])
    assert json.loads(capsys.readouterr().out) == [{"b": "00ff", "i": None, "n": None, "f": "=1", "m": -1}]
    main([sql, "--format", "csv"])
    assert capsys.readouterr().out == "b,i,n,f,m\r\n00ff,inf,,'=1,-1\r\n"


def test_a_terminal_obeys_nothing_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["SELECT char(27) || '[31m' || char(0) AS a, 'é' AS \"\x1b[0m\""])
    assert capsys.readouterr().out == "a             \\x1b[0m\n\\x1b[31m\\x00  é\n"


def test_database_as_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    Path("nasjac.db").rename("other.db")
    for words in (["database=other.db", "SELECT 1 AS a"], ["SELECT 1 AS a", "--format", "table", "database=other.db"]):
        assert main(words) == 0 and capsys.readouterr().out == "a\n1\n"
    assert main(["database=other.db", "--limit", "1", "--columns", "number"]) == 0
    with pytest.raises(InputError, match=r"`database` must be given once, got other\.db and x\.db"):
        main(["--database", "other.db", "database=x.db", "SELECT 1"])


def test_a_damaged_file_is_called_so(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "d.db") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(500)])
    connection.close()
    content = bytearray((tmp_path / "d.db").read_bytes())
    content[40 * 4096 : 60 * 4096] = b"\xff" * (20 * 4096)
    (tmp_path / "d.db").write_bytes(content)
    with pytest.raises(InputError, match=r"^`database` must be a file that SQLite can read to its end, got an error for "):
        select(sqlite3.connect(tmp_path / "d.db"), "SELECT sum(length(a)) FROM t", {})
