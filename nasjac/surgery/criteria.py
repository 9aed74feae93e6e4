"""The criteria by which branches are pruned: one value a criterion, or an order that needs none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real

import numpy as np
import torch

from nasjac.architecture.fields import check_choice
from nasjac.architecture.pruning_criteria import CRITERIA as ORDERS
from nasjac.architecture.pruning_criteria import keep_set
from nasjac.foundation.arguments import shown, whole
from nasjac.foundation.errors import InputError
from nasjac.mathematics.logarithms import Array
from nasjac.surgery.network import Network
from nasjac.surgery.paths import Chain


def expected_energy(network: Network, chain: Chain) -> Array:
    """Return [L] the expected branch energy E‖J_F‖_F² / N at initialization."""
    return network.expected_energies


def measured_energy(network: Network, chain: Chain) -> Array:
    """Return [L] the branch energy ‖J_F‖_F² / N at the data."""
    return chain.energy


def output_damage(network: Network, chain: Chain) -> Array:
    """Return [L] the mean of ‖F(x)‖ / ‖x‖ at the data; 0 without a branch."""
    ratios = np.zeros(len(chain.energy))
    for number, norms in chain.branch.items():
        ratios[number] = float(norms.ratio.mean())
    return ratios


def taylor_values(network: Network, chain: Chain | None = None) -> Array:
    """Return [L] |∂ loss / ∂ gate| of every block at gate 1 (Molchanov et al. 2017): what pruning adds to first order."""
    gates = torch.ones(len(network.blocks), dtype=torch.float64, requires_grad=True)
    with network.gated(gates):
        loss = network.loss()
    [gradient] = torch.autograd.grad(loss, gates)
    return np.asarray(gradient.abs().numpy())


#: criteria that prune the branches of lowest value first
VALUES: dict[str, Callable[[Network, Chain], Array]] = {
    "lowest_energy": expected_energy,
    "measured_energy": measured_energy,
    "output_damage": output_damage,
    "taylor": taylor_values,
}
CRITERIA = tuple(dict.fromkeys([*ORDERS, *VALUES]))


def chosen(prunable: Sequence[int], ratio: float, criterion: str, values: Callable[[], Array], seed: int) -> list[int]:
    """Return which of the blocks `prunable` lose their branch: floor(`ratio` × their number) by `criterion`.

    Args:
        prunable: The numbers of the blocks whose branch can go.
        ratio: The share of them, in [0, 1).
        criterion: One of `CRITERIA`.
        values: Gives [prunable] of which the lowest go first, for the criteria of `VALUES`.
        seed: The seed of the criterion random.

    Raises:
        InputError: The criterion is unknown, or the ratio or the seed no such number.
    """
    check_choice("criterion", criterion, CRITERIA)
    if not (isinstance(ratio, Real) and 0 <= ratio < 1) or isinstance(ratio, bool):
        raise InputError(f"`ratio` must be a number in [0, 1), got {shown(ratio)}")
    order = "lowest_energy" if criterion in VALUES else criterion
    keep = keep_set(ratio, order, len(prunable), values, whole("seed", seed))
    return [number for number, kept in zip(prunable, keep, strict=True) if not kept]
