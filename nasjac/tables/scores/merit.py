"""merit on tables of trained architectures, with or without each of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.mathematics.decorrelation import jacobian_decorrelation
from nasjac.mathematics.log_percentile import log_percentiles
from nasjac.mathematics.logarithms import debiased
from nasjac.mathematics.trainability import PARTS, merit_of_parts, merit_parts
from nasjac.sampling.draws import Draws
from nasjac.scores.merit import Merit
from nasjac.tables.network_space import NetworkSpace
from nasjac.tables.networks import Pullbacks
from nasjac.tables.scores.base import Done, Scored, TableScore, batch_of, check_at_least, reference_population
from nasjac.tables.space import Material, TableSpace

Array = NDArray[np.float64]

#: networks of one pass: their layers stay in the processor's cache
TOGETHER = 16


@dataclass(frozen=True)
class TableMerit(TableScore):
    """The merit that a search optimizes (`nasjac.scores.merit.Merit`), as a score of tables.

    On tables of Specs it is that very score, among `reference` architectures of the table. On published tables FLOPs are
    those of the network as trained, of layers that are alive; Jacobians are those of a small network of the same
    architecture with shared weights, BatchNorm in training mode; log-percentiles are in the space's population.

    `without`    parts to leave out: capacity, decorrelation, criticality, spread, effective_rank, output_decorrelation
    `reference`  architectures in the reference population, at least 256
    `seed`       of weights, images and probes

    Of published tables alone:

    `draws`       initializations, each with images and a vector of its own
    `norm_draws`  of these with the Jacobian's norm and rank
    `images`      of each draw
    `channels`    of the small network's first stage
    `pixels`      rows and columns to which images are averaged first
    """

    without: tuple[str, ...] = ()
    reference: int = 256
    seed: int = 0
    draws: int = 3
    norm_draws: int = 2
    images: int = 16
    channels: int = 8
    pixels: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "without", tuple(self.without))
        for part in self.without:
            check_choice("score.without", part, PARTS)
        check_at_least(self, draws=1, norm_draws=1, images=2, channels=1, pixels=4, reference=256, seed=0)
        if self.norm_draws > self.draws:
            raise InputError(f"`score.norm_draws` must be at most `score.draws`, {self.draws}, got {self.norm_draws}")

    needs: ClassVar[Material] = Material.NETWORKS | Material.SPECS

    name = "merit"

    def measure(
        self, space: TableSpace, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """Merit of the parts that are asked for."""
        parts = self.parts(space, architectures, inputs, device, done)
        return [Scored(float(value)) for value in merit_of_parts(parts, self.without)]

    def parts(
        self, space: TableSpace, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> dict[str, Array]:
        """Return each part [n] by its name; NaN of the penalty, and −∞, where a Jacobian is zero or not finite."""
        population = reference_population(space, self.reference)
        if isinstance(space, NetworkSpace):
            return self._of_networks(space, architectures, population, inputs, device, done)
        parts = Merit(seed=self.seed, reference=self.reference).bind(population).parts(architectures, inputs, device)
        done(len(architectures))
        return parts

    def _of_networks(
        self,
        space: NetworkSpace,
        architectures: Sequence[Any],
        population: Sequence[Any],
        images: Tensor,
        device: torch.device,
        done: Done,
    ) -> dict[str, Array]:
        small = _averaged(images, self.pixels)
        known, _ = self._measured(space, population, small, device, lambda _: None, norms=False)
        own, terms = self._measured(space, architectures, small, device, done, norms=True)
        capacity, *by_draw = log_percentiles(known, own)
        return merit_parts(capacity, np.mean(by_draw, axis=0), terms)

    def _measured(
        self,
        space: NetworkSpace,
        architectures: Sequence[Any],
        images: Tensor,
        device: torch.device,
        done: Done,
        norms: bool,
    ) -> tuple[Array, Array]:
        """[1 + draws, n] live FLOPs and the decorrelation of each draw; [4, n] the terms of the penalty, if `norms`."""
        live = [float(space.live_flops(item)) or -np.inf for item in architectures]
        apart = np.zeros((self.draws, len(architectures)))
        terms = np.zeros((4, len(architectures)))
        for start in range(0, len(architectures), TOGETHER):
            part, passes = slice(start, start + TOGETHER), []
            for draw in range(self.draws):
                draws = Draws(self.seed, [draw], torch.float32, device)
                batch, asked = batch_of(images, self.images, draws), norms and draw < self.norm_draws
                passed = space.pullbacks(architectures[part], batch, draws, self.channels, asked)
                apart[draw, part] = jacobian_decorrelation(passed.seen).cpu().numpy()
                passes += [passed] if asked else []
            if passes:
                terms[:, part] = two_probe_terms(passes)
            done(min(part.stop, len(architectures)))
        return np.vstack([live, apart]), terms


def two_probe_terms(passes: Sequence[Pullbacks]) -> Array:
    """Return mean_log, sd_log, log_effective_rank and log_decorrelation [4, P] of networks; NaN of a dead one.

    Each of `passes` is a draw of the weights with two pullbacks of each image. The variance is the covariance of the
    logarithms of the two probes, which have their noise apart; 1/r is the mean squared cosine of the two. Other than in
    `nasjac.sampling.estimators` the bias of a logarithm of two probes, about −1/(2r), is left in (`debiased` of one level),
    and log r is that of the mean of 1/r: what ranks cells of one table, which differ by far more, was chosen so.
    """
    ends = np.stack([np.stack([end.double().cpu().numpy() for end in one.ends]) for one in passes])  # [D, 2, P, B, h_0]
    outputs = torch.stack([F.normalize(one.outputs.double(), dim=-1) for one in passes]).cpu().numpy()  # [D, P, B, N]
    units, count = outputs.shape[-1], outputs.shape[-2]
    squares = np.square(ends).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.square(ends.prod(axis=1).sum(axis=-1)) / squares.prod(axis=1) * units
        logs = np.moveaxis(np.log(squares / units), (2, 1), (0, -1)).reshape(squares.shape[2], -1, 2)  # [P, D B, 2]
        covariance = (logs - logs.mean(axis=1, keepdims=True)).prod(axis=-1).mean(axis=-1)
        sd_log = np.where(np.isfinite(logs).all(axis=(1, 2)), np.sqrt(covariance.clip(min=0)), np.nan)
        alike = np.square(outputs.sum(axis=2)).sum(axis=-1) - np.square(outputs).sum(axis=(2, 3))  # [D, P]
        log_decorrelation = np.log(1 - alike.mean(axis=0) / (count * (count - 1)))
        mean_log = debiased(logs, levels=1).value.mean(axis=-1)
        return np.stack([mean_log, sd_log, -np.log(cosines.mean(axis=(0, 2))), log_decorrelation])


def _averaged(images: Tensor, pixels: int) -> Tensor:
    size = images.shape[-1]
    if images.shape[-2] != size or size % pixels:
        got = f"{pixels} for images of {images.shape[-2]} x {size}"
        raise InputError(f"`score.pixels` must divide rows and columns of the dataset's images, got {got}")
    return F.avg_pool2d(images, size // pixels)
