"""merit on tables of trained architectures, with or without each of its parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.mathematics.decorrelation import decorrelation
from nasjac.mathematics.log_percentile import LogRank
from nasjac.mathematics.trainability import merit, penalties
from nasjac.sampling.draws import Draws
from nasjac.scores.merit import Merit
from nasjac.tables.scores.base import Done, Scored, batch_of, check_at_least, reference_population
from nasjac.tables.spec_table import SpecTable

Array = NDArray[np.float64]

EXPRESSIVITY = ("capacity", "decorrelation")
HARMS = ("criticality", "spread", "effective_rank", "output_decorrelation")
#: what merit is made of
PARTS = EXPRESSIVITY + HARMS
#: networks of one pass: their layers stay in the processor's cache
TOGETHER = 16


@dataclass(frozen=True)
class TableMerit:
    """The merit that a search optimizes (`nasjac.scores.merit.Merit`), as a score of tables.

    On tables of Specs it is that very score, among `reference` architectures of the table. On published tables FLOPs are
    those of the network as trained, of layers that are alive; Jacobians are those of a small network of the same
    architecture with shared weights, BatchNorm in training mode, and log-ranks are among the space's reference population.

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
        leasts = {"draws": 1, "norm_draws": 1, "images": 2, "channels": 1, "pixels": 4, "reference": 256, "seed": 0}
        for name, least in leasts.items():
            check_at_least(name, getattr(self, name), least)
        if self.norm_draws > self.draws:
            raise InputError(f"`score.norm_draws` must be at most `score.draws`, {self.draws}, got {self.norm_draws}")

    needs_images: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "merit"

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """Merit of the parts that are asked for."""
        parts = self.parts(space, architectures, images, device, done)
        return [Scored(float(value)) for value in total(parts, self.without)]

    def parts(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> dict[str, Array]:
        """Each part [n] by its name; NaN of the penalty, and −∞, where a Jacobian is zero or not finite."""
        population = reference_population(space, self.reference)
        of = self._of_specs if isinstance(space, SpecTable) else self._of_networks
        return of(space, architectures, population, images, device, done)

    def _of_specs(
        self,
        space: Any,
        specs: Sequence[Spec],
        population: Sequence[Spec],
        inputs: Tensor,
        device: torch.device,
        done: Done,
    ) -> dict[str, Array]:
        among = Merit(seed=self.seed, reference=self.reference).among(population)
        whole = [spec.canonical for spec in specs]
        measured = among.options(whole, inputs, device)
        done(len(specs) // 2)
        ranked = among.ranks(whole, inputs, device)
        names = ("mean_log", "sd_log", "log_rank", "log_decorrelation")
        terms = np.array([[item.terms[name].value for item in measured] for name in names], dtype=float)
        done(len(specs))
        capacity, ranks = np.array([one.capacity for one in ranked]), np.array([one.rank for one in ranked])
        return _parts(capacity, ranks.mean(axis=1), terms)

    def _of_networks(
        self,
        space: Any,
        architectures: Sequence[Any],
        population: Sequence[Any],
        images: Tensor,
        device: torch.device,
        done: Done,
    ) -> dict[str, Array]:
        small = _averaged(images, self.pixels)
        known, _ = self._measured(space, population, small, device, lambda _: None, norms=False)
        own, terms = self._measured(space, architectures, small, device, done, norms=True)
        capacity, *by_draw = (LogRank(among)(values) for among, values in zip(known, own, strict=True))
        return _parts(capacity, np.mean(by_draw, axis=0), terms)

    def _measured(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done, norms: bool
    ) -> tuple[Array, Array]:
        """[1 + draws, n] live FLOPs and the decorrelation of each draw; [4, n] the terms of the penalty, if `norms`."""
        live = [float(space.live_flops(item)) or -np.inf for item in architectures]
        found = np.zeros((self.draws, len(architectures)))
        terms = np.zeros((4, len(architectures)))
        for start in range(0, len(architectures), TOGETHER):
            part, samples = slice(start, start + TOGETHER), []
            for draw in range(self.draws):
                draws = Draws(self.seed, [draw], torch.float32, device)
                batch, asked = batch_of(images, self.images, draws), norms and draw < self.norm_draws
                passed = space.pullbacks(architectures[part], batch, draws, self.channels, asked)
                found[draw, part] = decorrelation(passed.seen).cpu().numpy()
                samples += [_sample(passed.ends, passed.outputs)] if asked else []
            if samples:
                terms[:, part] = _terms(*(torch.stack(item, dim=1) for item in zip(*samples, strict=True)))
            done(min(part.stop, len(architectures)))
        return np.vstack([live, found]), terms


def total(parts: Mapping[str, Array], without: Collection[str] = ()) -> Array:
    """[n] merit without some of its parts; −∞ where one of the others does not exist."""
    expressivity, harm = (
        sum((parts[name] for name in names if name not in without), np.zeros(1)) for names in (EXPRESSIVITY, HARMS)
    )
    missing = np.isnan(expressivity + harm)
    return merit(np.where(missing, -np.inf, expressivity), np.where(missing, 0.0, -harm))


def _parts(capacity: Array, decorrelation: Array, terms: Array) -> dict[str, Array]:
    """By name, [n] each; `terms` are mean_log, sd_log, log_rank and log_decorrelation."""
    taken = {name: -value for name, value in penalties(*terms).items()}
    return {"capacity": capacity, "decorrelation": decorrelation, **taken}


def _sample(ends: Sequence[Tensor], outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of one draw, float64: log ‖Jᵀv‖²/N of both v [P, B, 2]; N times their squared cosine [P, B]; 1 − c [P], c the mean
    cosine between the outputs of two images.
    """
    units = outputs.shape[-1]
    norms = torch.stack([end.double().norm(dim=-1) for end in ends], dim=-1)
    cosines = (ends[0].double() * ends[1].double()).sum(-1) / norms.prod(-1)
    direction = F.normalize(outputs.double(), dim=-1)
    count = outputs.shape[1]
    alike = (direction.sum(dim=1).square().sum(-1) - direction.square().sum((1, 2))) / (count * (count - 1))
    return (norms.square() / units).log(), cosines.square() * units, 1 - alike


def _terms(logs: Tensor, angles: Tensor, apart: Tensor) -> Array:
    """[4, P] mean_log, sd_log, log_rank, log_decorrelation from [P, D, B, 2], [P, D, B] and [P, D]; NaN of a dead network.

    The variance is the covariance of the logarithms of two probes, which have their noise apart. 1/r is the mean squared
    cosine of two pullbacks. Other than in `nasjac.sampling.estimators` the bias of a logarithm of two probes, about
    −1/(2r), is left
    in, and log r is that of the mean of 1/r: what ranks cells of one table, which differ by far more, was chosen so.
    """
    flat = logs.flatten(1, 2)
    mean_log = flat.exp().mean(-1).log().mean(-1)
    covariance = (flat - flat.mean(1, keepdim=True)).prod(-1).mean(-1)
    sd_log = torch.where(flat.isfinite().all(-1).all(-1), covariance.clamp(min=0).sqrt(), torch.nan)
    return torch.stack([mean_log, sd_log, -angles.mean((1, 2)).log(), apart.mean(1).log()]).cpu().numpy()


def _averaged(images: Tensor, pixels: int) -> Tensor:
    size = images.shape[-1]
    if images.shape[-2] != size or size % pixels:
        got = f"{pixels} for images of {images.shape[-2]} x {size}"
        raise InputError(f"`score.pixels` must divide rows and columns of the dataset's images, got {got}")
    return F.avg_pool2d(images, size // pixels)
