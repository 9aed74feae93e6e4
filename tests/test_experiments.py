"""Every experiment runs, at small size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def run(name: str, folder: Path, *words: str) -> dict[str, object]:
    """The JSON object that the experiment prints last."""
    command = [sys.executable, str(EXPERIMENTS / name / "run.py"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_recommended_against_random(tmp_path: Path) -> None:
    words = ["out=here", "dataset=digits", "seed=1,2", "budget.trials=12", "search.batch=6", "validation.matched=2"]
    small = ["space.depth_max=6", "space.widths=[8]", "budget.params_band=0.3", "trainer.steps=2"]
    found = run("001_recommended_against_random", tmp_path, *words, *small)
    assert found["searches"] == 2 and found["random"] == 4
    assert 0 <= int(str(found["random_beaten"])) <= 4
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0
    assert len((tmp_path / "here" / "table.csv").read_text().splitlines()) == 3


def test_every_experiment_is_a_folder_with_its_story() -> None:
    for folder in EXPERIMENTS.iterdir():
        assert (folder / "README.md").read_text().startswith("# ")
        assert (folder / "run.py").exists()
        assert f"experiments/{folder.name}/run.py" in (folder / "README.md").read_text()
