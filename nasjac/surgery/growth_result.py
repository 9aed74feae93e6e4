"""The result of a growth, and how it is printed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from nasjac.foundation.text_tables import as_text as as_table
from nasjac.mathematics.meanfield.growth import deviation_bound, expected_deviation
from nasjac.models.result import FLAT
from nasjac.surgery.branches.norms import Norms
from nasjac.surgery.limits import Smallness
from nasjac.surgery.network import Link
from nasjac.surgery.results import Comparison, Pair, change, shown


@dataclass(frozen=True)
class NewBlock:
    """The norms of a new block's branch at the points: ‖J_F‖₂, √E‖J_F‖_F² and its error, √(E‖J_F‖_F² / N), ‖F(x)‖ / ‖x‖."""

    block: int
    op: str
    stage: int
    spectral_norm: float
    spectral_norm_mean: float
    frobenius_norm: float
    frobenius_error: float
    rms_norm: float
    output_ratio: float


@dataclass(frozen=True)
class Deviation:
    """By how much a row of new blocks changes the stream at most, its bound, and what fresh branches do on average."""

    stream_deviation: float
    deviation_bound: float
    expected_deviation: float


def new_block(number: int, link: Link, norms: Norms) -> NewBlock:
    """Return what is told of the new block `number`, from the norms of its branch."""
    return NewBlock(
        block=number,
        op=link.op,
        stage=link.stage,
        spectral_norm=float(norms.spectral.max()),
        spectral_norm_mean=float(norms.spectral.mean()),
        frobenius_norm=norms.frobenius,
        frobenius_error=norms.frobenius_error,
        rms_norm=norms.energy**0.5,
        output_ratio=float(norms.ratio.max()),
    )


def deviation_of(streams: Sequence[Tensor], norms: Mapping[int, Norms]) -> Deviation:
    """Return what the rows of new blocks, whose norms are given by their numbers, do to the stream h_0 ... h_L [G, ...]."""
    rows = [[n for _, n in row] for _, row in itertools.groupby(enumerate(norms), lambda pair: pair[1] - pair[0])]
    changes = [_relative(streams[row[0]], streams[row[-1] + 1]) for row in rows]
    bounds = [deviation_bound(float(norms[n].ratio.max()) for n in row) for row in rows]
    typical = (sum(one.energy for one in norms.values()) / len(norms)) ** 0.5
    return Deviation(max(changes), max(bounds), expected_deviation(typical, max(map(len, rows))))


def _relative(before: Tensor, after: Tensor) -> float:
    change, size = (tensor.flatten(1).norm(dim=1) for tensor in (after - before, before))
    return float((change / size).max())


@dataclass(frozen=True, kw_only=True, repr=False)
class Growth(Comparison):
    """What `nasjac.grow` did and measured; its text is printed, its fields are the JSON of `nasjac grow`.

    Args:
        init: How new blocks begin.
        gain: The factor on their branches; None where they begin as the identity.
        blocks: How many new blocks there are.
        depth: The number of blocks.
        tau: The budget.
        rule: The rule that decided.
        allowed: How many blocks like these it allows; None for any number.
        forced: Whether there are more than that.
        smallness: How small the new blocks are, as given or measured.
        nominal: The same of blocks of full size, where the new ones begin as the identity.
        stream: What the new blocks do to the residual stream.
        new_blocks: The norms of each new block.

    The other fields are those of `nasjac.surgery.results.Comparison`.
    """

    init: str
    gain: float | None
    blocks: int
    depth: Pair[int]
    tau: float
    rule: str
    allowed: int | None
    forced: bool
    smallness: Smallness = field(metadata=FLAT)
    nominal: Smallness | None
    stream: Deviation = field(metadata=FLAT)
    new_blocks: tuple[NewBlock, ...]

    def as_text(self) -> str:
        """Return what was done, how safe it is by each rule, and where the grown network is."""
        columns = ("block", "op", "spectral_norm", "frobenius_norm", "frobenius_error", "rms_norm", "output_ratio")
        rows = [[vars(new)[name] for name in columns] for new in self.new_blocks]
        return "\n\n".join([self._head(), as_table(columns, rows).rstrip(), f"Checkpoint: {self.out}"])

    def _head(self) -> str:
        rows = [
            ("blocks", f"{change(self.depth)} ({self.init})"),
            (f"allowed, tau {self.tau:g}", _counts(self.smallness)),
            *([("at full size", _counts(self.nominal))] if self.nominal else []),
            ("deviation", f"{self.deviation:.4g} at most in an output"),
        ]
        if self.accuracy.before is not None:
            bound = f"{self.stream.stream_deviation:.4g} at most, bound {self.stream.deviation_bound:.4g}"
            rows += [("in the stream", bound), ("accuracy", change(self.accuracy))]
        return shown([*rows, ("parameters", change(self.parameters))])


def _counts(small: Smallness) -> str:
    told = ", ".join(f"{name} {'any' if m is None else m}" for name, m in small.rules.items())
    sizes = f"epsilon_spectral {small.epsilon_spectral:.4g}, epsilon_rms {small.epsilon_rms:.4g}"
    return f"{told} (at {sizes}; measured sum {small.measured_sum:.4g})"
