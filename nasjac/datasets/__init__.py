"""Datasets: real inputs and labels, one file each."""

from __future__ import annotations

from nasjac.datasets.data import Data, Dataset, standardized
from nasjac.datasets.digits import Digits
from nasjac.datasets.fashion_mnist import FashionMnist

DATASETS = {"digits": Digits, "fashion_mnist": FashionMnist}

__all__ = ["DATASETS", "Data", "Dataset", "Digits", "FashionMnist", "standardized"]
