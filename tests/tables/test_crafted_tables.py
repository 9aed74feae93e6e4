"""Whatever a table or a file of data holds: it is read, or refused in one sentence; nothing hangs, nothing crashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nasjac.datasets import DATASETS
from nasjac.foundation.csv_text import csv_rows
from nasjac.foundation.errors import InputError
from nasjac.tables.file import read_table
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.spec_table import SpecTable
from tests.crafted.fuzzing import run_forked
from tests.crafted.tables import crafted, crafted_dataset


@pytest.mark.parametrize("seed", range(30))
def test_crafted_tables_are_read_or_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    path, words = crafted(np.random.default_rng(seed), tmp_path)
    named = dict(word.split("=", 1) for word in words)
    try:
        space = NasBench201() if named["space"] == "nasbench201" else SpecTable(named["space"])
        table = read_table(path, space, named.get("target"))
    except InputError as error:
        assert str(error).startswith(("`table` must ", "`target` must ")) and len(str(error)) < 4000
    else:
        assert table.rows and all(problem.reason.isprintable() and len(problem.reason) < 1500 for problem in table.problems)
        placed = {entry.row for entry in table.entries} | {*table.elsewhere} | {one.row for one in table.left_out()}
        assert len(placed) == table.rows, "every row is read, elsewhere or named"
    try:
        list(csv_rows(path, "table"))
    except InputError as error:
        assert str(error).startswith("`table` must ")


@pytest.mark.parametrize("seed", range(30))
def test_crafted_files_of_data_are_read_or_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    named = dict(
        word.removeprefix("dataset.").split("=", 1) for word in crafted_dataset(np.random.default_rng(seed), tmp_path)
    )
    name = named.pop("dataset")
    numbers = {key: None if named[key] == "null" else int(named[key]) for key in ("limit", "context") if key in named}
    try:
        data = DATASETS[name](**(named | numbers)).load()  # type: ignore[arg-type]
    except InputError as error:
        assert str(error).startswith("`dataset") and len(str(error)) < 1000
    else:
        assert len(data.train_inputs) and len(data.valid_inputs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_commands_with_crafted_tables_end_well(tmp_path: Path, seed: int) -> None:
    path, words = crafted(np.random.default_rng(seed), tmp_path)
    correlate = ["correlate", f"table={path}", "score=depth", "resamples=5", "quiet=true", *words]
    for command in (correlate, ["query", "--table", f"t={path}", "SELECT * FROM t"]):
        outcome = run_forked(command, tmp_path)
        assert outcome.fault is None, outcome


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_commands_with_crafted_files_of_data_end_well(tmp_path: Path, seed: int) -> None:
    words = crafted_dataset(np.random.default_rng(seed), tmp_path)
    decoder = '"{""width"": 8, ""blocks"": [{""op"": ""attention""}], ""kind"": ""transformer_lm"", ""context"": 16}",0.5\n'
    chain = '"{""width"": 8, ""blocks"": [{}]}",0.5\n'
    of_tokens = "dataset=text" in words
    (tmp_path / "own.csv").write_text("spec,accuracy\n" + (decoder if of_tokens else chain))
    space = "transformer_lm" if of_tokens else "residual_mlp"
    score = ["score=criticality", "score.max_draws=16", "resamples=5", "quiet=true"]
    outcome = run_forked(["correlate", "table=own.csv", f"space={space}", *score, *words], tmp_path)
    assert outcome.fault is None, outcome
