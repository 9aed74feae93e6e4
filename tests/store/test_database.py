"""Whose file it is, where it lies, and that asking never writes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasjac.architecture.measurement import TERMS
from nasjac.foundation.errors import InputError
from nasjac.mathematics.trainability import trainability_penalty
from nasjac.store import Store, database
from nasjac.store.place import network_file_system
from nasjac.store.schema import MIGRATIONS, SCHEMA_VERSION, column_names, migrate, relations
from tests.store.rows import filled, key_of, validation

MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/local xfs rw 0 0
sshfs#host: /mnt/my\\040disk fuse.sshfs rw 0 0
systemd-1 /net autofs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/x.db", None),
        ("/home/me/x.db", "nfs4"),
        ("/homely/x.db", None),
        ("/home/me/local/x.db", None),
        ("/mnt/my disk/x.db", "fuse.sshfs"),
        ("/net/x.db", None),
    ],
)
def test_the_deepest_mount_decides(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.glusterfs", "ceph", "fuse.ceph-fuse", "lustre", "gpfs", "afs"],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_network_file_systems_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, read_only: bool
) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr("nasjac.store.database.MOUNTS", mounts)
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(ValueError, match=f"`database` must be on a local disk, .* on {kind}: .* one host"):
        Store(tmp_path / "x.db", read_only)
    assert not (tmp_path / "x.db").exists()


def test_a_later_mount_covers_an_earlier_one() -> None:
    assert network_file_system(Path("/home/x.db"), MOUNTS + "tmpfs /home tmpfs rw 0 0\n") is None


@pytest.mark.parametrize("url", ["postgresql://host/db", ":memory:", "", "sqlite:///"])
def test_only_files(url: str) -> None:
    with pytest.raises(ValueError, match="`database` must be the path of a file"):
        database.path_of(url)


def test_urls_are_paths() -> None:
    assert database.path_of("sqlite:////a/b.db") == database.path_of("/a/b.db") == Path("/a/b.db")
    assert database.path_of("sqlite:///b.db") == Path("b.db").resolve()


def test_a_name_with_signs_is_a_name(tmp_path: Path) -> None:
    Store(tmp_path / "50% ? #1.db").close()
    assert [path.name for path in tmp_path.iterdir()] == ["50% ? #1.db"]


def test_a_missing_file_is_not_made_for_reading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`database` must be a file that exists"):
        Store(tmp_path / "x.db", read_only=True)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match=r"that can be written, got .*: unable to open"):
        Store("/proc/x.db")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`database` must be in a folder that exists"):
        Store(tmp_path / "no" / "x.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write every file")
def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    (tmp_path / "x.db").chmod(0o444)
    with pytest.raises(ValueError, match="that can be written"):
        Store(tmp_path / "x.db")


@pytest.mark.parametrize("read_only", [False, True])
def test_files_of_others_are_left_alone(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one" * 40)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE run (x)")
    other.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="file is not a database"):
        Store(tmp_path / "text.db", read_only)
    with pytest.raises(ValueError, match="another program's database"):
        Store(tmp_path / "other.db", read_only)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_empty_file_is_taken_for_writing_alone(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    with pytest.raises(ValueError, match="an empty file"):
        Store(tmp_path / "x.db", read_only=True)
    with Store(tmp_path / "x.db") as store:
        assert store.studies() == []


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    _set_version(tmp_path / "x.db", SCHEMA_VERSION + 1)
    for read_only in (False, True):
        with pytest.raises(ValueError, match=f"version {SCHEMA_VERSION} at most, .* of version {SCHEMA_VERSION + 1}"):
            Store(tmp_path / "x.db", read_only)


def test_an_older_schema_is_not_read_before_it_is_migrated(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    _set_version(tmp_path / "x.db", 0)
    with pytest.raises(ValueError, match=f"schema version {SCHEMA_VERSION} to be read, .* of version 0"):
        Store(tmp_path / "x.db", read_only=True)


VALIDATED = """SELECT architecture_key, dataset, trainer, trainer_id, seed, learning_rate, status, loss, created, accuracy
    FROM validation ORDER BY rowid"""
COLOUR = "ALTER TABLE architecture ADD COLUMN colour TEXT;\nUPDATE architecture SET colour = 'a;b' || width;\n"
BROKEN = "CREATE TABLE half (x);\nINSERT INTO nowhere VALUES (1);\n"


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
def test_migration_runs_the_scripts_not_yet_seen(tmp_path: Path, version: int) -> None:
    if version:
        filled(tmp_path / "x.db").close()
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    assert _ask(connection, "PRAGMA user_version") == [(version,)]
    migrate(connection, (*MIGRATIONS, COLOUR))
    migrate(connection, (*MIGRATIONS, COLOUR))
    assert _ask(connection, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    assert _ask(connection, "SELECT colour FROM architecture") == [("a;b8",)] * 8 * bool(version)
    assert _ask(connection, "SELECT count(*) FROM leaderboard") == [(8 * bool(version),)]
    connection.close()


def test_all_terms_of_the_penalty_are_squares_since_version_7(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    migrate(connection, MIGRATIONS[:6])
    names = "architecture_key, score, score_id, status, draws, seconds, created, profile"
    terms = "mean_log, sd_log, log_rank, log_decorrelation, trainability_penalty, trainability_penalty_se, merit, merit_se"
    known = {"vanishing": [-3.0, 0.5, -2.0, -0.25], "exploding": [4.0, 1.5, -1.0, 0.25]}
    connection.execute("PRAGMA foreign_keys = OFF")
    for key, values in known.items():
        row = (key, "merit", "s", "ok", 2, 1, "", "[]", *values, 1.25, 0.1, -3, 0.1)
        connection.execute(f"INSERT INTO measurement ({names}, {terms}) VALUES ({', '.join('?' * len(row))})", row)
    row = ("none", "apjn", "s", "diverged", 2, 1, "", "[]", *[None] * 8)
    connection.execute(f"INSERT INTO measurement ({names}, {terms}) VALUES ({', '.join('?' * len(row))})", row)
    migrate(connection)
    found = {key: values for key, *values in _ask(connection, f"SELECT architecture_key, {terms} FROM measurement")}
    assert found["none"] == [None] * 8
    for key, values in known.items():
        assert found[key] == [*values, pytest.approx(float(trainability_penalty(*np.float64(values)))), *[None] * 3]
    connection.close()


def test_effective_depths_of_ensembles_are_unknown_until_they_are_met_again(tmp_path: Path) -> None:
    """Version 8 knows them by another formula; those of certain skips, and of MLPs without a norm on the sum, stay."""
    half, whole = '{"blocks":[{"skip":0.5},{}]}', '{"blocks":[{"skip":0.0},{}]}'
    cases = {
        "decoder": ("transformer_lm", "pre", half, None),
        "certain": ("transformer_lm", "pre", whole, 1.5),
        "post": ("residual_mlp", "post", half, None),
        "none": ("residual_mlp", "none", half, 1.5),
    }
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    migrate(connection, MIGRATIONS[:7])
    names = "key, spec, kind, depth, width, placement, norm, activation, branch, effective_depth, nonlinear_effective_depth"
    for key, (kind, placement, spec, _) in cases.items():
        row = (key, spec, kind, 2, 8, placement, "layernorm", "relu", "two_matrix", 1.5, 0.5)
        connection.execute(f"INSERT INTO architecture ({names}) VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    with Store(tmp_path / "x.db") as store:
        held = store.architectures(list(cases))
        assert {key: held[key].effective_depth for key in cases} == {key: case[3] for key, case in cases.items()}
        known = {key: replace(row, effective_depth=0.75, nonlinear_effective_depth=0.25) for key, row in held.items()}
        store.record_scored(list(known.values()), [], "apjn", "s1")
        again = store.architectures(list(cases))
        assert {key: again[key].effective_depth for key in cases} == {key: case[3] or 0.75 for key, case in cases.items()}
        assert again["post"].nonlinear_effective_depth == 0.25 and again["none"].nonlinear_effective_depth == 0.5


def test_released_scripts_are_never_edited() -> None:
    """A database of version n is what they made; a change is a further script."""
    assert hashlib.sha256("".join(MIGRATIONS[:7]).encode()).hexdigest()[:12] == "22d24541f18c"


def fill_old(connection: sqlite3.Connection) -> None:
    """Rows of every table in the columns of version 1: study `k` with architectures 0 to 2, all trained on "text"."""

    def insert(table: str, **values: Any) -> None:
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))

    shared = {"config": "{}", "versions": "{}", "started": "t", "timings": '{"score":1.5}', "notes": "{}"}
    insert("run", study="k", verb="search", status="finished", **shared)
    identity = '{"dataset":{"name":"text","inputs":"i1"},"seed":0}'
    insert("study", name="k", identity=identity, score_id="s1", dataset="text", created="t")
    insert("batch", study="k", batch=0, notes="{}")
    for number in range(3):
        key = key_of(number)
        choices = {"kind": "residual_mlp", "depth": 3, "width": 8, "placement": "pre", "norm": "layernorm"}
        insert("architecture", key=key, spec="{}", activation="relu", branch="two_matrix", **choices)
        empty = dict.fromkeys(("choices", "distributions", "system_attrs", "constraints"), "{}")
        trial = {"study": "k", "number": number, "batch": 0, "asked": number, "state": "complete", "score_id": "s1"}
        insert("trial", architecture_key=key, kept_key=key, objectives='{"trainability_cost":1.0}', **empty, **trial)
        measured = {"score": "apjn", "score_id": "s1", "status": "ok", "draws": 16, "seconds": 1.0, "created": "t"}
        cost = {"trainability_cost": number + 0.5, "trainability_cost_se": 0.25}
        insert("measurement", architecture_key=key, profile="{}", **measured, **cost)
        training = {"trainer": "adamw", "trainer_id": "t1", "seed": 0, "learning_rate": 0.1, "status": "ok", "created": "t"}
        for dataset, accuracy in (("text", 1 - number / 8), ("digits", 0.25)):
            insert("validation", architecture_key=key, dataset=dataset, accuracy=accuracy, loss=0.5, **training)
        insert("validation_pick", study="k", architecture_key=key, role="front")
    unmeasured = {"state": "failed", "reason": "out_of_memory: there is no memory for it, even alone"}
    insert(
        "trial", **{**trial, **empty, **unmeasured, "number": 3, "asked": 3}, architecture_key=key_of(2), objectives="{}"
    )
    connection.execute("UPDATE study SET recommended_key = ?, recommended_reason = 'the knee'", [key_of(0)])


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_database_of_any_earlier_version_opens_with_what_it_held(tmp_path: Path, version: int) -> None:
    """Nothing is lost; that it is not known on which data the architectures were trained is marked."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection, MIGRATIONS[:version])
    assert _ask(connection, "PRAGMA user_version") == [(version,)]
    fill_old(connection)
    before = {row: accuracy for *row, accuracy in _ask(connection, VALIDATED) for row in [tuple(row)]}
    connection.close()
    with Store(tmp_path / "x.db") as store:
        assert store.select("SELECT count(*), min(run_id), min(timings) FROM run").rows == [(1, 1, '{"score":1.5}')]
        assert store.study("k").recommended_key == key_of(0) and store.study("k").dataset_digest is None
        assert [row.number for row in store.trials("k")] == [0, 1, 2, 3]
        assert [(row.status, row.is_lasting) for row in store.trials("k")] == [(None, True)] * 3 + [
            ("out_of_memory", False)
        ]
        costs = {key: item.terms["trainability_cost"].value for key, item in store.measurements(None, "s1").items()}
        assert costs == {key_of(number): number + 0.5 for number in range(3)}
        assert {tuple(row): accuracy for *row, accuracy in store.select(VALIDATED).rows} == before and len(before) == 6
        rows = store.validations()
        assert {row.dataset_digest for row in rows} == {None}
        assert [row.architecture_key for row in rows] == [key_of(number) for number in range(3) for _ in range(2)]
        assert {(row.run_id, row.fingerprint) for row in rows} == {(None, None)}
        assert store.select("SELECT DISTINCT run_id, fingerprint, pattern_of FROM measurement").rows == [(None,) * 3]
        assert store.validations(dataset_digest="d1") == [] and store.validated_on("k") is None
        assert store.picks("k") == [(key_of(number), "front") for number in range(3)]
        board = store.select("SELECT key, trainability_cost, validation_accuracy, validation_status FROM leaderboard").rows
        assert board == [(key_of(number), number + 0.5, None, "unknown") for number in range(3)]
        # the study goes on with data that are known from then on, and so are what it trains
        store.open_study("k", store.study("k").identity, "resume", "s1", "d1")
        store.record_validations(
            [validation(1, 0.1, 0, 0.75, dataset="text"), validation(1, 0.1, 0, 0.625, dataset="text")]
        )
        assert len(store.validations()) == 7, "the same training again replaces its row, not one of unknown data"
        shown = "SELECT validation_accuracy, validation_status FROM leaderboard ORDER BY number"
        assert store.select(shown).rows == [(None, "unknown"), (0.625, "ok"), (None, "unknown")]
    with Store(tmp_path / "x.db", read_only=True) as store:
        assert store.studies() == ["k"]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, (*MIGRATIONS, COLOUR, BROKEN))
    assert _ask(connection, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert not _ask(connection, "SELECT name FROM sqlite_master WHERE name = 'half'")
    assert "colour" not in [row[1] for row in _ask(connection, "PRAGMA table_info(architecture)")]
    connection.close()


def test_many_processes_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(6) as pool:
        names = list(pool.map(_open, [(tmp_path / f"{number // 6}.db", number) for number in range(30)]))
    assert sorted(names) == sorted(f"study {number}" for number in range(30))


def test_the_schema_has_every_term_and_a_meaning_for_every_column() -> None:
    there = column_names()
    for table in ("measurement", "leaderboard"):
        wanted = [name for term in TERMS for name in (term, f"{term}_se")]
        assert [name for name in there[table] if name in wanted] == wanted
    assert all(column.meaning for relation in relations() for column in relation.columns)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM trial",
        "UPDATE trial SET batch = 9",
        "INSERT INTO study (name) VALUES ('x')",
        "WITH x AS (SELECT 1) DELETE FROM trial",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "DROP VIEW leaderboard",
        "PRAGMA user_version = 7",
        "PRAGMA user_version",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "SELECT load_extension('x')",
        "",
        "-- nothing",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_asking_never_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, read_only: bool) -> None:
    monkeypatch.chdir(tmp_path)
    filled(Path("x.db")).close()
    before = Path("x.db").read_bytes()
    with Store("x.db", read_only) as store:
        with pytest.raises(ValueError, match="`sql` must be one SELECT that only reads, got"):
            store.select(sql)
        assert store.select("SELECT count(*), max(batch) FROM trial").rows == [(8, 1)]
    assert Path("x.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.db"}


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT 1; DELETE FROM trial", "`sql` must be one statement"),
        ("SELECT depht FROM architecture", r"name a column .*, got 'depht'; did you mean depth\?"),
        ("SELECT l.trainabilty_cost FROM leaderboard AS l", r"did you mean trainability_cost\?"),
        ("SELECT * FROM leaderbord", r"name a table .*validation.*, got 'leaderbord'; did you mean leaderboard\?"),
        ("SELECT * FROM trial WHERE", "`sql` must be SQL that SQLite can run, got .*: incomplete input"),
        ("SELEC 1", "`sql` must be SQL that SQLite can run, got 'SELEC 1': near"),
        ("SELECT :x", "`sql` must be SQL that SQLite can run, got 'SELECT :x': .*:x"),
    ],
)
def test_a_wrong_question_is_answered_by_one_sentence(tmp_path: Path, sql: str, sentence: str) -> None:
    with filled(tmp_path / "x.db") as store, pytest.raises(ValueError, match=sentence) as error:
        store.select(sql)
    assert "\n" not in str(error.value)


def _open(place: tuple[Path, int]) -> str:
    path, number = place
    with Store(path) as store:
        return store.open_study(f"study {number}", {}, "error", "s1")


def _set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def _ask(connection: sqlite3.Connection, sql: str) -> list[Any]:
    return connection.execute(sql).fetchall()
