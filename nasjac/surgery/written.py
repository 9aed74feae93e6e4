"""What growing and pruning do at the end: the comparison of two networks, and the folder with the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from nasjac.kinds.facts import facts
from nasjac.models import profile_figure
from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import Diagnosis
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.network import Network
from nasjac.surgery.results import Comparison, Figures, Pair
from nasjac.surgery.trained import size
from nasjac.trainers import Run

C = TypeVar("C", bound=Comparison)

#: probes a direction of a profile
PROBES = 64


def profile(network: Network, seed: int) -> Diagnosis | None:
    """Return the Jacobian norms along the blocks, from h_0 on; None without blocks."""
    if not network.blocks:
        return None
    module, names = network.stack
    return diagnose(module, network.stream[0], layers=names, batchnorm="running", max_probes=PROBES, seed=seed)


def compared(old: Network, new: Network, out: Path, seed: int, run: Run | None = None) -> Comparison:
    """Return a network before and after a change, and after a fine-tuning `run`; `out` is where it will be written."""
    measured: list[tuple[Diagnosis | None, Tensor]] = []
    for network in (old, new):
        with network.ready():
            measured.append((profile(network, seed), network.outputs()))
    (profile_before, before), (profile_after, after) = measured
    deviation, worths, specs = largest(before, after), (old.worth, new.worth), (old.architecture, new.architecture)
    return Comparison(
        source=old.source,
        out=str(out),
        seed=seed,
        key=Pair(*(spec.key if spec else None for spec in specs)),
        kind=specs[0].kind if specs[0] else None,
        accuracy=Figures(worths[0].accuracy, worths[1].accuracy, run.accuracy if run else None),
        loss=Figures(worths[0].loss, worths[1].loss, run.loss if run else None),
        parameters=Pair(size(old.module), size(new.module)),
        flops=Pair(*(facts([spec])[0].flops if spec else None for spec in specs)),
        deviation=deviation,
        relative_deviation=deviation / float(before.abs().max()),
        profile_before=profile_before,
        profile_after=profile_after,
        spec=specs[1],
    )


def note(result: Comparison, names: tuple[str, ...]) -> dict[str, object]:
    """Return what the JSON of a result says under these names."""
    content = result.to_json()
    return {name: content[name] for name in names}


def write(result: C, network: Network, told: Mapping[str, object], name: str) -> C:
    """Write a network into the new folder `result.out`, with the result in the file `name`, and profiles; whole or not.

    `told` goes into the spec.json of a checkpoint.
    """
    lines = {"before": result.profile_before, "after": result.profile_after}
    known = {line: profile for line, profile in lines.items() if profile is not None}
    drawn = profile_figure.draw(known) if known else {}
    files = {name: (json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n").encode(), **drawn}
    checkpoint.place(result.out, {**network.files(told), **files}, "out")
    return replace(result, files={file: Path(result.out) / file for file in files})


def largest(one: Tensor, other: Tensor) -> float:
    """Return the largest difference."""
    return float((one - other).abs().max())
