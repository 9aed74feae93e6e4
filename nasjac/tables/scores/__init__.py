"""Scores of tables of trained architectures: one option a file, one number an architecture."""

from __future__ import annotations

from nasjac.tables.scores.az_nas import AzNas
from nasjac.tables.scores.base import TableScore
from nasjac.tables.scores.fact import FACTS, Fact
from nasjac.tables.scores.jacob_cov import JacobCov
from nasjac.tables.scores.merit import TableMerit
from nasjac.tables.scores.naswot import Naswot
from nasjac.tables.scores.synflow import Synflow
from nasjac.tables.scores.term import SCORED, Term

#: scores of `nasjac correlate`: one number each, on tables of trained architectures; facts are instances of one class, and
#: so are terms
TABLE_SCORES: dict[str, type[TableScore] | TableScore] = {
    "merit": TableMerit,
    "synflow": Synflow,
    "jacob_cov": JacobCov,
    "naswot": Naswot,
    "az_nas": AzNas,
    **{name: Fact(name) for name in FACTS},
    **{name: Term(name) for name in SCORED},
}
