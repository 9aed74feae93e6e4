"""CSV as spreadsheet programs write it: read rightly, or refused by name."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

from nasjac.foundation.csv_text import LONGEST_LINE, Spoiled, csv_records, csv_rows
from nasjac.foundation.errors import InputError


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", [["a", "b"], ["1", "2"]]),
        (b" a ,\tb, c\n 1 ,2,3\n", [["a", "b", "c"], [" 1 ", "2", "3"]]),
        (b'"a", "b,c"\n1,2\n', [["a", "b,c"], ["1", "2"]]),
        (b'a,"b\nc"\n1,2\n', [["a", "b\nc"], ["1", "2"]]),
        (b"a,b\r1,2\r", [["a", "b"], ["1", "2"]]),
        (b"a,b\n\n1\n1,2,3", [["a", "b"], [], ["1"], ["1", "2", "3"]]),
        (b'"a;b;c",d\n"x;y\tz",2\n', [["a;b;c", "d"], ["x;y\tz", "2"]]),
        (b"a\n1;2\n", [["a"], ["1;2"]]),
        ("größe\nüber\n".encode(), [["größe"], ["über"]]),
    ],
)
def test_rows(tmp_path: Path, content: bytes, rows: list[list[str]]) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content))
    assert list(csv_rows(tmp_path / "t.csv", "table")) == rows
    assert list(csv_rows(tmp_path / "t.csv.gz", "table")) == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a;b\n1;2\n", "`table` must be separated by commas, got semicolons in t.csv"),
        (b"arch;accuracy,percent;loss\n", "`table` must be separated by commas, got semicolons in t.csv"),
        (b"\xef\xbb\xbfa\tb\n1\t2\n", "`table` must be separated by commas, got tabs in t.csv"),
        ("a,b\n1,2\n".encode("utf-16"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16"),
        ("a,b\n1,2\n".encode("utf-32"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16 (or UTF-32)"),
        (b"\xfe\xff" + "a,b".encode("utf-16-be"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "got row 1 of t.csv: a null character (UTF-16 has them)"),
        (b"a,b\n1,\x002\n", "got row 2 of t.csv: a null character (UTF-16 has them)"),
        (
            "a\né\n".encode("latin-1"),
            "`table` must be CSV text in UTF-8, got row 2 of t.csv: a byte 0xe9 that is not UTF-8",
        ),
        (b"PK\x03\x04 and so on", "which is an archive or a spreadsheet program's own format; save it as CSV"),
        (b"", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b"\n\n", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b" , ,\n1,2,3\n", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b'a,b\n1,2\n1,"2\n3,4\n', "got row 3 of t.csv: a quotation mark that nothing closes"),
        (b'"a,b\n1,2\n', "got row 1 of t.csv: a quotation mark that nothing closes"),
        (b"a\n" + b"x" * 200_000, "got row 2 of t.csv: field larger than field limit"),
    ],
)
def test_what_is_no_such_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        list(csv_rows(Path("t.csv"), "table"))


def test_what_is_no_such_file(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    damaged = bytearray(gzip.compress(bytes(range(256)) * 40, compresslevel=0))
    damaged[500] ^= 1
    for name, content in {"cut": whole[:-20], "plain": b"a,b\n", "headless": whole[:5], "damaged": damaged}.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(content)
        with pytest.raises(InputError, match=rf"^`table` must be .*got .*{name}\.csv\.gz"):
            list(csv_rows(tmp_path / f"{name}.csv.gz", "table"))
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "absent", tmp_path / "nu\0ll"):
        with pytest.raises(InputError, match=r"^`table` must be a file"):
            list(csv_rows(path, "table"))


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'a,b\n1,"2\n3,4\n5,6\n', [Spoiled("a quotation mark that nothing closes"), ["3", "4"], ["5", "6"]]),
        (b'a,b\n"1"x,2\n3,4\n', [Spoiled("',' expected after '\"'"), ["3", "4"]]),
        (
            b'a,b\n1,"2\n"3,4\n5,6\n',
            [Spoiled("',' expected after '\"'"), Spoiled("a quotation mark that nothing closes"), ["5", "6"]],
        ),
        (b"a,b\n1,\xe9\n3,4\n", [Spoiled("a byte 0xe9 that is not UTF-8"), ["3", "4"]]),
        (b"a,b\n1,\0\n3,4\n", [Spoiled("a null character (UTF-16 has them)"), ["3", "4"]]),
        (b"a,b\n" + b"x" * 140_000 + b",2\n3,4\n", [Spoiled("field larger than field limit (131072)"), ["3", "4"]]),
    ],
)
def test_a_row_that_is_no_csv_costs_its_first_line_alone(tmp_path: Path, content: bytes, rows: list[object]) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert list(csv_records(tmp_path / "t.csv", "table")) == [["a", "b"], *rows]
    with pytest.raises(InputError, match=r"^`table` must be CSV text in UTF-8, got row 2 of .*t\.csv: "):
        list(csv_rows(tmp_path / "t.csv", "table"))


@pytest.mark.parametrize("content", [b"a,b\n" + b"x" * (LONGEST_LINE + 9), b"x" * (LONGEST_LINE + 9)])
def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content, compresslevel=1))
    with pytest.raises(
        InputError, match=rf"^`table` must have lines of at most {LONGEST_LINE} characters, got a longer one in "
    ):
        list(csv_rows(tmp_path / "t.csv.gz", "table"))
