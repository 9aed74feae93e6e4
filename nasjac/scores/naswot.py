"""naswot: how many different linear pieces a batch falls into (Mellor, Turner, Storkey & Crowley, ICML 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasjac.scores.tabular import Done, Scored, batch_of, check_at_least, one_by_one, only_draw


@dataclass(frozen=True)
class Naswot:
    """log |det K|, K_ij the number of ReLUs in the same state for images i and j of a batch; −∞ where K is singular.

    The network is the one that is trained, BatchNorm in training mode.

    `images`  in the batch
    `seed`    of weights and images
    """

    images: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("images", self.images, 2)

    needs_images: ClassVar[bool] = True
    space_method: ClassVar[str] = "network"

    @property
    def name(self) -> str:
        return "naswot"

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        draws = only_draw(self.seed, device)
        batch = batch_of(images, self.images, draws)
        return one_by_one(lambda item: _log_det(space.network(item, draws).to(device), batch), architectures, done)


def _log_det(network: nn.Module, batch: Tensor) -> float:
    kernel = torch.zeros(len(batch), len(batch), dtype=torch.float64, device=batch.device)

    def count(_: nn.Module, __: object, out: Tensor) -> None:
        on = (out > 0).flatten(1).float()
        kernel.add_((on @ on.T + (1 - on) @ (1 - on).T).double())

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(batch)
    sign, log_det = torch.linalg.slogdet(kernel)
    return float(log_det) if sign != 0 else -torch.inf
