"""Every score of tables does what the contract says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from nasjac import Block, Spec
from nasjac.tables.nasbench201.network import Cell201
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.scores.az_nas import AzNas
from nasjac.tables.scores.base import TableScore
from nasjac.tables.scores.fact import FACTS, Fact
from nasjac.tables.scores.jacob_cov import JacobCov
from nasjac.tables.scores.merit import TableMerit
from nasjac.tables.scores.naswot import Naswot
from nasjac.tables.scores.synflow import Synflow
from nasjac.tables.scores.term import SCORED, Term
from nasjac.tables.space import TableSpace
from nasjac.tables.spec_table import SpecTable
from nasjac.testing import TableScoreContract

SKIPS = "|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|"


class OfCells(TableScoreContract):
    """Scores cells of NAS-Bench-201, one of them without a convolution."""

    made: ClassVar[TableScore]

    def score(self) -> TableScore:
        return self.made

    def space(self) -> TableSpace:
        return NasBench201()

    def architectures(self) -> Sequence[Any]:
        return [*NasBench201().random(2, seed=1), Cell201.from_arch(SKIPS)]

    def inputs(self) -> Tensor:
        return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))


class TestMerit(OfCells):
    made = TableMerit(draws=2, norm_draws=1, images=4, channels=2, pixels=8)


class TestSynflow(OfCells):
    made = Synflow(images=4)


class TestJacobCov(OfCells):
    made = JacobCov(images=4)


class TestNaswot(OfCells):
    made = Naswot(images=4)


class TestAzNas(OfCells):
    made = AzNas(images=2, reference=8)


class TestFacts(OfCells):
    """Each of them."""

    @pytest.fixture(params=FACTS, autouse=True)
    def which(self, request: pytest.FixtureRequest) -> None:
        self.made = Fact(request.param)  # type: ignore[misc]


class TestTerms(TableScoreContract):
    """Each of them, of chains of residual MLPs or, where it is one of tokens, of decoders."""

    @pytest.fixture(params=SCORED, autouse=True)
    def which(self, request: pytest.FixtureRequest) -> None:
        self.term = Term(request.param, max_draws=16)

    @property
    def of_tokens(self) -> bool:
        return self.term.name == "token_differential"

    def score(self) -> TableScore:
        return self.term

    def space(self) -> TableSpace:
        return SpecTable("transformer_lm" if self.of_tokens else "residual_mlp")

    def architectures(self) -> Sequence[Any]:
        if self.of_tokens:
            blocks = (Block(op="attention"), Block(op="ffn", scale=0.5))
            return [Spec.of(kind="transformer_lm", width=8, blocks=blocks * depth, context=4) for depth in (1, 2, 3)]
        return [Spec.of(width=8, blocks=(Block(),) * depth) for depth in (0, 1, 4)]

    def inputs(self) -> Tensor:
        generator = torch.Generator().manual_seed(8)
        return torch.randint(5, (64, 4), generator=generator) if self.of_tokens else torch.randn(64, 8, generator=generator)


def test_every_score_of_tables_is_tested_by_the_contract() -> None:
    cells = [test.made.name for test in OfCells.__subclasses__() if test is not TestFacts]
    assert [*cells, *FACTS, *SCORED] == list(TABLE_SCORES)
