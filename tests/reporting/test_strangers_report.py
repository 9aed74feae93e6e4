"""A report of a study whose names and reasons a stranger chose: text stays text, in the page, the table and the figures."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import csv_of
from nasjac.searching.report import LONGEST_STUDY, Report, folder_name, report
from nasjac.store import Store
from nasjac.store.rows import RunRow, TrialRow
from tests.reporting.test_report import SCORE, make

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;<a href='http://x'>"
FORMULA = "=cmd|' /C calc'!A0"
MATH = r"$\frac{$ $\input{x}$"


def told(folder: Path, study: str, word: str) -> Report:
    """The report of a study that says `word` wherever a stranger may say something."""
    with Store(folder / "theirs.db") as store:
        made = [(replace(row, activation=word, branch=word), found) for row, found in make(12)]
        store.open_study(study, {"space": word, "dataset": word, word: [word]}, "error", SCORE, word)
        run = store.begin_run(RunRow(word, study, versions={word: word}, command=word, device=word, fingerprint=word))
        trials = [TrialRow(study, n, 0, "complete", n, row.key, row.key) for n, (row, _) in enumerate(made)]
        trials.append(TrialRow(study, len(made), 0, "infeasible", len(made), reason=word))
        rows, found = [row for row, _ in made], [one for _, one in made]
        store.record_batch(study, 0, trials, rows, found, "apjn", SCORE, {})
        store.finish_run(run, word, {word: 1.0}, {word: word})
        store.recommend(study, made[3][0].key, word)
        return report(store, study, folder / "reports", resamples=0)


class Elements(HTMLParser):
    """The elements of a page, with what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names, self.attributes, self.words = set[str](), list[tuple[str, str | None]](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.names.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words += data


def test_a_page_runs_nothing_and_loads_nothing(tmp_path: Path) -> None:
    made = told(tmp_path, SCRIPT, SCRIPT)
    page = made.files["report.html"].read_text(encoding="utf-8")
    found = Elements(page)
    assert not found.names & {"script", "iframe", "link", "object", "embed", "form", "a", "base", "svg"}
    assert all(value.startswith("data:image/png;base64,") for name, value in found.attributes if name == "src" and value)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("href", "style", "srcdoc")]
    assert not re.search(r"@import|url\(", page)
    assert found.words.count(SCRIPT) >= 8, "and what was said is there to be read: title, reasons, command, run, identity"
    assert made.folder.parent == tmp_path / "reports", "a name is one folder, however many slashes it has"


def test_no_cell_of_the_leaderboard_is_a_formula(tmp_path: Path) -> None:
    made = told(tmp_path, FORMULA, FORMULA)
    with made.files["leaderboard.csv"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["study"] for row in rows} == {row["activation"] for row in rows} == {f"'{FORMULA}"}
    numbers = [value for row in rows for value in row.values() if value[:1] == "-"]
    assert numbers and all(float(value) < 0 for value in numbers), "negative numbers stay numbers"
    assert not [value for row in rows for value in (*row, *row.values()) if value[:1] in ("=", "+", "@", "\t", "\r")]
    assert json.loads(made.files["summary.json"].read_text())["study"] == FORMULA


def test_formulas_of_tex_are_letters(tmp_path: Path) -> None:
    assert told(tmp_path, MATH, MATH).files["profiles.png"].stat().st_size > 1000


@pytest.mark.parametrize("value", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_text_is_marked_as_text_in_every_table(value: str) -> None:
    rows: list[Mapping[str, object]] = [{value: -1.5, "b": value}, {value: None, "b": -2}]
    found = list(csv.reader(csv_of(rows).decode().splitlines(keepends=True)))
    if "\r" not in value:
        assert found == [[f"'{value}", "b"], ["-1.5", f"'{value}"], ["", "-2"]]
    assert csv_of(rows).decode().count(f"'{value}") == 2
    assert csv_of([]) == b""


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    assert folder_name("n" * LONGEST_STUDY) == "n" * LONGEST_STUDY
    for name, words in (("n" * 300, "got 300: 'nnn"), ("é" * 40, "got 240: 'ééé"), ("..", "got '..'")):
        with pytest.raises(InputError, match=words):
            folder_name(name)
