"""Smaller networks from trained ones: residual branches physically removed, as a new Spec and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.architecture.fields import check_choice
from nasjac.architecture.pruning_criteria import CRITERIA as ORDERS
from nasjac.architecture.pruning_criteria import keep_set
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import instance, items, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import branch_energies
from nasjac.surgery.branches.ours import blocks_of, gated

Array = NDArray[np.float64]
State = Mapping[str, Tensor]

#: criteria that prune the branches of lowest value first, and what the value is
VALUES = {
    "lowest_energy": "expected branch energy E‖J_F‖_F² / N at initialization",
    "measured_energy": "branch energy ‖J_F‖_F² / N at the data",
    "output_damage": "‖F(x)‖ / ‖x‖ at the data",
    "taylor": "|∂ loss / ∂ gate|, the loss that pruning adds to first order",
}
CRITERIA = tuple(dict.fromkeys([*ORDERS, *VALUES]))


@dataclass(frozen=True)
class Pruned:
    """A pruned network; `kept` are the blocks of the canonical spec whose branches stay, `lasting` all that last."""

    spec: Spec
    state: dict[str, Tensor]
    kept: tuple[int, ...]
    lasting: tuple[int, ...]


def check_prunable(spec: Spec) -> None:
    """ValueError of a DenseNet, whose later blocks take every branch for an input of theirs."""
    if instance("spec", spec, Spec, "a Spec").kind == "densenet":
        raise InputError(
            "`checkpoint` must be of residual blocks x + F(x) to prune; what the branches of a densenet make are "
            "channels of all later blocks"
        )
    if any(spec.canonical.solves(n) for n in range(len(spec.canonical.blocks))):
        raise InputError("`checkpoint` must be of explicit or leaky blocks to prune, got implicit ones")


def branches(spec: Spec) -> list[int]:
    """The blocks of the canonical spec whose branches can go.

    Not one without a skip where the shape changes: no shortcut is there to stand for it.
    """
    blocks = instance("spec", spec, Spec, "a Spec").canonical.blocks
    changing = {n for n in range(len(blocks)) if spec.canonical.changes_shape(n)}
    return [n for n, block in enumerate(blocks) if block.keep and (n not in changing or block.skip > 0)]


def chosen(spec: Spec, ratio: float, criterion: str, values: Callable[[], Array], seed: int) -> list[int]:
    """The branches that go: floor(`ratio` × their number) by `criterion`, one of `CRITERIA`.

    `values` [branches] to prune the lowest of first, for those of `VALUES`.
    """
    check_choice("criterion", criterion, CRITERIA)
    if not (isinstance(ratio, Real) and 0 <= ratio < 1) or isinstance(ratio, bool):
        raise InputError(f"`ratio` must be a number in [0, 1), got {shown(ratio)}")
    seed = whole("seed", seed)
    there = branches(spec)
    keep = keep_set(ratio, "lowest_energy" if criterion in VALUES else criterion, len(there), values, seed)
    return [number for number, kept in zip(there, keep, strict=True) if not kept]


def prune(spec: Spec, state: State, gone: Sequence[int]) -> Pruned:
    """The network without the branches of the blocks `gone`, whose tensors leave the state.

    `state` is that of the spec's network, and stays as it is. What goes on is the identity, or the shortcut where the
    shape changes.
    """
    check_prunable(spec)
    gone = [whole("gone", number) for number in items("gone", gone, object, "numbers of blocks")]
    old = spec.canonical
    if unknown := sorted(set(gone) - set(branches(spec))):
        raise InputError(f"`gone` must hold numbers of branches that can be pruned, got {unknown[0]}")
    if gone and len(set(gone)) == sum(block.keep for block in old.blocks):
        raise InputError("`gone` must leave a branch, for a network of no blocks has no norm before its readout, got all")
    smaller = pruned_spec(old, gone)
    lasting = [n for n, b in enumerate(old.blocks) if n not in gone or old.changes_shape(n)]
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
    """The Spec without these branches, numbered as those of the canonical spec."""
    blocks = enumerate(instance("spec", spec, Spec, "a Spec").canonical.blocks)
    gone = [whole("gone", number) for number in items("gone", gone, object, "numbers of blocks")]
    marked = tuple(replace(block, keep=block.keep and n not in gone) for n, block in blocks)
    return replace(spec.canonical, blocks=marked).canonical


def _gate(spec: Spec, number: int, name: str, tensor: Tensor) -> Tensor:
    """A pruned block that stays has the gates of one."""
    block = spec.blocks[number]
    if block.keep or name not in ("skip", "scale"):
        return tensor.clone()
    return torch.tensor(float(getattr(block, name)), dtype=tensor.dtype)


def expected_energies(spec: Spec) -> Array:
    """[L] E‖J_F‖_F² / N at initialization of every block of a canonical spec; 0 where the branch is pruned."""
    found = np.zeros(len(spec.blocks))
    found[[n for n, block in enumerate(spec.blocks) if block.keep]] = branch_energies(spec)
    return found


def taylor_values(network: nn.Module, inputs: Tensor, labels: Tensor) -> Array:
    """[L] |∂ loss / ∂ gate| of every block at gate 1 (Molchanov et al. 2017): by how much the loss changes to first order.

    The loss is cross-entropy, its mean over the inputs.
    """
    blocks = blocks_of(network)
    gates = torch.ones(len(blocks), dtype=next(network.parameters()).dtype, requires_grad=True)
    with gated(network, gates):
        outputs = network(inputs)
    loss = F.cross_entropy(outputs.flatten(0, -2), labels.flatten())
    [gradient] = torch.autograd.grad(loss, gates)
    return np.asarray(gradient.abs().double().numpy())
