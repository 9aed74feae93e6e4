"""Folders that appear at once or stay as they were: at every kill, every error, and beside another process."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasjac.foundation import file_system, folder_exchange
from nasjac.foundation.atomic_files import check_replaceable, place_folder, replace_folder
from nasjac.foundation.errors import InputError
from tests.foundation.kills import litter, make, tree

OLD = {"report.html": b"old page", "summary.json": b"{}", "front.png": b"an old figure"}
NEW = {"report.html": b"new page" * 5000, "summary.json": b"[]"}
THIRD = {"report.html": b"third", "summary.json": b"3"}
NAMES = ("report.html", "summary.json", "front.png")
MINE = {"notes.txt": b"mine", "mine/deep/table.csv": b"1,2\n"}

#: what a system is made to lack
LACKS = {
    "nothing": "",
    "exchange": "file_system._renameat2 = lambda: None",
    "nameless files": "del os.O_TMPFILE",
    "links": "file_system.os.link = unlinked",
    "everything": "file_system._renameat2 = lambda: None; del os.O_TMPFILE; file_system.os.link = unlinked",
}

KILLS = """
import errno, json, os, sys
from pathlib import Path
from nasjac.foundation import atomic_files, file_system
from tests.foundation.kills import kill_everywhere, litter, make, tree
from tests.foundation.test_atomic_files import MINE, NAMES, NEW, OLD, THIRD

real = os.link
def unlinked(source, *rest, **options):
    if not str(source).startswith("/proc"):
        raise OSError(errno.EPERM, "no links here")
    return real(source, *rest, **options)

os.fsync = os.fstat  # a call into the system too, and the disk is not what is tested
place, lacks, mine = Path(sys.argv[1]), sys.argv[2], MINE if sys.argv[3] == "mine" else {}
there = {**OLD, **mine} if sys.argv[3] != "nothing" else {}
folder = place / "study"
exec(lacks)

def prepare():
    make(folder, there)
    if mine:
        (folder / "link").symlink_to("nowhere")
        mine_now["link"] = b"nowhere"

def ours(found):
    return {name: content for name, content in found.items() if name in NAMES}

def check(step):
    found = tree(folder)
    assert ours(found) in (OLD if there else {}, NEW) or ("_renameat2 = " in lacks and not folder.exists()), (step, found)
    assert set(found) <= {*NAMES, *mine_now}, (step, found)
    atomic_files.sweep(folder, NAMES)
    if there:
        found = tree(folder)
        assert ours(found) in (OLD, NEW) and found == {**ours(found), **mine_now}, (step, found)
    write(THIRD)
    assert tree(folder) == {**THIRD, **mine_now}, (step, tree(folder))
    assert litter(place) == [], (step, litter(place))

def write(files=NEW):
    atomic_files.replace_folder(folder, files, NAMES)

mine_now = dict(mine)
print(kill_everywhere(place, prepare, write, check))
"""


QUICK = [("nothing", "mine"), ("exchange", "mine")]
CASES = [(lacking, there) for lacking in LACKS for there in ("nothing", "earlier", "mine")]


@pytest.mark.parametrize(
    ("lacking", "there"), [pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(tmp_path: Path, lacking: str, there: str) -> None:
    """And the next run clears away what the kill has left, and loses nothing that is not nasjac's."""
    words = [sys.executable, "-c", KILLS, str(tmp_path / "place"), LACKS[lacking], there]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


def test_what_is_written_is_there_and_the_rest_stays(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    make(folder, {**OLD, **MINE})
    folder.chmod(0o750)
    kept = (folder / "notes.txt").stat().st_ino
    replace_folder(folder, NEW, NAMES)
    assert tree(folder) == {**NEW, **MINE}
    assert folder.stat().st_mode & 0o777 == 0o750 and (folder / "notes.txt").stat().st_ino == kept
    assert os.listdir(tmp_path) == ["study"]


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    make(tmp_path / "disk" / "study", OLD)
    (tmp_path / "study").symlink_to("disk/study")
    replace_folder(tmp_path / "study", NEW, NAMES)
    assert (tmp_path / "study").is_symlink() and tree(tmp_path / "disk" / "study") == NEW


def failing_at(monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """The system call number `at` says that the disk is full; the list gets its name."""
    calls, failed = 0, list[str]()

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                failed.append(name)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **options)

        return call

    for name in ("open", "fsync", "link", "mkdir", "rename", "unlink"):
        monkeypatch.setattr(os, name, wrap(name, getattr(os, name)))
    return failed


def test_a_full_disk_keeps_the_old_folder(tmp_path: Path) -> None:
    """Whatever call it is that fails: one sentence, and the folder is the old one, or the new one after the exchange."""
    seen, at = set(), 0
    while True:
        at += 1
        place = tmp_path / str(at)
        make(place / "study", {**OLD, **MINE})
        with pytest.MonkeyPatch.context() as patch:
            failed = failing_at(patch, at)
            try:
                replace_folder(place / "study", NEW, NAMES)
            except InputError as error:
                assert str(error).startswith("`out` must be a folder that can be written, got ")
                assert "No space left on device" in str(error)
        if not failed:
            break
        seen |= set(failed)
        found = tree(place / "study")
        assert {name: found[name] for name in NAMES if name in found} in (OLD, NEW), (at, failed)
        assert failed != ["fsync"] or at > 3 or (found == {**OLD, **MINE} and not litter(place))
        replace_folder(place / "study", THIRD, NAMES)
        assert tree(place / "study") == {**THIRD, **MINE} and not litter(place), (at, failed)
    assert seen == {"open", "fsync", "link", "mkdir", "rename", "unlink"}


def test_a_new_folder_is_not_put_over_another(tmp_path: Path) -> None:
    make(tmp_path / "kept", OLD)
    with pytest.raises(InputError, match=r"`save` must be a folder that can be written, got .*kept"):
        place_folder(tmp_path / "kept", NEW, "save")
    assert tree(tmp_path / "kept") == OLD and not litter(tmp_path)


def test_what_cannot_be_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for folder in (".", ".."):
        with pytest.raises(InputError, match="another folder than the one that the command runs in"):
            place_folder(folder, NEW)
    for folder, words in (
        (tmp_path / "file", "must be a folder, got"),
        ("nu\0ll", "null character"),
    ):
        for refuse in (check_replaceable, lambda path: replace_folder(path, NEW), lambda path: place_folder(path, NEW)):
            with pytest.raises(InputError, match=words):
                refuse(folder)
    make(tmp_path / "study", {"report.html/inside": b"mine"})
    with pytest.raises(InputError, match="a folder is where a file is to be written"):
        replace_folder(tmp_path / "study", NEW)
    assert tree(tmp_path / "study") == {"report.html/inside": b"mine"}
    assert not litter(tmp_path) and not litter(tmp_path / "here")


@pytest.mark.parametrize("folder", [".", ".."])
def test_the_folder_that_a_command_runs_in_is_written_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    target = Path(folder).resolve()
    inode = target.stat().st_ino
    make(target, {**OLD, "mine.txt": b"mine"})
    (target / ("." + "0" * 32)).mkdir()  # as a kill leaves it
    replace_folder(folder, NEW, earlier=OLD)
    written = {path.name: path.read_bytes() for path in target.iterdir() if path.is_file()}
    assert written == {**NEW, "mine.txt": b"mine"} and target.stat().st_ino == inode
    assert not [path for path in target.iterdir() if path.name.startswith(".")]


STOPPED = """
import os, signal, sys
from pathlib import Path
from nasjac.foundation import atomic_files
from tests.foundation.kills import Deadly

real = atomic_files.named
def named(*words):
    real(*words)
    print("stopped", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
atomic_files.named = named
atomic_files.replace_folder(Path(sys.argv[1]), {"report.html": b"theirs"})
"""


def test_the_draft_of_a_living_process_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    make(folder, OLD)
    dead = tmp_path / f".study.{'0' * 32}"
    dead.mkdir()
    process = subprocess.Popen([sys.executable, "-c", STOPPED, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "stopped\n"
        [draft] = litter(tmp_path)
        assert draft != dead.name, "the dead one is swept before the new one is made"
        monkeypatch.setattr(file_system, "PATIENCE", 0.1)
        with pytest.raises(InputError, match=r"another process has been writing in .* for 0.1 s"):
            replace_folder(folder, NEW, NAMES)
        assert litter(tmp_path) == [draft] and tree(folder) == OLD
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.communicate()
    assert tree(folder) == {**OLD, "report.html": b"theirs"} and not litter(tmp_path)


def test_nothing_is_swept_where_no_lock_tells_who_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unlocked)
    draft = tmp_path / f".study.{'0' * 32}"
    draft.mkdir()
    replace_folder(tmp_path / "study", NEW, NAMES)
    assert tree(tmp_path / "study") == NEW and draft.is_dir()


def test_what_only_looks_like_litter_stays(tmp_path: Path) -> None:
    names = (".study", ".study.old", f".study.{'0' * 31}", f".study2.{'0' * 32}", f".study.{'G' * 32}")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / f".study.{'1' * 32}").symlink_to(tmp_path)
    (tmp_path / f".study.{'2' * 32}").write_text("a file")
    replace_folder(tmp_path / "study", NEW)
    assert set(litter(tmp_path)) == {*names, f".study.{'1' * 32}", f".study.{'2' * 32}"}


WRITER = """
import sys
from pathlib import Path
from nasjac.foundation.atomic_files import replace_folder
for turn in range(40):
    replace_folder(Path(sys.argv[1]), {name: sys.argv[2].encode() * 1000 for name in ("a", "b", *sys.argv[2])})
"""


def test_of_processes_that_write_at_once_the_last_one_wins_whole(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    make(folder, MINE)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name]) for name in "pqr"]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        seen += folder.is_dir()
        time.sleep(0.001)
    assert [writer.returncode for writer in writers] == [0, 0, 0] and seen
    found = tree(folder)
    assert found["a"] == found["b"] and found.items() >= MINE.items() and not litter(tmp_path)


def test_a_files_owner_who_saves_during_the_exchange_keeps_the_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = tmp_path / "study", folder_exchange.exchanged
    make(folder, {**OLD, **MINE})

    def exchanged(one: Path, other: Path) -> bool:
        (folder / "save").write_bytes(b"saved anew")
        os.replace(folder / "save", folder / "notes.txt")
        (folder / "new.txt").write_bytes(b"new")
        return real(one, other)

    monkeypatch.setattr(folder_exchange, "exchanged", exchanged)
    replace_folder(folder, NEW, NAMES)
    assert tree(folder) == {**NEW, **MINE, "notes.txt": b"saved anew", "new.txt": b"new"} and not litter(tmp_path)
