"""The planted faults are up to date, and every one of them makes a test fail."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.planted_faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "mutants"


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("mutants", str(SCRIPT))
    spec = importlib.util.spec_from_loader("mutants", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_there_are_enough_and_names_are_names() -> None:
    assert len(FAULTS) >= 40 and len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_and_its_tests_exist(mutants: ModuleType, fault: Fault) -> None:
    """Its text occurs exactly once, what comes in its place is Python where the file is; the tests that it names exist."""
    text = mutants.planted(fault, (ROOT / fault.file).read_text(encoding="utf-8"))
    assert fault.new in text and fault.old != fault.new
    if fault.file.endswith(".py"):
        compile(text, fault.file, "exec")
    for test in fault.tests.split():
        file, _, name = test.partition("::")
        content = (ROOT / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {re.escape(name.partition('[')[0])}\(", content, re.MULTILINE), test


@pytest.mark.parametrize("text", ["", "one two one"])
def test_a_text_that_does_not_occur_once_is_invalid(mutants: ModuleType, text: str) -> None:
    with pytest.raises(mutants.Invalid, match=rf"its text occurs {text.count('one')} times in file\.py, not once"):
        mutants.planted(Fault("f", "file.py", "one", "two", "tests/mathematics/test_front.py"), text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("-> NDArray[np.intp]:", None),  # a fault that is none survives
        ("-> NDArray[np.intp]", "nasjac.mathematics.pareto cannot be imported"),
        ('-> NDArray[np.intp]:\n    raise KeyError("x")', "fails by an error, not by an assertion: KeyError"),
    ],
)
def test_what_says_nothing_of_the_tests_is_invalid(mutants: ModuleType, new: str, said: str | None) -> None:
    old = "def pareto_front(values: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.intp]:"
    fault = Fault("f", "nasjac/mathematics/pareto.py", old, old.partition("->")[0] + new, "tests/mathematics/test_front.py")
    if said is None:
        assert mutants.survives(mutants.Jobs(), fault, mutants.tree())
    else:
        with pytest.raises(mutants.Invalid, match=said):
            mutants.survives(mutants.Jobs(), fault, mutants.tree())


@pytest.mark.slow
def test_every_fault_is_noticed() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"planted": len(FAULTS), "killed": len(FAULTS), "survivors": []}, done.stderr
    assert done.returncode == 0
