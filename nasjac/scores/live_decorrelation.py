"""live_decorrelation: what of a network is alive, times how differently it responds to different inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasjac.decorrelation import decorrelation
from nasjac.networks.draws import Draws
from nasjac.scores.log_rank import LogRank
from nasjac.scores.tabular import Done, Scored, batch_of, check_at_least
from nasjac.spec import check_choice

#: networks of one pass: their layers stay in the processor's cache
TOGETHER = 16


@dataclass(frozen=True)
class LiveDecorrelation:
    """log-rank of the live capacity + mean over draws of the log-rank of the decorrelation of per-sample Jacobians.

    Live capacity: FLOPs (or parameters) of the network as trained, those alone that have a non-zero Jacobian.
    Decorrelation: −Σ (log λ + 1/λ) over the eigenvalues of the correlation matrix of ∂(v·y_b)/∂h_0, one random probe v for
    all images b, in a small network of the same cells with shared weights, BatchNorm in training mode.
    Ranks are among the space's reference population, the same for ever.

    `draws`      initializations, each with images and a probe of its own
    `images`     of each draw
    `channels`   of the small network's first stage
    `pixels`     rows and columns to which images are averaged first
    `capacity`   flops or params
    `reference`  architectures in the reference population, at least 256
    `seed`       of weights, images and probes
    """

    draws: int = 6
    images: int = 16
    channels: int = 8
    pixels: int = 16
    capacity: str = "flops"
    reference: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("images", 2), ("channels", 1), ("pixels", 4), ("reference", 256), ("seed", 0)):
            check_at_least(name, getattr(self, name), least)
        check_choice("score.capacity", self.capacity, ("flops", "params"))

    needs_images: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "live_decorrelation"

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        known = reference_population(space, self.reference)
        reference = self.terms(space, known, images, device, lambda _: None)
        own = self.terms(space, architectures, images, device, done)
        capacity, *draws = (LogRank(among)(values) for among, values in zip(reference, own, strict=True))
        return [Scored(float(value)) for value in capacity + np.mean(draws, axis=0)]

    def terms(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> NDArray[np.float64]:
        """[1 + draws, n] live capacity, −∞ where nothing is alive, and the decorrelation of each draw."""
        live = [float(getattr(space, f"live_{self.capacity}")(item)) or -np.inf for item in architectures]
        small = _averaged(images, self.pixels)
        found = np.zeros((self.draws, len(architectures)))
        for start in range(0, len(architectures), TOGETHER):
            part = slice(start, start + TOGETHER)
            for draw in range(self.draws):
                draws = Draws(self.seed, [draw], torch.float32, device)
                batch = batch_of(small, self.images, draws)
                products = space.jacobians(architectures[part], batch, draws, self.channels)
                found[draw, part] = decorrelation(products).cpu().numpy()
            done(min(part.stop, len(architectures)))
        return np.vstack([live, found])


def reference_population(space: Any, count: int) -> list[Any]:
    """The frozen population of a space: always the same architectures, drawn uniformly."""
    found: list[Any] = space.random(count, seed=0)
    return found


def _averaged(images: Tensor, pixels: int) -> Tensor:
    size = images.shape[-1]
    if images.shape[-2] != size or size % pixels:
        got = f"{pixels} for images of {images.shape[-2]} x {size}"
        raise ValueError(f"`score.pixels` must divide rows and columns of the dataset's images, got {got}")
    return F.avg_pool2d(images, size // pixels)
