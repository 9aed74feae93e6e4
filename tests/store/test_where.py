"""The text of --where is one expression, or refused: it cannot leave its place in the SELECT."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasjac.cli.query import main
from nasjac.foundation.errors import InputError
from tests.store.rows import filled, record

ATTACKS = (
    *("true) /*", "false) OR (true", "true) --", "1) UNION SELECT 1 --", "1); DROP TABLE trial", "1; --", "1;"),
    *("true) OR ('", "'", "'a''", "'a'') OR (true", '"', 'true) OR ("', '"a"") OR (true', "`", "`a``) OR (`1`", "["),
    *("[a) OR (b]c)", "[']) OR (true", "/*", "/* ) OR (true", "/*/ true", "/**/ true) OR (true", "true)/*'*/OR(true"),
    *("true -- ) \n) OR (true", "'\\') OR (true --'", "x'ab) OR (true", "(", ")", ")(", "true)\r\nOR (true"),
    *(":study IS NULL OR true", ":limit", "$a(')", '$a(") OR (true', '@a(")) OR (1', "#x", "?", "?1", ":a::b(') OR ("),
    *("SELECT true", "VALUES (true)", "WITH x AS (SELECT 1) SELECT 1", "true, true", "true LIMIT 100", "true ORDER BY 1"),
    *(
        "true GROUP BY number",
        "true AS x",
        "",
        " ",
        "-- ",
        "-- x",
        "true true",
        "OR true",
        "AND true",
        "“) OR (”1",
        "）OR（",
    ),
    *(
        "true\u2028) OR (true",
        "\ufefftrue) OR (true",
        "'\udcff'",
        "true\0",
        "placement = 'a\0'",
        "(" * 5000 + "1" + ")" * 5000,
    ),
)

EXPRESSIONS = {
    "number IN (1, 2) AND (depth > 0 OR (width = 1))": [1, 2],
    "placement = 'pre' -- odd ones, and a ) in a comment": [1, 3, 5, 7],
    "placement = 'pre' /* ) and ' and -- */ AND number > 5": [7],
    "placement <> ')'": [0, 1, 2, 3, 4, 5, 6, 7],
    "placement = 'pre' OR placement = '('": [1, 3, 5, 7],
    "placement || ')' = 'pre)' AND number < 2": [1],
    "placement = 'it''s (not' OR number = 3": [3],
    "\"number\" = 4 AND ')' = ')'": [4],
    "[number] = 5 OR `number` = 6": [5, 6],
    "number IN (SELECT number FROM trial WHERE number > 6)": [7],
    "EXISTS (SELECT 1) AND number = 0": [0],
    "CASE WHEN number = 2 THEN 1 ELSE 0 END": [2],
    "number BETWEEN 1 AND 2 OR NOT (number < 7)": [1, 2, 7],
    "json_extract('{\"a\": [1]}', '$.a[0]') = 1 AND number = 1": [1],
    "placement LIKE '%:$?@#;%' OR number = 6": [6],
    "number = 1\n  OR number = 3 -- the last line": [1, 3],
    "- number < -6": [7],
    "number / 2 * 2 = number AND number >= 1 - -3": [4, 6],
    "'ü)' = 'ü)' AND number = 5": [5],
    "x'29' = CAST(')' AS BLOB) AND number = 5": [5],
}


@pytest.fixture
def beside_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    filled(Path("nasjac.db")).close()


@pytest.mark.usefixtures("beside_a_database")
def test_no_attack_leaves_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ATTACKS:
        with pytest.raises(InputError, match=r"^`where` must ") as refused:
            main(["--study", "k", "--limit", "1", f"--where={text}"])
        assert len(str(refused.value)) < 2000
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("beside_a_database")
def test_expressions_mean_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    for text, numbers in EXPRESSIONS.items():
        main(["--columns", "number", "--format", "json", f"--where={text}"])
        assert [row["number"] for row in json.loads(capsys.readouterr().out)] == numbers, text


@pytest.mark.parametrize("text", ["number > 2 OR true", "true OR number = 0", "number = 1 OR number < 9 AND 1 OR 0"])
def test_an_or_stays_within_the_study_and_the_limit(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with filled(Path("nasjac.db")) as store:
        store.open_study("other", {"seed": 1, "dataset": "digits"}, "error", "s1", "d1")
        record(store, "other", 0, range(4))
    for limit, count in (("1", 1), ("99", 4)):
        asked = ["--study", "other", "--limit", limit, "--columns", "study", "--format", "json", "--where", text]
        main(asked)
        assert json.loads(capsys.readouterr().out) == [{"study": "other"}] * count
