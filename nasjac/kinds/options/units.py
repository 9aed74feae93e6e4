"""Fields that residual MLPs and transformers share: the placement and kind of norm, activation, gain, hidden units."""

from __future__ import annotations

from typing import ClassVar, Protocol

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import MOST_GAIN, MOST_SIZE
from nasjac.foundation.arguments import number, whole
from nasjac.foundation.errors import InputError
from nasjac.mathematics.activations import ACTIVATIONS

NORMS = ("layernorm", "rmsnorm")


class UnitSpec(Protocol):
    """A Spec with these fields."""

    kind: ClassVar[str]

    @property
    def width(self) -> int: ...
    @property
    def blocks(self) -> tuple[Block, ...]: ...
    @property
    def placement(self) -> str: ...
    @property
    def norm(self) -> str: ...
    @property
    def activation(self) -> str: ...
    @property
    def weight_gain(self) -> float: ...
    @property
    def ffn_ratio(self) -> int: ...


def check_units(spec: UnitSpec) -> None:
    """Raise InputError, which names the field, its rule and the value, where one of these fields is out of range."""
    check_choice("placement", spec.placement, PLACEMENTS)
    check_choice("norm", spec.norm, NORMS)
    check_choice("activation", spec.activation, ACTIVATIONS)
    settle(spec, "weight_gain", number("weight_gain", spec.weight_gain, low=0.0, high=MOST_GAIN, open_low=True))
    settle(spec, "ffn_ratio", whole("ffn_ratio", spec.ffn_ratio, low=1, high=MOST_SIZE))
    if any(block.stage for block in spec.blocks):
        raise InputError(f"`stage` must be left out but in convolutional networks, got it in a {spec.kind}")


def unused_units(spec: UnitSpec, blocks: tuple[Block, ...]) -> list[str]:
    """Return the names of these fields that no number depends on, given the `blocks` that are kept."""
    used = {
        **dict.fromkeys(("placement", "weight_gain"), bool(blocks)),
        **dict.fromkeys(("activation", "ffn_ratio"), any(block.op == "ffn" for block in blocks)),
        "norm": bool(blocks) and PLACEMENTS[spec.placement].uses_norm,
    }
    return [name for name, is_used in used.items() if not is_used]


def norm_params(spec: UnitSpec) -> int:
    """Return the number of parameters of the norms of one block."""
    return sum(PLACEMENTS[spec.placement][:3]) * (2 if spec.norm == "layernorm" else 1) * spec.width
