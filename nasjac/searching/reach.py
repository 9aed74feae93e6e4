"""Whether a space has any architecture of the size that a budget asks for, looked at before the search."""

from __future__ import annotations

from nasjac.architecture.size import Target
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.sized import SizedSpace
from nasjac.samplers.random_specs import random_specs

#: random architectures that are looked at, and of those that miss the size how many are named
LOOKED, NAMED = 32, 3


def check_reach(space: SizedSpace) -> None:
    """Refuse a size that no architecture of the space has, among some drawn at random.

    Raises:
        InputError: None has it; the error names the nearest.
    """
    target = space.target
    specs = random_specs(space, LOOKED)
    if any(target.is_met(target.size_of(spec)) for spec in specs):
        return
    nearest = sorted({spec.key: spec for spec in specs}.values(), key=lambda spec: target.miss(target.size_of(spec)))
    shapes = "; ".join(dict.fromkeys(_shape(spec, target) for spec in nearest[:NAMED]))
    name, asked = _asked(target)
    raise InputError(f"`budget.{name}` must be a size that the space has, got {asked}; the nearest are {shapes}")


def _asked(target: Target) -> tuple[str, int]:
    """The option that bounds the size, and its value."""
    bounds = {"params": target.params, "max_params": target.max_params, "max_flops": target.max_flops}
    return next((name, most) for name, most in bounds.items() if most is not None)


def _shape(spec: Spec, target: Target) -> str:
    params, flops = target.size_of(spec)
    kept = sum(block.keep for block in spec.blocks)
    blocks = f"{kept} block{'' if kept == 1 else 's'} of width {spec.width}"
    return f"{blocks} with {params} parameters and {flops} FLOPs"
