"""How blocks step in time, as a choice of the spaces whose blocks are sums of a stream and a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nasjac.spaces.checks import check_names, check_range
from nasjac.spec import BLOCK_TYPES

if TYPE_CHECKING:
    from nasjac.spaces import Trial


class _Stepped(NamedTuple):
    options: tuple[str, ...]
    typical: Mapping[str, Any]


#: the options, which a study of before did not have, and what an architecture has that names no choice
STEPPED = _Stepped(
    ("block_types", "step_min", "step_max", "leak_min", "leak_max"), {"block": "explicit", "step": 1.0, "leak": 0.0}
)


class SteppedSpace(Protocol):
    """A space with these options."""

    @property
    def block_types(self) -> tuple[str, ...]: ...
    @property
    def step_min(self) -> float: ...
    @property
    def step_max(self) -> float: ...
    @property
    def leak_min(self) -> float: ...
    @property
    def leak_max(self) -> float: ...


def check_block_types(space: SteppedSpace) -> None:
    """ValueError unless the types are known, the ranges in order, and leaky skips keep their sign in all of them."""
    check_names(space, {"block_types": BLOCK_TYPES})
    check_range(space, "step", low=1e-6, high=1e6)
    check_range(space, "leak", low=0.0, high=1e6)
    if "leaky" in space.block_types and space.step_max * space.leak_max >= 1:
        rule = f"below 1 / `space.step_max` with leaky blocks, 1 / {space.step_max:g}"
        raise ValueError(f"`space.leak_max` must be {rule}, got {space.leak_max!r}")


def suggest_block_type(space: SteppedSpace, trial: Trial) -> dict[str, Any]:
    """Block, step and leak. What leaves no choice is not asked for, so that a search without them is what it was."""
    types, leaks = space.block_types, set(space.block_types) != {"explicit"}
    block = trial.suggest_categorical("block", types) if len(types) > 1 else types[0]
    step = leak = None
    if space.step_min < space.step_max:
        step = trial.suggest_float("step", space.step_min, space.step_max, log=True)
    if leaks and space.leak_min < space.leak_max:
        leak = trial.suggest_float("leak", space.leak_min, space.leak_max)
    fixed = space.leak_min if leaks else 0.0
    return {"block": block, "step": space.step_min if step is None else step, "leak": fixed if leak is None else leak}
