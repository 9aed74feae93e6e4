"""CSV as spreadsheet programs write it: read rightly, or refused by name."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

from nasjac.csv_text import read_csv_rows
from nasjac.errors import InputError


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
    assert read_csv_rows(tmp_path / "t.csv", "table") == rows
    assert read_csv_rows(tmp_path / "t.csv.gz", "table") == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a;b\n1;2\n", "`table` must be separated by commas, got semicolons in t.csv"),
        (b"arch;accuracy,percent;loss\n", "`table` must be separated by commas, got semicolons in t.csv"),
        (b"\xef\xbb\xbfa\tb\n1\t2\n", "`table` must be separated by commas, got tabs in t.csv"),
        ("a,b\n1,2\n".encode("utf-16"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16"),
        ("a,b\n1,2\n".encode("utf-32"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16 (or UTF-32)"),
        (b"\xfe\xff" + "a,b".encode("utf-16-be"), "`table` must be CSV text in UTF-8, got t.csv, which is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "got a null character in line 1 of t.csv (UTF-16 has them)"),
        (b"a,b\n1,\x002\n", "got a null character in line 2 of t.csv"),
        ("a\né\n".encode("latin-1"), "`table` must be CSV text in UTF-8, got a byte 0xe9 that is not, in t.csv"),
        (b"PK\x03\x04 and so on", "which is an archive or a spreadsheet program's own format; save it as CSV"),
        (b"", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b"\n\n", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b" , ,\n1,2,3\n", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (b'a,b\n1,2\n1,"2\n3,4\n', "`table` must be CSV, got row 3 of t.csv: unexpected end of data"),
        (b'"a,b\n1,2\n', "`table` must be CSV, got row 1 of t.csv: unexpected end of data"),
        (b"a\n" + b"x" * 200_000, "`table` must be CSV, got row 2 of t.csv: field larger than field limit"),
    ],
)
def test_what_is_no_such_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_csv_rows(Path("t.csv"), "table")


def test_what_is_no_such_file(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    damaged = bytearray(gzip.compress(bytes(range(256)) * 40, compresslevel=0))
    damaged[500] ^= 1
    for name, content in {"cut": whole[:-20], "plain": b"a,b\n", "headless": whole[:5], "damaged": damaged}.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(content)
        with pytest.raises(InputError, match=rf"^`table` must be .*got .*{name}\.csv\.gz"):
            read_csv_rows(tmp_path / f"{name}.csv.gz", "table")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "absent", tmp_path / "nu\0ll"):
        with pytest.raises(InputError, match="^`table` must be a file"):
            read_csv_rows(path, "table")
