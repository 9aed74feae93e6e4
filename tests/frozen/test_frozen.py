"""What is frozen (`tests/frozen`) is still so: keys, JSON and facts exactly, measured terms, an old study that goes on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nasjac import Spec
from nasjac.cli import main
from nasjac.foundation.fingerprint import fingerprint
from tests.frozen import behaviour, study
from tests.frozen.behaviour import differences
from tests.frozen.files import NEXT, SPECS, STUDY, TERMS, read_lines
from tests.frozen.specs import MEASURED

#: numbers are equal to the last bit on the machine that froze them; elsewhere to this
CLOSED_FORMS, SAMPLED = 1e-11, 1e-9


def tolerance(head: dict[str, Any], elsewhere: float) -> float:
    return 0.0 if head["fingerprint"] == fingerprint() else elsewhere


def test_keys_json_facts_closed_forms_and_parameters_are_the_frozen_ones() -> None:
    head, *rows = read_lines(SPECS)
    now = behaviour.of_specs([Spec.from_json(row["json"]) for row in rows])
    assert len(rows) == 600
    assert differences(rows, now, tolerance(head, CLOSED_FORMS)) == []


@pytest.mark.parametrize("kind", MEASURED)
def test_sampled_terms_are_the_frozen_ones(kind: str) -> None:
    head, *rows = read_lines(TERMS)
    specs = [Spec.from_json(row["json"]) for row in read_lines(SPECS)[1:]]
    of_kind = [row for row in rows if specs[row["number"]].kind == kind]
    old = [{name: value for name, value in row.items() if name != "number"} for row in of_kind]
    assert len(old) == MEASURED[kind]
    assert differences(old, behaviour.of_terms([specs[row["number"]] for row in of_kind]), tolerance(head, SAMPLED)) == []


def test_the_frozen_study_opens_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / study.DATABASE).write_bytes(gzip.decompress(STUDY.read_bytes()))
    old = study.trials(tmp_path)
    assert len(old) == study.TRIALS
    database = f"{tmp_path / study.DATABASE}"
    assert main(["query", "--database", database, "--study", study.STUDY, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["show", rows[0]["key"], "--database", database, "--format", "json"]) == 0
    assert study.searched(tmp_path, study.TRIALS + study.MORE) == 0
    now = study.trials(tmp_path)
    assert now[: study.TRIALS] == old
    assert len(now) == study.TRIALS + study.MORE
    head, *following = read_lines(NEXT)
    if head["fingerprint"] == fingerprint():  # elsewhere merits that differ by rounding may lead the sampler elsewhere
        assert now[study.TRIALS :] == following


def test_a_difference_is_found() -> None:
    """A comparison that finds nothing would hold everything."""
    old = {"key": "a", "terms": {"merit": [1.0, 0.1]}, "profile": [["h_0", None]]}
    assert differences(old, old, 0.0) == []
    assert differences(old, {**old, "terms": {"merit": [1.0 + 1e-15, 0.1]}}, 0.0) != []
    assert differences(old, {**old, "terms": {"merit": [1.0 + 1e-15, 0.1]}}, 1e-9) == []
    assert differences(old, {**old, "terms": {"merit": [1.0 + 1e-8, 0.1]}}, 1e-9) != []
    assert differences(old, {**old, "terms": {}}, 1e-9) != []
    assert differences(old, {**old, "profile": [["h_0", 0.0]]}, 1e-9) != []
    assert differences(old, {**old, "key": "b"}, 1e-9) != []
    assert differences(1, 1.0, 1e-9) != []
