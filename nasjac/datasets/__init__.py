"""Datasets: real inputs and labels, one file each."""

from __future__ import annotations

from nasjac.datasets.cifar10 import Cifar10
from nasjac.datasets.data import Data, Dataset, check_kind, standardized
from nasjac.datasets.digits import Digits
from nasjac.datasets.fashion_mnist import FashionMnist
from nasjac.datasets.text import Text

DATASETS: dict[str, type[Dataset]] = {"digits": Digits, "fashion_mnist": FashionMnist, "cifar10": Cifar10, "text": Text}

__all__ = [
    "DATASETS",
    "Cifar10",
    "Data",
    "Dataset",
    "Digits",
    "FashionMnist",
    "Text",
    "check_kind",
    "standardized",
]
