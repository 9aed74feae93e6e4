"""What is refused at the door, before any work: counts, names, folders, words that Hydra cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.cli.sentence import quoted
from nasjac.foundation.arguments import number, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.places import check_folder
from nasjac.scores import sample_bank
from nasjac.scores.apjn import Apjn
from tests.cli.test_cli import Run, run  # noqa: F401

#: words of a search, and what its sentence says
COUNTS = [
    ("score.draws=1000000000", ["`score.draws`", "at most 65536"]),
    ("score.max_draws=1000000000", ["`score.max_draws`", "at most 65536"]),
    ("score.patterns=1000000000", ["`score.patterns`", "at most"]),
    ("score.images=1000000000", ["`score.images`", "at most"]),
    ("score.reference=1000000000", ["`score.reference`", "at most"]),
    ("score.decorrelation_draws=1000000000", ["`score.decorrelation_draws`", "at most"]),
    ("score.seed=-1", ["`score.seed`", "at least 0"]),
    ("score.seed=18446744073709551616", ["`score.seed`", "at most 4294967295"]),
    ("space.depth_max=1000000000", ["`space.depth_max`", "at most 65536"]),
    ("space.widths=[1000000000]", ["`space.widths`", "at most 65536"]),
    ("space.wiring_seeds=1000000000", ["`space.wiring_seeds`", "at most"]),
    ("space.weight_gain_max=nan", ["`space.weight_gain_max`", "nan"]),
    ("search.batch=1000000000", ["`search.batch`", "at most 16384"]),
    ("budget.trials=1000000000", ["`budget.trials`", "at most 1000000"]),
    ("budget.params=1000000000000000000000000000000", ["`budget.params`", "at most"]),
    ("budget.minutes=nan", ["`budget.minutes`", "nan"]),
    ("validation.top=1000000000", ["`validation.top`", "at most"]),
    ("validation.seed=18446744073709551616", ["`validation.seed`", "at most"]),
    ("trainer.steps=1000000000", ["`trainer.steps`", "at most"]),
    ("trainer.batch=1000000000", ["`trainer.batch`", "at most"]),
    ("trainer.seeds=[18446744073709551616]", ["`trainer.seeds`", "at most"]),
    ("sampler.population_size=nan", ["`sampler.population_size`", "int", "nan"]),
    ("sampler.population_size=1000000000", ["`sampler.population_size`", "1000000"]),
    (f"seed={'9' * 5000}", ["`seed`", "4000 digits", "5000"]),
    (f"space.widths={'[' * 400}", ["`space.widths`", "nested at most 50", "400"]),
    ("study=\0", ["null character"]),
    ("study=\udcff", ["UTF-8"]),
    (f"study={'a' * 300}", ["`study`", "at most 200 bytes", "300"]),
    (f'study="{"é" * 100}"', ["`study`", "at most 200 bytes", "600"]),
    ("study=' '", ["`study`"]),
    ("study=..", ["`study`"]),
    ("out=file/reports", ["`out`", "no folder"]),
    ("save=file", ["`save`", "no folder"]),
    (f"save={'a' * 300}", ["`save`", "255 bytes", "300"]),
    (f"out={'a' * 230}", ["`out`", "200 bytes", "230"]),
    ("dataset.path=a=b.txt", ["write 'dataset.path=\"a=b.txt\"'"]),
    ("space.widths=[8", ["`space.widths`", "bracket"]),
]


@pytest.mark.parametrize(("word", "parts"), COUNTS, ids=[word[:40].encode("ascii", "replace") for word, _ in COUNTS])
def test_a_search_is_refused_before_its_work(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    word: str,
    parts: list[str],
) -> None:
    monkeypatch.setattr("nasjac.searching.front.run_study", lambda *_: pytest.fail("the search began"))
    Path("file").write_text("")
    code, out, err = run("search", "quiet=true", word)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert [path.name for path in Path.cwd().iterdir() if path.name != "nasjac.db"] == ["file"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["theory", "weight_gian=1"], ["`weight_gian`", "did you mean weight_gain?"]),
        (["theory", "depth=a=b"], ["write 'depth=\"a=b\"'"]),
        (["theory", "depth=1000000000"], ["`depth`", "at most 65536"]),
        (["theory", "width=" + "9" * 30], ["`width`", "at most"]),
        (["theory", "it's"], ["architecture's key", "it's"]),
        (["theory", "placement=[pre]"], ["`placement`", "pre, post"]),
        (["theory", "block={a:1}"], ["`block`", "explicit"]),
        (["train", "ab", "out=file"], ["`out`", "no folder"]),
        (["train"], ["`key` must be given, as key=KEY"]),
        (["train", "ab"], ["`out` must be given, as out=DIR"]),
        (["report", "studi=mine"], ["`studi` must be an option of nasjac report", "did you mean study?"]),
        (["search", "budget.trial=4"], ["`budget.trial` must be", "max_flops", "did you mean budget.trials?"]),
        (["search", "trainer.stepz=4"], ["`trainer.stepz` must be", "did you mean trainer.steps?"]),
        (["search", "datset=digits"], ["`datset` must be", "did you mean dataset?"]),
        (["search", "sampler.foo=4"], ["`sampler.foo` must be", "population_size", "given by +sampler.foo=VALUE"]),
        (["search", "trainer.steps=ten"], ["`trainer.steps` must be a whole number, got 'ten'"]),
        (["search", "trainer.steps=null"], ["`trainer.steps` must have a value"]),
        (["search", "trainer.steps.x=3"], ["`trainer.steps` must be a whole number, which has no options"]),
        (["search", "trainer.seeds=[a]"], ["`trainer.seeds` must be made of whole numbers, got 'a'"]),
        (["search", "trainer.seeds=8"], ["`trainer.seeds` must be a list", "write 'trainer.seeds=[8]'"]),
        (["search", "score.rel_error=30%"], ["`score.rel_error` must be a number, got '30%' (write 0.3)"]),
        (["search", "quiet=ja"], ["`quiet` must be true or false, got 'ja'"]),
        (["search", "dataset=mnist"], ["`dataset` must be one of cifar10, ", "got 'mnist'"]),
        (["search", "trainer=sdg"], ["`trainer` must be one of adamw, sgd", "did you mean sgd?"]),
        (["search", "validation=4"], ["`validation` must be given by its options, such as validation.top=4"]),
        (["search", "seed=1,2"], ["`seed` must be one value", "got '1,2'", "-m"]),
        (["search", "++sampler.search_space={depth:[4"], ["`++sampler.search_space`", "whole option in single quotes"]),
        (["diagnose", "model=absent.py:make"], ["write it without .py, absent:make"]),
        (["search", "=5"], ["Config group override"]),
        (["search", "a b=3"], ["name=value", "a b=3"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_other_verbs_say_what_would_be_right(run: Run, words: list[str], parts: list[str]) -> None:  # noqa: F811
    Path("file").write_text("")
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$\0"), min_size=1))
def test_hydra_reads_a_quoted_value_as_it_was(value: str) -> None:
    parsed = OverridesParser.create().parse_override(f"key={quoted(value)}")
    assert parsed.value() == value


def test_draws_are_the_same_however_many_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, spec = (
        torch.randn(40, 6, generator=torch.Generator().manual_seed(1)),
        Spec.of(width=8, blocks=(Block(), Block(skip=0.0))),
    )
    [whole] = Apjn(draws=48, rel_error=None).measure([spec], inputs, torch.device("cpu"))
    monkeypatch.setattr(sample_bank, "TOGETHER", 20)
    [parts] = Apjn(draws=48, rel_error=None).measure([spec], inputs, torch.device("cpu"))
    assert parts.terms == whole.terms


def test_draws_whose_samples_have_no_room_are_refused_with_the_numbers() -> None:
    score = Apjn(draws=65536, rel_error=None, max_memory=0.01)
    with pytest.raises(InputError, match=r"0\.01 GiB.*65536 draws of 1 architectures, whose samples take 0\.0205 GiB"):
        score.measure([Spec.of(width=8, blocks=(Block(), Block()))], torch.randn(40, 6), torch.device("cpu"))


def test_weights_that_have_no_room_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasjac.kinds.population.free", lambda device: 100_000)
    monkeypatch.setattr("nasjac.kinds.tiles.sampler.Tile", lambda *_: pytest.fail("drawn"))
    [found] = Apjn().measure([Spec.of(width=64, blocks=(Block(),))], torch.randn(40, 6), torch.device("cpu"))
    assert found.status == "out_of_memory"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", None, 1.5, 10**30, [1]])
def test_ranges_refuse_what_is_no_number_of_them(value: object) -> None:
    with pytest.raises(InputError, match="`x` must be"):
        whole("x", value, 0, 10)
    if value != 1.5:
        with pytest.raises(InputError, match="`x` must be"):
            number("x", value, 0, 10)


@pytest.mark.parametrize("value", [[1], {"a": 1}, ([1],), float("nan"), None])
def test_a_choice_that_cannot_be_one_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="`x` must be one of a, b"):
        check_choice("x", value, {"a": 1, "b": 2})


def test_folders_are_looked_at_and_not_made(tmp_path: Path) -> None:
    assert check_folder(tmp_path / "a" / "b", "out") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for wrong in ("", " ", "a\0b", tmp_path / "link" / "x", "/dev/null/x", "a/" * 3000):
        with pytest.raises(InputError, match="`out` must be"):
            check_folder(wrong, "out")
