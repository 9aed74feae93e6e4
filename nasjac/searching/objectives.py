"""What a search optimizes: pure functions of a measurement's terms and an architecture's facts; and its constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from nasjac.architecture.facts import Facts
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.architecture.size import Target
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.sizes import size_of, whole_size_of
from nasjac.mathematics.pareto import knee

MOST_TRIALS = 1_000_000
#: which parameters may count
COUNTED = ("blocks", "all")
#: the objective that sampling gives, lower is better
COST = "trainability_cost"

#: how a number of parameters or FLOPs is told, before it is a whole number
Count = int | float | str | None

Terms = Mapping[str, Estimate]
Direction = Literal["minimize", "maximize"]


class Objective(NamedTuple):
    """Which way is better, the value (None where there is none), and whether its ratios matter, not its differences."""

    direction: Direction
    value: Callable[[Terms, Facts], float | None]
    is_ratio: bool


OBJECTIVES = {
    "merit": Objective("maximize", lambda terms, facts: terms["merit"].value, False),
    COST: Objective("minimize", lambda terms, facts: terms[COST].value, False),
    "nonlinear_effective_depth": Objective("maximize", lambda terms, facts: facts.nonlinear_effective_depth, True),
    "effective_depth": Objective("maximize", lambda terms, facts: facts.effective_depth, True),
    "params": Objective("minimize", lambda terms, facts: facts.params, True),
    "flops": Objective("minimize", lambda terms, facts: facts.flops, True),
}


@dataclass(frozen=True)
class Budget:
    """How much to search, and inside which bounds.

    `trials`, `minutes`    when to stop, whichever comes first; at most a million trials, for the sampler has all in memory
    `params`               target number of parameters, within the relative `params_band`
    `max_params`, `max_flops`, `min_effective_depth`
    `counts`               which parameters count: blocks, those of the residual blocks alone; all, with embedding, stem,
                           last norm and readout. FLOPs are always those of the blocks

    Parameters and FLOPs may be written as 100000, 1e5, 100k, 2.5M or 1B; they are held as whole numbers. Where one of them
    is given, a space whose `widths` are null has its widths solved for, so that what it proposes has that size.
    """

    trials: int = 2000
    minutes: float | None = None
    params: Count = None
    params_band: float = 0.1
    max_params: Count = None
    max_flops: Count = None
    min_effective_depth: float = 1.0
    counts: str = "blocks"

    def __post_init__(self) -> None:
        for name in ("params", "max_params", "max_flops"):
            if getattr(self, name) is not None:
                settle(self, name, arguments.count(f"budget.{name}", getattr(self, name), 1))
        for name in ("trials", "minutes", "params_band"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"`budget.{name}` must be greater than 0 and finite, got {value!r}")
        check_choice("budget.counts", self.counts, COUNTED)
        arguments.whole("budget.trials", self.trials, 1, MOST_TRIALS)
        if not 0 <= self.min_effective_depth < math.inf:
            raise InputError(
                f"`budget.min_effective_depth` must be at least 0 and finite, got {self.min_effective_depth!r}"
            )

    def target(self, inputs: int, outputs: int) -> Target | None:
        """Return the size that is asked for, None where none is.

        Args:
            inputs: Features of a sample, or ids in a vocabulary, of the data.
            outputs: Classes, or ids in a vocabulary, of the data.
        """
        params, max_params, max_flops = map(_whole, (self.params, self.max_params, self.max_flops))
        if params is None and max_params is None and max_flops is None:
            return None
        whole = partial(whole_size_of, inputs=inputs, outputs=outputs)
        size = whole if self.counts == "all" else size_of
        return Target(size, params, self.params_band, max_params, max_flops, self.counts)

    def violations(self, facts: Facts, outside: int = 0) -> dict[str, float]:
        """Return each constraint's violation; the constraint is kept where the number is at most 0.

        Args:
            facts: Of an architecture.
            outside: Its parameters outside the blocks, as far as they count.
        """
        params = facts.params + outside
        found = {"min_effective_depth": self.min_effective_depth - facts.effective_depth}
        if self.params is not None:
            found["params_band"] = abs(params / int(self.params) - 1) - self.params_band
        if self.max_params is not None:
            found["max_params"] = params / int(self.max_params) - 1
        if self.max_flops is not None:
            found["max_flops"] = facts.flops / int(self.max_flops) - 1
        return found


def _whole(count: Count) -> int | None:
    return None if count is None else int(count)


def directions(names: Sequence[str]) -> list[Direction]:
    """The objectives' directions; InputError names an unknown objective and the choices."""
    for name in names:
        check_choice("search.objectives", name, OBJECTIVES)
    if len(set(names)) < len(names):
        raise InputError(f"`search.objectives` must be different, got {', '.join(names)}")
    if not names:
        raise InputError(f"`search.objectives` must name at least one of {', '.join(OBJECTIVES)}, got an empty list")
    return [OBJECTIVES[name].direction for name in names]


def objective_values(
    names: Sequence[str], measurement: Measurement, known: Facts
) -> tuple[dict[str, float] | None, str | None]:
    """The objectives by name, or None and the reason why there are none."""
    if measurement.status != "ok":
        return None, f"{measurement.status}: {measurement.reason}"
    values = {name: OBJECTIVES[name].value(measurement.terms, known) for name in names}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        return None, f"the score gives no {missing[0]}"
    return {name: float(value) for name, value in values.items() if value is not None}, None


def knee_of(values: Sequence[Sequence[float]], objectives: Sequence[str]) -> tuple[int, str]:
    """The number of the knee among `values`, a row of objectives each, and why it is that one."""
    return knee(values, directions(objectives), objectives, [OBJECTIVES[name].is_ratio for name in objectives])
