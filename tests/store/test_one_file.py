"""A finished database is one file, and reading it needs no right to write and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nasjac.cli import query, show
from nasjac.foundation.errors import InputError
from nasjac.store import Store
from nasjac.store.place import fold_in
from tests.store.rows import filled, key_of, record

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody whom the modes of files bind: they do not bind the superuser."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def lock_up(folder: Path, file: int = 0o444, place: int = 0o555) -> None:
    for path in folder.iterdir():
        path.chmod(file)
    folder.chmod(place)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def logged(path: Path) -> None:
    """Have the header ask for a log, as that of a database of an earlier nasjac does."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


_KILLED = """
import os, sys
sys.path[:0] = {path!r}
from tests.store.rows import filled, record
from pathlib import Path
store = filled(Path({database!r}))
record(store, "k", 2, range(8, 12))
store._connection.execute("BEGIN IMMEDIATE")
store._connection.execute("DELETE FROM trial")
os.kill(os.getpid(), {signal})
"""


def killed_midway(path: Path) -> None:
    """Twelve trials, and a writer that was killed while it took them away."""
    script = _KILLED.format(path=sys.path, database=str(path), signal=int(signal.SIGKILL))
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


def trials(path: Path) -> int:
    """Without nasjac, in a copy of the file alone."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(path, Path(place) / "copy.db")
        connection = sqlite3.connect(f"{(Path(place) / 'copy.db').as_uri()}?mode=ro", uri=True)
        [(count,)] = connection.execute("SELECT count(*) FROM trial").fetchall()
        connection.close()
        return int(count)


@pytest.mark.parametrize("last", ["reader", "writer"])
def test_whoever_closes_last_leaves_one_file(tmp_path: Path, last: str) -> None:
    writer = filled(tmp_path / "x.db")
    reader = Store(tmp_path / "x.db", read_only=True)
    assert len(reader.trials("k")) == 8
    for store in (writer, reader) if last == "reader" else (reader, writer):
        store.close()
    assert names(tmp_path) == {"x.db"} and trials(tmp_path / "x.db") == 8


def test_a_writer_that_fails_leaves_one_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), filled(tmp_path / "x.db"):
        raise KeyboardInterrupt
    assert names(tmp_path) == {"x.db"} and trials(tmp_path / "x.db") == 8


@pytest.mark.parametrize("read_only", [False, True])
def test_after_a_kill_the_next_to_close_leaves_one_file(tmp_path: Path, read_only: bool) -> None:
    killed_midway(tmp_path / "x.db")
    assert names(tmp_path) > {"x.db"}
    with Store(tmp_path / "x.db", read_only) as store:
        assert len(store.trials("k")) == 12, "what was committed is there, what was not is undone"
    assert names(tmp_path) == {"x.db"} and trials(tmp_path / "x.db") == 12


def test_a_reader_beside_a_writer_sees_what_is_stored_and_leaves_its_log_alone(tmp_path: Path) -> None:
    writer = filled(tmp_path / "x.db")
    for batch in (2, 3):
        with Store(tmp_path / "x.db", read_only=True) as reader:
            assert len(reader.trials("k")) == 4 * batch
        assert names(tmp_path) == {"x.db", "x.db-wal", "x.db-shm"}
        record(writer, "k", batch, range(4 * batch, 4 * batch + 4))
    writer.close()
    assert names(tmp_path) == {"x.db"} and trials(tmp_path / "x.db") == 16


def test_a_database_of_an_earlier_version_of_nasjac_is_one_file_once_it_is_read(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    logged(tmp_path / "x.db")
    Store(tmp_path / "x.db", read_only=True).close()
    assert names(tmp_path) == {"x.db"}
    connection = sqlite3.connect(tmp_path / "x.db")
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
    connection.close()


@pytest.mark.parametrize(("file", "place"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)])
@pytest.mark.parametrize("with_log", [False, True])
def test_a_database_can_be_read_where_nothing_can_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], with_log: bool, file: int, place: int
) -> None:
    filled(folder / "x.db").close()
    if with_log:
        logged(folder / "x.db")
    lock_up(folder, file, place)
    before = (folder / "x.db").read_bytes()
    with unprivileged():
        assert query.main(["--database", str(folder / "x.db"), "--format", "csv", "--columns", "key"]) == 0
        assert capsys.readouterr().out.split() == ["key", *map(key_of, range(8))]
        assert show.main(["000000000005", "--database", str(folder / "x.db")]) == 0
        with pytest.raises(InputError, match="`database` must be a nasjac database that can be written"):
            Store(folder / "x.db")
    assert names(folder) == {"x.db"} and (folder / "x.db").read_bytes() == before


@pytest.mark.parametrize("lost", [False, True])
def test_a_log_where_nothing_can_be_written_is_read_or_named(folder: Path, lost: bool) -> None:
    """Of a killed writer both files of the log are there; without one of them its rows cannot be read, and it says so."""
    killed_midway(folder / "x.db")
    if lost:
        (folder / "x.db-shm").unlink()
    before = names(folder)
    lock_up(folder)
    with unprivileged():
        if lost:
            with pytest.raises(InputError, match=r"while there is a log beside it, got .*x\.db-wal holds rows"):
                Store(folder / "x.db", read_only=True)
        else:
            with Store(folder / "x.db", read_only=True) as store:
                assert len(store.trials("k")) == 12
    assert names(folder) == before


def test_a_write_cut_short_without_a_log_is_undone_by_a_reader(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    script = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for sql in ("PRAGMA cache_size = 1", "BEGIN", "DELETE FROM trial", "DELETE FROM measurement"):
    connection.execute(sql)
connection.execute("CREATE TABLE much AS SELECT randomblob(9000) FROM architecture")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.db")], check=False)
    assert names(tmp_path) == {"x.db", "x.db-journal"}
    with Store(tmp_path / "x.db", read_only=True) as store:
        assert len(store.trials("k")) == 8
    assert names(tmp_path) == {"x.db"}


def test_files_of_other_programs_keep_their_logs(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE run (x)")
    for read_only in (False, True):
        with pytest.raises(InputError, match="another program's database"):
            Store(tmp_path / "other.db", read_only)
    other.close()
    again = sqlite3.connect(tmp_path / "other.db")
    assert again.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    again.close()


def test_folding_in_waits_for_nobody(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        fold_in(tmp_path / "x.db")
        record(store, "k", 2, range(8, 12))
    assert names(tmp_path) == {"x.db"} and trials(tmp_path / "x.db") == 12


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to itself"])
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.db"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    else:
        path = Path("/dev/zero")
    for read_only in (False, True):
        with pytest.raises(InputError, match="`database` must be a"):
            Store(path, read_only)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_log_that_is_no_file_is_refused(tmp_path: Path, suffix: str) -> None:
    """SQLite would wait for a named pipe, and might write into the file that a link points to."""
    filled(tmp_path / "x.db").close()
    (tmp_path / "precious").write_text("keep me")
    for make in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "precious")):
        log = tmp_path / f"x.db{suffix}"
        make(log)
        for read_only in (False, True):
            with pytest.raises(InputError, match="`database` must have files beside it alone"):
                Store(tmp_path / "x.db", read_only)
        log.unlink()
    assert (tmp_path / "precious").read_text() == "keep me"
