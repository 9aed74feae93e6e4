"""naswot: how many different linear pieces a batch falls into (Mellor, Turner, Storkey & Crowley, ICML 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.scores.of_networks import OfNetworks


@dataclass(frozen=True)
class Naswot(OfNetworks):
    """log |det K|, K_ij the number of ReLUs in the same state for images i and j of a batch; −∞ where K is singular.

    A ReLU is on where its slope is 1: a ReLU6 is off above 6 as it is below 0. The network is the one that is trained,
    BatchNorm in training mode.

    `images`  in the batch
    `seed`    of weights and images
    """

    @property
    def name(self) -> str:
        """The label of the score."""
        return "naswot"

    def value(self, network: nn.Module, batch: Tensor, draws: Draws) -> float:
        """log |det K| of the batch."""
        kernel = torch.zeros(len(batch), len(batch), dtype=torch.float64, device=batch.device)

        def count(module: nn.Module, _: object, out: Tensor) -> None:
            most = module.max_val if isinstance(module, nn.ReLU6) else torch.inf
            on = ((out > 0) & (out < most)).flatten(1).float()
            kernel.add_((on @ on.T + (1 - on) @ (1 - on).T).double())

        for module in network.modules():
            if isinstance(module, nn.ReLU | nn.ReLU6):
                module.register_forward_hook(count)
        with torch.no_grad():
            network(batch)
        sign, log_det = torch.linalg.slogdet(kernel)
        return float(log_det) if sign != 0 else -torch.inf
