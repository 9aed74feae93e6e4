"""Whatever words a command line has: it ends in time, well or with one sentence, and never with a traceback."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.crafted.command_lines import command_lines, furnish, with_key
from tests.crafted.fuzzing import run_forked

#: command lines of one slow test; all tests together are 2,000
SHARE, TESTS, FEW = 100, 20, 12
#: of a line whose verb does its work, on a busy machine
SECONDS = 60.0


def faults(seeds: range, folder: Path) -> dict[str, str]:
    """{command line: what is wrong with its outcome} of those with which anything is."""
    key = furnish(folder)
    found = {}
    for seed in seeds:
        words = with_key(command_lines(Random(seed)), key)
        outcome = run_forked(words, folder, SECONDS)
        if outcome.fault is not None:
            found[f"{seed}: {words}"] = f"{outcome.fault}: {outcome.err[-1500:]}"
    return found


def test_few_command_lines_end_well(tmp_path: Path) -> None:
    assert faults(range(FEW), tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(TESTS))
def test_command_lines_end_well(tmp_path: Path, part: int) -> None:
    assert faults(range(part * SHARE, (part + 1) * SHARE), tmp_path) == {}
