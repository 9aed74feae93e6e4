"""nasjac show: everything the database knows of an architecture, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasjac.architecture.measurement import TERMS, Layer
from nasjac.cli.show import as_text, main
from nasjac.store import Store
from nasjac.store.known import known_of
from tests.store.rows import architecture, filled, key_of, measurement, trial, validation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The study of `store_rows`, in which architecture 5 was also kept, validated and recommended."""
    profile = tuple(Layer(f"h_{number}", "forward", None, number / 4, 0.5) for number in range(64))
    with filled(tmp_path / "x.db") as store:
        ensemble = trial(8, batch=2, kept_key=key_of(5))
        store.record_batch("k", 2, [ensemble], [architecture(8)], [measurement(8)], "apjn", "s1", {})
        store.record_scored([], [measurement(5, profile=profile)], "other", "s2")
        store.record_validations([validation(5, 0.1, 0, 0.875), validation(5, 0.1, 1, None, reason="loss at step 3")])
        store.record_picks("k", [(key_of(5), "front")])
        store.recommend("k", key_of(5), "the knee of the front")
    return tmp_path / "x.db"


def test_all_that_is_known(path: Path) -> None:
    with Store(path, read_only=True) as store:
        known = known_of(store, key_of(5))
    assert known.key == key_of(5) and known.spec == architecture(5).spec
    assert known.columns["params"] == 105 and "spec" not in known.columns
    assert [(row["number"], row["kept_key"]) for row in known.trials] == [(5, key_of(5)), (8, key_of(5))]
    assert known.trials[0]["objectives"] == {"trainability_cost": 5.125}
    assert {row["score_id"] for row in known.measurements} == {"s1", "s2"}
    for row in known.measurements:
        assert row["terms"] == {term: {"value": 5.125, "standard_error": 0.25} for term in TERMS}
    assert [(row["seed"], row["accuracy"], row["reason"]) for row in known.validations] == [
        (0, 0.875, None),
        (1, None, "loss at step 3"),
    ]
    assert known.recommended == [{"study": "k", "why": "the knee of the front"}]
    assert known.picks == [{"study": "k", "role": "front"}]


def test_json_is_what_is_known(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["000000000005", "--database", str(path), "--format", "json"]) == 0
    with Store(path, read_only=True) as store:
        assert json.loads(capsys.readouterr().out) == vars(known_of(store, key_of(5)))


def test_text_is_short_and_says_it_all(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["000000000005", "--database", str(path)]) == 0
    text = capsys.readouterr().out
    for part in (
        f"architecture {key_of(5)}",
        "recommended by study k: the knee of the front",
        "2 x block {}",
        '1 x block {"scale": 0.5}',
        "k trial 5 complete: trainability_cost 5.125\n",
        f"k trial 8 complete: trainability_cost 8.125, kept {key_of(5)}\n",
        "measurement apjn s1: ok, 16 draws",
        f"{'trainability_cost':{max(map(len, TERMS))}}  5.125 ± 0.25",
        "h_0  0 ± 0.5",
        "h_63  15.75 ± 0.5",
        "chosen as front of k",
        "loss at step 3",
    ):
        assert part in text
    assert len(text.splitlines()) < 90
    assert sum(line.strip().startswith("h_") for line in text.splitlines()) == 3 + 9


def test_little_may_be_known(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.record_scored([architecture(1, spec={"width": 8, "blocks": []}, skip_density=None)], [], "apjn", "s1")
        text = as_text(known_of(store, store.resolve_key("0")))
    assert "skip_density               -" in text and "trials: 0" in text and "validations: 0" in text


def test_a_start_of_the_key_is_enough_if_it_is_one_keys(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"9 keys start with it: 000000000000, 000000000001, .*, \.\.\."):
        main(["0000", "--database", str(path)])
    with pytest.raises(ValueError, match="got 'abc': no key starts with it"):
        main(["abc", "--database", str(path)])
    with pytest.raises(ValueError, match="`database` must be a file that exists"):
        main(["abc", "--database", str(path.parent / "no.db")])
    with pytest.raises(ValueError, match="got 'study=k'; for a study: nasjac query study=k"):
        main(["study=k"])
    for words in ([], ["--database=--"], ["a", "--format=--"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2


def test_words_of_the_other_verbs_are_taken(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["000000000005", f"database={path}", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == key_of(5)
