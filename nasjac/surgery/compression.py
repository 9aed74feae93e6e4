"""Smaller networks from trained ones: residual branches physically removed, as a new Spec and state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import instance, items, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.table import kind_of
from nasjac.surgery.growth import State, Weighted


@dataclass(frozen=True)
class Pruned(Weighted):
    """A pruned network, the canonical Spec's blocks `kept` with their branch, and all `lasting`."""

    kept: tuple[int, ...]
    lasting: tuple[int, ...]


def check_prunable(spec: Spec) -> None:
    """Raise InputError where no branch can be taken out of the network of `spec`."""
    if refusal := kind_of(instance("spec", spec, Spec, "a Spec")).surgery.pruning_refusal(spec):
        raise InputError(refusal)


def branches(spec: Spec) -> list[int]:
    """Return the blocks of the canonical Spec whose branches can go.

    A block that changes the shape and has no skip keeps its branch, for no shortcut could stand for it.
    """
    old = instance("spec", spec, Spec, "a Spec").canonical
    return [n for n, block in enumerate(old.blocks) if block.keep and (block.skip > 0 or not old.changes_shape(n))]


def prune(spec: Spec, state: State, gone: Sequence[int]) -> Pruned:
    """Return the network without the branches of the blocks `gone`, whose tensors leave the state.

    `state` is that of the Spec's network, and is left as it is. What takes the place of a block is the identity, or the
    shortcut where the shape changes.

    Raises:
        InputError: A branch cannot be pruned, or none would be left.
    """
    check_prunable(spec)
    gone = [whole("gone", number) for number in items("gone", gone, object, "numbers of blocks")]
    old = spec.canonical
    if unknown := sorted(set(gone) - set(branches(spec))):
        raise InputError(f"`gone` must hold numbers of branches that can be pruned, got {unknown[0]}")
    if gone and len(set(gone)) == sum(block.keep for block in old.blocks):
        raise InputError("`gone` must leave a branch, for a network of no blocks has no norm before its readout, got all")
    smaller = pruned_spec(old, gone)
    lasting = [n for n in range(len(old.blocks)) if n not in gone or old.changes_shape(n)]
    assert len(lasting) == len(smaller.blocks)
    renamed = {str(before): after for after, before in enumerate(lasting)}
    kept = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        number, _, inner = rest.partition(".")
        if first != "blocks":
            kept[name] = tensor.clone()
        elif number in renamed and not (int(number) in gone and inner.startswith(("branch.", "gate"))):
            kept[f"blocks.{renamed[number]}.{inner}"] = _gate(smaller, renamed[number], inner, tensor)
    branched = tuple(n for n in range(len(old.blocks)) if old.blocks[n].keep and n not in gone)
    return Pruned(smaller, kept, branched, tuple(lasting))


def pruned_spec(spec: Spec, gone: Sequence[int]) -> Spec:
    """Return the Spec without these branches, numbered as those of the canonical Spec."""
    blocks = enumerate(instance("spec", spec, Spec, "a Spec").canonical.blocks)
    gone = [whole("gone", number) for number in items("gone", gone, object, "numbers of blocks")]
    marked = tuple(replace(block, keep=block.keep and n not in gone) for n, block in blocks)
    return replace(spec.canonical, blocks=marked).canonical


def _gate(spec: Spec, number: int, name: str, tensor: Tensor) -> Tensor:
    """A pruned block that stays has the gates of one."""
    block = spec.blocks[number]
    if block.keep or name not in ("skip", "scale"):
        return tensor.clone()
    return torch.tensor(block.skip if name == "skip" else block.scale, dtype=tensor.dtype)
