"""Every score does what the contract says."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from nasjac import Block, Spec
from nasjac.architecture.measurement import TERMS
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.samplers.random_specs import random_specs
from nasjac.scores import SCORES, Apjn, Meanfield, Merit, Score
from nasjac.testing import ScoreContract

PLACED = [("none", "relu"), ("pre", "gelu"), ("post", "tanh"), ("sandwich", "relu")]
POPULATION = random_specs(ResidualMlpSpace(depth_max=6, widths=(8, 16)), 12)


class OfResidualMLPs(ScoreContract):
    """Measures chains of every kind of placement, and an ensemble of skip patterns."""

    def specs(self) -> Sequence[Spec]:
        blocks = (Block(), Block(skip=0), Block(scale=0.5))
        chains = [Spec.of(width=16, blocks=blocks, placement=place, activation=activation) for place, activation in PLACED]
        return [*chains, Spec.of(width=16, blocks=(Block(skip=0.5),) * 4, placement="pre")]

    def inputs(self) -> torch.Tensor:
        return torch.randn(60, 10, generator=torch.Generator().manual_seed(1))

    def device(self) -> torch.device:
        return torch.device(os.environ.get("NASJAC_TEST_DEVICE", "cpu"))

    def test_all_are_measured_and_every_term_has_its_place(self) -> None:
        for item in self._measured(self.score(), self.specs()):
            assert item.status == "ok" and set(item.terms) == set(TERMS)


class TestApjn(OfResidualMLPs):
    def score(self) -> Score:
        return Apjn()


class TestMeanfield(OfResidualMLPs):
    def score(self) -> Score:
        return Meanfield()


class TestMerit(OfResidualMLPs):
    def score(self) -> Score:
        return Merit().bind(POPULATION)


def test_every_score_is_tested_by_the_contract() -> None:
    assert {test().score().name for test in OfResidualMLPs.__subclasses__()} == set(SCORES)
