"""How many architectures a second do the closed forms take, on one core?

    .venv/bin/python scripts/bench_meanfield.py [--batch 10000] [--depth 32] [--repeats 7]

Residual chains from columns of arrays: activations, placements, branches, gains and skip patterns mixed. Timed from the
bare columns to log E 𝒥 of every layer in both directions; the fastest and the median repeat are given. Random gates that
couple to the stream cost a grid each and are timed apart. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.mathematics.meanfield import Columns, expected_norms, fluctuations
from nasjac.mathematics.meanfield.moments import MOMENTS


def columns(batch: int, depth: int, random_skips: bool = False) -> Callable[[], Columns]:
    """A function that makes the columns from arrays that are there already."""
    rng = np.random.default_rng(0)
    names = rng.choice(sorted(MOMENTS), batch).tolist()
    on = np.array([PLACEMENTS[str(name)][:3] for name in rng.choice(sorted(PLACEMENTS), batch)], dtype=bool).T
    two_matrix, gain = rng.random(batch) < 0.5, rng.uniform(0.7, 1.8, batch)
    density = rng.random((batch, 1))
    skip = np.broadcast_to(density, (batch, depth)) if random_skips else (rng.random((batch, depth)) < density)
    keep, scale = rng.random((batch, depth)) < 0.9, rng.uniform(0.3, 1.0, (batch, depth))
    return lambda: Columns(names, two_matrix, gain, *on, keep, skip, scale)


def rate(batch: int, repeats: int, call: Callable[[], object]) -> tuple[float, float]:
    """Architectures a second, of the fastest and of the median repeat; one call before warms the tables."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return batch / min(seconds), batch / median(seconds)


def processor() -> str:
    """The core's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Time, print a table, then the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    batch, depth, few = options.batch, options.depth, max(1, options.batch // 100)
    made, gated = columns(batch, depth), columns(few, depth, random_skips=True)
    width = np.full(batch, 64)
    rates = {
        "norms": rate(batch, options.repeats, lambda: expected_norms(made())),
        "second_moments": rate(batch, options.repeats, lambda: fluctuations(made(), width)),
        "random_skips": rate(few, min(3, options.repeats), lambda: expected_norms(gated())),
    }
    print(f"{processor()}, one core; batch {batch} (random skips {few}), {depth} blocks\n")
    for name, (best, usual) in rates.items():
        print(f"{name:16} {best:12,.0f} architectures a second, fastest repeat {usual:12,.0f} median repeat")
    figures = {"specs_per_second": rates["norms"][1], "specs_per_second_fastest": rates["norms"][0]}
    figures |= {f"{name}_per_second": usual for name, (_, usual) in rates.items() if name != "norms"}
    described = {"batch": batch, "depth": depth, "processor": processor()}
    print("\n" + json.dumps(described | {name: round(value, 1) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
