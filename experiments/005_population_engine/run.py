"""How many architectures a second does the population engine score? Runs scripts/bench_score.py as the page says."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.argv[1:] = sys.argv[1:] or ["--widths", "128", "--looped", "16"]
    runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "bench_score.py"), run_name="__main__")
