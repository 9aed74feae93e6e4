"""Databases that a stranger, a broken disk or another program may have left: one of a small study, changed in one way."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.store.rows import filled, key_of, validation

#: columns that hold numbers, text and JSON
NUMBERS = (
    *("trial.number", "trial.batch", "trial.asked", "architecture.depth", "architecture.width", "architecture.params"),
    *("architecture.skip_density", "measurement.draws", "measurement.seconds", "measurement.trainability_cost"),
    *("measurement.log_mean_se", "measurement.raced", "measurement.precision_reached", "validation.accuracy"),
    *("validation.seed", "validation.learning_rate", "batch.batch", "run.run_id", "architecture.nonlinear_effective_depth"),
)
TEXTS = (
    *("trial.state", "trial.architecture_key", "trial.kept_key", "trial.score_id", "trial.reason", "architecture.key"),
    *("architecture.kind", "architecture.placement", "measurement.status", "measurement.score_id", "study.name"),
    *("study.score_id", "study.dataset", "study.recommended_key", "validation.status", "validation.trainer_id"),
    *("validation_pick.role", "validation_pick.architecture_key", "measurement.fingerprint", "measurement.created"),
    *("study.dataset_digest", "validation.dataset_digest", "run.verb", "run.started", "measurement.pattern_of"),
)
JSONS = (
    *("trial.objectives", "trial.constraints", "trial.choices", "trial.distributions", "trial.system_attrs"),
    *("architecture.spec", "measurement.profile", "study.identity", "batch.notes", "run.config", "run.versions"),
    *("run.timings", "run.notes"),
)
TABLES = ("run", "study", "architecture", "trial", "batch", "measurement", "validation", "validation_pick")

MALFORMED = (
    "",
    "{",
    "nothing",
    "{'a': 1}",
    '{"a": 1} x',
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    "\ufeff{}",
    "{]",
)
OTHER_JSON = (
    *(
        "[]",
        "1",
        '"text"',
        "null",
        "true",
        "{}",
        '{"a": null}',
        '{"a": []}',
        '{"a": "b"}',
        '{"blocks": 3}',
        '{"blocks": [3]}',
    ),
    *(
        '{"width": "8", "blocks": []}',
        '{"width": -8, "blocks": [{"skip": "no"}]}',
        '{"blocks": [{"skip": [1]}], "width": 8}',
    ),
    *('{"step": "x", "width": 8, "blocks": [{}]}', '{"step": 0.5, "width": 8, "blocks": [{"keep": {}}]}'),
    *('{"trainability_cost": "cheap"}', '{"trainability_cost": null}', '{"trainability_cost": {}}', '{"other": 1.5}'),
    *('{"depth": "{}"}', '{"depth": "nothing"}', '{"choices": 1}', '{"choices": {}}', '{"dataset": [], "score": 3}'),
    *('{"name": ["h"], "direction": ["up"]}', '{"name": ["h"]}', '{"name": "h", "direction": 1}', '{"score": "s"}'),
    *('{"search": {"objectives": ["nothing"]}}', '{"search": 1}', '{"\\u0000": {"_target_": "os.system"}}'),
)

Change = Callable[[random.Random, Path], None]


def crafted(rng: random.Random, folder: Path, base: Path | None = None) -> Path:
    """A database in `folder`, a copy of `base` or that of `studied`, changed in one way that `rng` draws.

    The change is the same for the same state of `rng` and the same database.
    """
    path = folder / "nasjac.db"
    if base is None:
        studied(path)
    else:
        shutil.copy(base, path)
    rng.choice(CHANGES)(rng, path)
    return path


def studied(path: Path) -> Path:
    """A finished study `k` of eight trials, with a run, trainings, picks and a recommendation."""
    from nasjac.store.rows import RunRow

    with filled(path) as store:
        number = store.begin_run(RunRow("search", "k", {"choices": {"space": "residual_mlp"}, "seed": 0}, {"nasjac": "0"}))
        store.record_validations([validation(number, 0.1, seed, 0.5) for number in range(4) for seed in range(2)])
        store.record_picks("k", [(key_of(0), "front"), (key_of(1), "front"), (key_of(2), "random"), (key_of(3), "matched")])
        store.recommend("k", key_of(0), "the knee")
        store.finish_run(number, "finished", {"total": 1.5}, {})
    return path


def _bytes_flipped(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 4, 16, 256, 4096))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _page_overwritten(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = 4096 * rng.randrange(len(content) // 4096)
    low = 100 if start == 0 else 0
    content[start + low : start + 4096] = rng.choice((bytes(4096 - low), rng.randbytes(4096 - low), b"\xff" * (4096 - low)))
    path.write_bytes(content)


def _truncated(rng: random.Random, path: Path) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _header_only(rng: random.Random, path: Path) -> None:
    os.truncate(path, rng.choice((16, 100, 512, 4096)))


def _emptied(_: random.Random, path: Path) -> None:
    os.truncate(path, 0)


def _noise(rng: random.Random, path: Path) -> None:
    path.write_bytes(rng.choice((b"", b"SQLite format 3\0")) + rng.randbytes(rng.choice((10, 5000, 20000))))


def _log_of_noise(rng: random.Random, path: Path) -> None:
    path.with_name(path.name + rng.choice(("-wal", "-journal"))).write_bytes(rng.randbytes(rng.choice((10, 5000, 20000))))


def _no_file(rng: random.Random, path: Path) -> None:
    path.rename(path.with_name("moved.db"))
    make = rng.choice(("pipe", "folder", "loop", "device", "link", "dangling"))
    targets = {
        "loop": path,
        "device": Path("/dev/zero"),
        "link": path.with_name("moved.db"),
        "dangling": Path("nowhere.db"),
    }
    if make == "pipe":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(targets[make])


def _value(columns: tuple[str, ...], values: tuple[Any, ...]) -> Change:
    """Another value in a column, of one row or of all."""

    def change(rng: random.Random, path: Path) -> None:
        table, column = rng.choice(columns).split(".")
        where = rng.choice(("true", f"rowid = (SELECT max(rowid) FROM {table})"))
        _run(path, (f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (rng.choice(values),)))

    return change


def _text_that_is_none(rng: random.Random, path: Path) -> None:
    table, column = rng.choice(TEXTS + JSONS).split(".")
    value = rng.choice(("x'ff'", "x'7b22c3287d'", "x'eda080'"))
    _run(path, f"UPDATE OR IGNORE {table} SET {column} = CAST({value} AS TEXT)")


def _deep_json(rng: random.Random, path: Path) -> None:
    depth = rng.choice((150, 400, 5000, 200_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    text = opening * depth + "1" * (opening != "[") + closing * depth
    table, column = rng.choice(JSONS).split(".")
    _run(path, (f"UPDATE {table} SET {column} = ?", (rng.choice((text, f'{{"blocks":{text}}}', f'{{"a":{text}}}')),)))


def _table_dropped(rng: random.Random, path: Path) -> None:
    _run(path, f"DROP TABLE {rng.choice(TABLES)}")


def _rows_dropped(rng: random.Random, path: Path) -> None:
    _run(path, f"DELETE FROM {rng.choice(TABLES)}")


def _column_dropped(rng: random.Random, path: Path) -> None:
    table, column = rng.choice(("run.device", "run.notes", "measurement.seconds", "batch.notes", "validation.loss")).split(
        "."
    )
    _run(path, "DROP VIEW leaderboard", f"ALTER TABLE {table} RENAME COLUMN {column} TO {rng.choice(('gone', 'x'))}")


def _other_columns(rng: random.Random, path: Path) -> None:
    table = rng.choice(TABLES)
    new = rng.choice(("(x)", "(name, key, study, number)", "(a, b AS (randomblob(100000000)))"))
    _run(path, "DROP VIEW leaderboard", f"DROP TABLE {table}", f"CREATE TABLE {table} {new}")


def _view_replaced(rng: random.Random, path: Path) -> None:
    endless = "WITH RECURSIVE r(study) AS (SELECT 'k' UNION ALL SELECT study FROM r) SELECT study, 1 AS key FROM r"
    bodies = (
        *("SELECT 1", "SELECT * FROM nowhere", "SELECT * FROM leaderboard", "SELECT randomblob(1000000000) AS key"),
        *(endless, "SELECT *, load_extension('evil') AS key FROM study", "SELECT readfile('/etc/passwd') AS key"),
    )
    _run(path, "DROP VIEW leaderboard", f"CREATE VIEW leaderboard AS {rng.choice(bodies)}")


def _relation_of_another_kind(rng: random.Random, path: Path) -> None:
    made = rng.choice(
        (
            *("CREATE TABLE leaderboard (study, number, key)", "CREATE TABLE leaderboard AS SELECT * FROM old", "SELECT 1"),
            "CREATE VIRTUAL TABLE leaderboard USING fts5(study, key)",
        )
    )
    _run(path, "CREATE TABLE old AS SELECT * FROM leaderboard", "DROP VIEW leaderboard", made)
    if rng.random() < 0.5:
        table = rng.choice(TABLES)
        endless = (
            "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x AS name, x AS key, x AS study FROM r"
        )
        _run(path, f"DROP TABLE {table}", f"CREATE VIEW {table} AS {endless}")


def _trigger(rng: random.Random, path: Path) -> None:
    event, table = rng.choice(("INSERT ON run", "UPDATE ON run", "INSERT ON validation_pick", "UPDATE ON study")), "study"
    body = rng.choice((f"DELETE FROM {table}", "UPDATE trial SET state = 'complete'", "SELECT load_extension('evil')"))
    _run(path, f"CREATE TRIGGER evil AFTER {event} BEGIN {body}; END")


def _of_others(rng: random.Random, path: Path) -> None:
    _run(path, rng.choice((f"PRAGMA application_id = {rng.randrange(2**31)}", "PRAGMA application_id = 0")))


def _of_another_version(rng: random.Random, path: Path) -> None:
    _run(path, f"PRAGMA user_version = {rng.choice((0, 1, 3, 5, 7, 9, 99, -1, 2**31 - 1))}")


def _schema_text(rng: random.Random, path: Path) -> None:
    text = rng.choice(("CREATE TABLE", "", "SELECT 1", "CREATE TABLE trial (x, y, z)", "CREATE VIEW trial AS SELECT 1"))
    name = rng.choice((*TABLES, "leaderboard"))
    _run(path, "PRAGMA writable_schema = ON", ("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, name)))


def _page_numbers(rng: random.Random, path: Path) -> None:
    name, page = rng.choice(TABLES), rng.choice((0, 1, 2, 5, 999999, -1))
    _run(path, "PRAGMA writable_schema = ON", ("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (page, name)))


CHANGES: tuple[Change, ...] = (
    *(_bytes_flipped, _page_overwritten, _truncated, _header_only, _emptied, _noise, _log_of_noise, _no_file),
    _value(NUMBERS, ("text", "", "nan", b"\x00\x01", "9" * 40)),
    _value(NUMBERS, (2**63 - 1, -(2**63), 2**53, -1, 0, 1e308, float("inf"), 1.5, -1e-300)),
    _value(TEXTS, (b"\xff\x00", b"k", 5, 2.5, -1)),
    _value(TEXTS, ("", "\x00", "k\x00evil", "../../evil", "x" * 300, "\n\x1b[2J", "=1+1", "evil:Space", "\u202e")),
    _value(NUMBERS + TEXTS + JSONS, (None,)),
    _value(JSONS, MALFORMED),
    _value(JSONS, OTHER_JSON),
    _value(JSONS, OTHER_JSON),
    _value(JSONS, ('{"a": ' + "9" * 5000 + "}", '{"a": ' + "9" * 22 + "}", b"{}", b"\xff", 1, 1.5, "x" * 100_000)),
    *(_text_that_is_none, _deep_json, _table_dropped, _rows_dropped, _column_dropped, _other_columns, _view_replaced),
    *(_relation_of_another_kind, _trigger, _of_others, _of_another_version, _schema_text, _page_numbers),
)  # fmt: skip


def _run(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    """Without regard to types and keys. What SQLite refuses (a view that names what is gone) stays undone."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        for statement in statements:
            sql, values = statement if isinstance(statement, tuple) else (statement, ())
            connection.execute(sql, values)
    except sqlite3.Error:
        pass
    finally:
        connection.close()
