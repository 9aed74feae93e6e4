"""The spaces of tables of trained architectures, by the names that `nasjac correlate` takes."""

from __future__ import annotations

from nasjac.architecture.spec import KINDS
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.nasbench_macro.space import NasBenchMacro
from nasjac.tables.space import TableSpace
from nasjac.tables.spec_table import SpecTable

#: spaces of `nasjac correlate`: what a table of trained architectures holds
TABLE_SPACES: dict[str, type[TableSpace] | TableSpace] = {
    "nasbench201": NasBench201,
    "nasbench_macro": NasBenchMacro,
    **{kind: SpecTable(kind) for kind in KINDS},
}
