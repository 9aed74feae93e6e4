"""Options that the spaces of ResNets and DenseNets share, and a trial's choices among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from nasjac.architecture.space import Trial
from nasjac.kinds.convolutional.spec import IMAGE_NORMS, ORDERS
from nasjac.kinds.options.checks import SEARCHED_ACTIVATIONS, check_names, check_range, check_widths
from nasjac.kinds.options.images import ImageOptions, check_stages
from nasjac.kinds.options.sized import SizedOptions


class Layers(TypedDict):
    """The fields that all convolutional networks have, but width and blocks."""

    shape: tuple[int, ...]
    norm: str
    order: str
    activation: str
    weight_gain: float


@dataclass(frozen=True)
class ConvolutionalOptions(ImageOptions, SizedOptions):
    """Options of a space of convolutional networks in `stages`, beside those of `ImageOptions` and `SizedOptions`."""

    stages: int = 3
    norms: tuple[str, ...] = IMAGE_NORMS
    orders: tuple[str, ...] = ORDERS
    activations: tuple[str, ...] = ("relu", "gelu")
    weight_gain_min: float = 0.7
    weight_gain_max: float = 2.0

    def __post_init__(self) -> None:
        check_stages(self)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        check_names(self, {"norms": IMAGE_NORMS, "orders": ORDERS, "activations": SEARCHED_ACTIVATIONS})

    def suggest_depths(self, trial: Trial) -> tuple[int, ...]:
        """Return a trial's choice of blocks, stage by stage."""
        return tuple(trial.suggest_int(f"depth_{n + 1}", self.depth_min, self.depth_max) for n in range(self.stages))

    def suggest_layers(self, trial: Trial) -> Layers:
        """Return a trial's choice of the fields that all convolutional networks have, and the shape of the images."""
        return {
            "shape": self.image,
            "norm": trial.suggest_categorical("norm", self.norms),
            "order": trial.suggest_categorical("order", self.orders),
            "activation": trial.suggest_categorical("activation", self.activations),
            "weight_gain": trial.suggest_float("weight_gain", self.weight_gain_min, self.weight_gain_max, log=True),
        }
