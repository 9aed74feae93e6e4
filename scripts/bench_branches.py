"""How long do the norms of all residual Jacobians of a network take?

    OMP_NUM_THREADS=1 .venv/bin/python scripts/bench_branches.py [--blocks 24] [--width 256] [--points 16] [--rel-error R]

A pre-norm gelu MLP at initialization; of every block ‖J_F‖₂ by Golub–Kahan–Lanczos and ‖J_F‖_F by probes, at every point,
without a dense Jacobian. The error is that of the spectral norms of the first and the last block against dense singular
values. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from nasjac import Block, Spec, build
from nasjac.surgery.branches.ours import links_of, measurable
from nasjac.surgery.paths import branch_norms


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--rel-error", type=float, default=0.01)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    spec = Spec.of(width=options.width, blocks=(Block(),) * options.blocks, placement="pre", activation="gelu")
    network = measurable(build(spec, 64, 10, generator))
    inputs = torch.randn(options.points, 64, dtype=torch.float64, generator=generator)
    began = time.perf_counter()
    links = links_of(spec, network, inputs)
    found = branch_norms(links, range(options.blocks), generator, options.rel_error)
    seconds, worst = time.perf_counter() - began, 0.0
    for number in (0, options.blocks - 1):
        added = links[number].added
        for x, norm in zip(links[number].x, found[number].spectral, strict=True):
            dense = torch.func.jacrev(lambda point, added=added: added(point[None])[0])(x)
            exact = float(torch.linalg.matrix_norm(dense, 2))
            worst = max(worst, abs(float(norm) - exact) / exact)
    print(f"{options.blocks} blocks of {options.width} units at {options.points} points: {seconds:.2f} s")
    print(f"largest relative error of a spectral norm: {worst:.2g} (asked for: {options.rel_error:g})")
    print(json.dumps({**vars(options), "seconds": seconds, "error": worst, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
