"""600 Specs of all kinds: random ones of every space, the ground truth's, pruned, gated, ensembles, leaky, implicit."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna

from nasjac import Spec
from nasjac.architecture.inputs import Inputs
from nasjac.kinds.densenet.space import DenseNetSpace
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.kinds.transformer.encoder_space import VitSpace

GROUNDTRUTH = Path(__file__).parents[2] / "experiments" / "groundtruth" / "groundtruth.csv.gz"
COUNT = 600

STEPS = {"block_types": ("explicit", "leaky", "implicit"), "step_min": 0.1, "step_max": 0.8}
GRAY, COLOUR = (1, 8, 8), (3, 16, 16)

#: group -> its space and how many are drawn from it
SPACES = {
    "residual_mlp": (ResidualMlpSpace(), 60),
    "residual_mlp ensemble": (ResidualMlpSpace(skip_mode="ensemble"), 40),
    "residual_mlp steps": (ResidualMlpSpace(depth_max=12, **STEPS), 50),
    "transformer_lm": (TransformerLmSpace(), 60),
    "vit": (VitSpace().for_data(Inputs(shape=GRAY)), 50),
    "resnet": (ResNetSpace().for_data(Inputs(shape=GRAY)), 50),
    "resnet colour": (ResNetSpace().for_data(Inputs(shape=COLOUR)), 20),
    "resnet steps": (ResNetSpace(depth_max=3, **STEPS).for_data(Inputs(shape=GRAY)), 40),
    "densenet": (DenseNetSpace().for_data(Inputs(shape=GRAY)), 40),
    "densenet colour": (DenseNetSpace().for_data(Inputs(shape=COLOUR)), 20),
}
OF_GROUNDTRUTH = 40


def frozen_specs() -> list[tuple[str, Spec]]:
    """(group, Spec) of all; different ones, in an order that does not change."""
    drawn = [item for group in SPACES for item in _drawn(group)]
    drawn += list(_groundtruth())
    drawn += list(_changed(drawn, COUNT - len(drawn)))
    return drawn


def _drawn(group: str) -> Iterator[tuple[str, Spec]]:
    space, count = SPACES[group]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=len(group)))
    return ((group, space(study.ask())) for _ in range(count))


def _groundtruth() -> Iterator[tuple[str, Spec]]:
    with gzip.open(GROUNDTRUTH, "rt", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for kind in ("residual_mlp", "transformer_lm", "resnet"):
        of_kind = [row for row in rows if row["kind"] == kind]
        for row in of_kind[:: len(of_kind) // OF_GROUNDTRUTH][:OF_GROUNDTRUTH]:
            yield f"groundtruth {kind}", Spec.from_json(row["spec"])


def _changed(drawn: list[tuple[str, Spec]], count: int) -> Iterator[tuple[str, Spec]]:
    """Some of the others with every third branch pruned, or with learned factors, in turn."""
    rng = random.Random(0)
    able = [item for item in drawn if len(item[1].blocks) > 2]
    for number in range(count):
        group, spec = able[rng.randrange(len(able))]
        if number % 2 or spec.kind == "densenet":
            blocks = tuple(replace(block, keep=block.keep and n % 3 != 1) for n, block in enumerate(spec.blocks))
            yield f"{group} pruned", replace(spec, blocks=blocks)
        else:
            yield f"{group} gated", replace(spec, blocks=tuple(replace(block, gate=True) for block in spec.blocks))


#: of kinds, how many Specs have their sampled terms frozen: those of the fewest FLOPs of each group, in turn
MEASURED = {"residual_mlp": 18, "transformer_lm": 12, "vit": 8, "resnet": 14, "densenet": 8}


def measured_specs(items: list[tuple[str, Spec]], flops: list[int]) -> list[int]:
    """Numbers of the Specs whose sampled terms are frozen; those of one kind take the same inputs."""
    return sorted(number for kind, count in MEASURED.items() for number in _smallest(items, flops, kind, count))


def _smallest(items: list[tuple[str, Spec]], flops: list[int], kind: str, count: int) -> list[int]:
    shape = GRAY if kind in ("vit", "resnet", "densenet") else ()
    context = min((spec.context for _, spec in items if spec.kind == kind), default=1)
    groups: dict[str, list[int]] = {}
    for number in sorted(range(len(items)), key=lambda number: (flops[number], number)):
        group, spec = items[number]
        if spec.kind == kind and spec.shape == shape and (kind == "vit" or spec.context == context):
            groups.setdefault(group, []).append(number)
    depth = max(map(len, groups.values()))
    in_turn = [group[place] for place in range(depth) for group in groups.values() if place < len(group)]
    return in_turn[:count]
