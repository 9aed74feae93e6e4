"""The result of a pruning, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass, field

from nasjac.models.result import FLAT
from nasjac.reporting.wording import EFFECTIVE_DEPTH
from nasjac.surgery.paths import Damage, Expected
from nasjac.surgery.results import Comparison, Pair, change, shown

#: which figures before and after are printed
FIGURES = ("effective_depth", "path_count", "path_entropy", "accuracy", "loss", "parameters", "flops")


@dataclass(frozen=True)
class FineTuning:
    """Steps and learning rate of a training after the pruning, and the reason why it failed, if it did."""

    steps: int
    learning_rate: float
    reason: str | None


@dataclass(frozen=True)
class BranchValue:
    """A branch and its values: ‖J_F‖_F² / N, ‖F(x)‖ / ‖x‖, √E‖J_F‖_F² and its standard error."""

    block: int
    op: str
    kept: bool
    measured_energy: float
    output_damage: float
    frobenius_norm: float
    frobenius_error: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Pruning(Comparison):
    """What `nasjac.prune` did and measured; its text is printed, its fields are the JSON of `nasjac prune`.

    Args:
        criterion: The criterion.
        ratio: The share of branches that was to go.
        branches: How many branches could go.
        pruned: The blocks whose branch went.
        effective_depth: The mean length of gradient paths, by energy.
        path_count: The number of gradient paths.
        path_entropy: Their entropy in nats.
        expected: Closed forms of the pruning at initialization; None of a user's module.
        damage: What became of the Jacobian.
        fine_tune: The training afterwards.
        gate_difference: The largest difference of an output from that of the network with these branches gated off.
        branch_values: The values of each branch.

    The other fields are those of `nasjac.surgery.results.Comparison`.
    """

    criterion: str
    ratio: float
    branches: int
    pruned: tuple[int, ...]
    effective_depth: Pair[float]
    path_count: Pair[int]
    path_entropy: Pair[float]
    expected: Expected | None
    damage: Damage = field(metadata=FLAT)
    fine_tune: FineTuning
    gate_difference: float
    branch_values: tuple[BranchValue, ...]

    def as_text(self) -> str:
        """Return which branches went, what that changed, and where the pruned network is."""
        gone = ", ".join(map(str, self.pruned)) or "none"
        rows = [("pruned", f"{len(self.pruned)} of {self.branches} branches by {self.criterion}: {gone}")]
        figures = {name: vars(self)[name] for name in FIGURES}
        rows += [(name, change(values)) for name, values in figures.items() if values.before is not None]
        measured, predicted = self.damage.measured_damage, self.damage.predicted_damage
        rows.append(("damage", f"{measured:.4g} measured, {predicted:.4g} predicted"))
        return f"{shown(rows)}\n\n{EFFECTIVE_DEPTH}\n{super().as_text()}"
