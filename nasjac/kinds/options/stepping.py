"""Options of search spaces whose blocks may be steps in time, and a trial's choice among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

from nasjac.architecture.space import Trial
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.checks import check_names, check_range
from nasjac.kinds.options.stepped import BLOCK_TYPES
from nasjac.kinds.options.wiring import WiredOptions

#: what an architecture has that names no choice
TYPICAL_STEP: dict[str, Any] = {"block": "explicit", "step": 1.0, "leak": 0.0}


@dataclass(frozen=True)
class SteppedOptions(WiredOptions):
    """Options of a space whose blocks may be steps in time, beside those of `WiredOptions`.

    `block_types`  explicit x + hF(x), leaky (1 - hD) x + hF(x), implicit by BDF-2 along F(x) - D x; a choice `block` where
                   there are several
    `step_min`, `step_max`  of h, on a log scale, where they differ
    `leak_min`, `leak_max`  of D, where they differ and some type has one
    """

    #: options added later: at their defaults they are no part of a study's identity, so that older studies can be resumed
    later: ClassVar[tuple[str, ...]] = ("block_types", "step_min", "step_max", "leak_min", "leak_max")

    block_types: tuple[str, ...] = ("explicit",)
    step_min: float = 1.0
    step_max: float = 1.0
    leak_min: float = 0.0
    leak_max: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self, {"block_types": BLOCK_TYPES})
        check_range(self, "step", low=1e-6, high=1e6)
        check_range(self, "leak", low=0.0, high=1e6)
        if "leaky" in self.block_types and self.step_max * self.leak_max >= 1:
            rule = f"below 1 / `space.step_max` with leaky blocks, 1 / {self.step_max:g}"
            raise InputError(f"`space.leak_max` must be {rule}, got {self.leak_max!r}")


class Stepping(TypedDict):
    """How a branch joins the stream, as the fields of a Spec say it."""

    block: str
    step: float
    leak: float


def suggest_block_type(space: SteppedOptions, trial: Trial) -> Stepping:
    """Return a trial's choice of block, step and leak.

    A trial is not asked where the options leave no choice, so that a search without steps draws what it always drew.
    """
    types, leaks = space.block_types, set(space.block_types) != {"explicit"}
    block = trial.suggest_categorical("block", types) if len(types) > 1 else types[0]
    step, leak = space.step_min, space.leak_min if leaks else 0.0
    if space.step_min < space.step_max:
        step = trial.suggest_float("step", space.step_min, space.step_max, log=True)
    if leaks and space.leak_min < space.leak_max:
        leak = trial.suggest_float("leak", space.leak_min, space.leak_max)
    return {"block": block, "step": step, "leak": leak}
