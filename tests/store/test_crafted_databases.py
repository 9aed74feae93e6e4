"""What a database from a stranger may hold: nothing that ends in a traceback, runs for ever or is taken for ours."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.cli import query, show
from nasjac.foundation.errors import InputError
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.store.genuine import check_schema
from nasjac.store.schema import MIGRATIONS, migrate
from tests.crafted.databases import crafted, studied
from tests.crafted.fuzzing import run_forked
from tests.store.rows import architecture, filled, key_of, record

Asked = Callable[[Store], Any]

READING: tuple[Asked, ...] = (
    Store.studies,
    lambda store: store.study("k"),
    lambda store: store.trials("k"),
    lambda store: store.notes("k", 9),
    Store.architectures,
    lambda store: store.measurements(None, "s1"),
    Store.validations,
    lambda store: store.picks("k"),
    lambda store: store.validated_on("k"),
    lambda store: store.rows("run", "SELECT run_id, config FROM run"),
    lambda store: store.resolve_key("000000000005"),
    lambda store: store.stored_key(key_of(5)),
    lambda store: store.frame("leaderboard"),
    lambda store: store.rows("leaderboard", "SELECT * FROM leaderboard"),
)
WRITING: tuple[Asked, ...] = (
    lambda store: record(store, "k", 2, range(20, 22)),
    lambda store: store.recommend("k", key_of(5), "why"),
    lambda store: store.record_picks("k", [(key_of(5), "front")]),
    lambda store: store.open_study("l", {}, "new", "s1"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return studied(tmp_path_factory.mktemp("base") / "nasjac.db")


@pytest.fixture
def path(base: Path, tmp_path: Path) -> Path:
    """A copy of a study to change."""
    shutil.copy(base, tmp_path / "x.db")
    return tmp_path / "x.db"


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for sql in statements:
        connection.execute(sql)
    connection.close()


def answers(path: Path) -> Iterator[None]:
    """Ask everything of it; nothing but an InputError or an OSError may come out."""
    for argv in (["--format", "json"], ["SELECT * FROM trial", "--format", "csv"]):
        yield from allowed(lambda argv=argv: query.main([*argv, "--database", str(path)]))  # type: ignore[misc]
    for key in (key_of(0), key_of(5)):
        yield from allowed(lambda key=key: show.main([key, "--database", str(path)]))  # type: ignore[misc]
    for read_only, asked in ((True, READING), (False, (*READING, *WRITING))):
        try:
            store = Store(path, read_only)
        except (InputError, OSError):
            continue
        for ask in asked:
            yield from allowed(lambda ask=ask, store=store: ask(store))  # type: ignore[misc]
        yield from allowed(store.close)


def allowed(call: Callable[[], Any]) -> Iterator[None]:
    try:
        call()
    except (InputError, OSError) as error:
        assert "\n" not in str(error).replace("\\n", ""), "one sentence"
    yield


@pytest.mark.parametrize("seed", range(40))
def test_whatever_it_holds_is_answered_or_refused(base: Path, tmp_path: Path, seed: int) -> None:
    assert len(list(answers(crafted(random.Random(seed), tmp_path, base)))) >= 4


@pytest.mark.parametrize(
    ("sql", "ask", "sentence"),
    [
        (
            "UPDATE trial SET batch = 'x' WHERE number = 3",
            2,
            r"trial\.batch .* got 'x' in .*\(study 'k', number 3\)",
        ),
        ('UPDATE trial SET objectives = \'{"a": "b"}\'', 2, r"trial\.objectives\['a'\] .* got '{\"a\": \"b\"}' in"),
        ("UPDATE trial SET state = 'done'", 2, r"trial\.state .* got 'done' .*'complete'"),
        ("UPDATE trial SET distributions = '{'", 2, r"trial\.distributions .* got '{' .*JSON"),
        ("UPDATE architecture SET width = -1", 4, r"architecture\.width .* got -1 .*\(key '000000000000'\)"),
        ("UPDATE architecture SET spec = '[]'", 4, r"architecture\.spec .* got '\[\]'"),
        ("UPDATE measurement SET log_mean = 9e999", 5, r"measurement\.log_mean .* got inf .*finite"),
        ('UPDATE measurement SET profile = \'{"name": ["h"]}\'', 5, r"measurement\.profile .* of one length"),
        ("UPDATE measurement SET raced = 2", 5, r"measurement\.raced .* got 2"),
        ("UPDATE study SET identity = '1'", 1, r"study\.identity .* got '1' .*\(name 'k'\)"),
        ("UPDATE study SET dataset = x'00'", 1, r"study\.dataset .* got b'\\x00'"),
        ("UPDATE batch SET notes = '" + "[" * 500 + "'", 3, r"batch\.notes .* got '\[+\.\.\. in"),
        ("UPDATE validation SET seed = seed + 0.5", 6, r"validation\.seed .* got 0\.5"),
        ("UPDATE trial SET reason = CAST(x'ff' AS TEXT)", 2, "that SQLite can use, got .*UTF-8"),
        ("UPDATE run SET config = '3'", 9, r"run\.config .* got '3' .*\(run_id 1\)"),
        ("UPDATE measurement SET merit = 'high'", 13, r"leaderboard\.merit .* got 'high'"),
    ],
)
def test_a_row_of_other_types_is_named(path: Path, sql: str, ask: int, sentence: str) -> None:
    change(path, sql)
    with Store(path, read_only=True) as store, pytest.raises(InputError, match=sentence):
        READING[ask](store)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["DROP VIEW leaderboard"], "which has no view leaderboard"),
        (
            ["DROP VIEW leaderboard", "CREATE VIEW leaderboard AS SELECT 1 AS study"],
            "whose view leaderboard is another one",
        ),
        (["DROP VIEW leaderboard", "CREATE TABLE leaderboard (study)"], "where leaderboard is a table"),
        (["DROP TABLE batch", "CREATE VIRTUAL TABLE batch USING fts5(study)"], "where batch is a virtual table"),
        (["ALTER TABLE trial ADD COLUMN more"], r"whose table trial has other columns \(more\)"),
        (["ALTER TABLE run RENAME COLUMN notes TO x"], r"has other columns \(notes, x\)"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_tables_and_views_of_others_are_refused(
    path: Path, changes: list[str], sentence: str, read_only: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    change(path, *changes)
    with pytest.raises(InputError, match=f"that nasjac makes, got .*{sentence}.*--trust"):
        Store(path, read_only)
    if read_only:
        assert show.main([key_of(5), "--database", str(path), "--trust"]) in (0, 2)
    assert Store(path, read_only, trust=True).close() is None


def test_what_is_a_users_own_is_allowed(path: Path) -> None:
    change(
        path,
        *(
            "CREATE TABLE mine (x)",
            "CREATE VIEW best AS SELECT * FROM leaderboard LIMIT 1",
            "CREATE INDEX deep ON trial (batch)",
        ),
        "CREATE TRIGGER own AFTER INSERT ON mine BEGIN DELETE FROM mine; END",
    )
    with Store(path) as store:
        record(store, "k", 2, range(8, 10))
        assert store.select("SELECT count(*) FROM best").rows == [(1,)]


def test_nothing_is_triggered_by_what_is_written(path: Path) -> None:
    change(path, "CREATE TRIGGER evil AFTER UPDATE ON study BEGIN DELETE FROM trial; END")
    with Store(path, read_only=True) as store:
        assert len(store.trials("k")) == 8
    with pytest.raises(InputError, match=r"to be written, got .* which has the trigger 'evil' on study"):
        Store(path)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_databases_of_every_version_are_our_own_whatever_their_spaces_and_comments(tmp_path: Path, version: int) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    scripts = [script.replace(" -- one row per study and", " /* of old */ -- a row a study and") for script in MIGRATIONS]
    migrate(connection, [script.replace("LEFT JOIN", "LEFT\n\t JOIN") for script in scripts[:version]])
    check_schema(connection, tmp_path / "x.db", read_only=False, trust=False)
    connection.execute("DROP VIEW leaderboard")
    connection.execute("CREATE VIEW leaderboard AS SELECT '--\n' AS study")
    with pytest.raises(InputError, match="another one"):
        check_schema(connection, tmp_path / "x.db", read_only=False, trust=False)
    connection.close()


def test_a_spec_that_is_none_or_under_another_key_is_named(tmp_path: Path) -> None:
    spec = Spec.of(width=8, blocks=(Block(scale=0.5), Block()), placement="pre")
    row = architecture(1, key=spec.key, spec=spec.canonical.content)
    assert stored_spec(row) == spec.canonical
    with pytest.raises(InputError, match=f"each Spec under its own key, got one of key {spec.key} under '{key_of(1)}'"):
        stored_spec(architecture(1, spec=spec.canonical.content))
    with pytest.raises(InputError, match=f"a Spec under every key, got another thing under '{key_of(1)}': .*colour"):
        stored_spec(architecture(1, spec={"width": 8, "blocks": [], "colour": 1}))
    filled(tmp_path / "x.db").close()
    change(
        tmp_path / "x.db", """UPDATE architecture SET spec = '{"step": "x", "width": 8, "blocks": []}' WHERE rowid = 3"""
    )
    with Store(tmp_path / "x.db") as store, pytest.raises(InputError, match=f"under '{key_of(2)}'"):
        store.stored_key("f" * 12)


@pytest.mark.parametrize("value", [2**63, "\udc80"])
def test_values_that_sqlite_has_no_type_for(tmp_path: Path, value: Any) -> None:
    with filled(tmp_path / "x.db") as store, pytest.raises(InputError, match="`database` takes whole numbers of 64 bits"):
        store.record_scored([architecture(30, params=value)], [], "apjn", "s1")


def test_faults_of_ours_keep_their_kind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boundary is around SQLite, not around us."""

    def broken(*_: Any) -> None:
        raise TypeError("ours")

    monkeypatch.setattr("nasjac.store.tables.checked", broken)
    with Store(path, read_only=True) as store, pytest.raises(TypeError, match="ours"):
        store.trials("k")


def test_a_fault_in_our_sql_keeps_its_traceback(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the file to blame for a statement of ours that asks for what its tables never had."""
    with Store(path, read_only=True) as store:
        monkeypatch.setattr("nasjac.store.architectures.AMONG", "nonsense = 1")
        with pytest.raises(sqlite3.OperationalError, match="no such column: nonsense"):
            store.architectures()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.studies()


COMMANDS = (
    ["query", "--database", "x.db", "--format", "csv"],
    ["show", key_of(5), "--database", "x.db"],
    ["report", "study=k", "database=x.db", "quiet=true"],
    [
        "validate",
        "study=k",
        "database=x.db",
        "validation.top=1",
        "validation.random=0",
        "validation.matched=0",
        "quiet=true",
    ],
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_commands_answer_or_refuse_whatever_it_holds(base: Path, tmp_path: Path, part: int) -> None:
    faults = {}
    for seed in range(50 * part, 50 * part + 50):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = crafted(random.Random(seed), folder, base)
        for words in COMMANDS:
            outcome = run_forked([word.replace("x.db", path.name) for word in words], folder, 60.0)
            if outcome.fault is not None:
                faults[f"{seed}: {words}"] = f"{outcome.fault}: {outcome.err[-1500:]}"
    assert faults == {}
