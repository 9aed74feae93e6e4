"""digits: 1,797 handwritten digits of 8 x 8 pixels, shipped with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from nasjac.datasets.data import Data, standardized


@dataclass(frozen=True)
class Digits:
    """Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI, 1998), the copy in scikit-learn.

    64 features, 10 classes. Validation is every fifth sample of each class, in the order of the file.
    """

    name: ClassVar[str] = "digits"

    def load(self) -> Data:
        """Return 1,442 training and 355 validation samples."""
        from sklearn.datasets import load_digits  # half a second, for those who load it

        inputs, labels = map(torch.from_numpy, load_digits(return_X_y=True))
        valid = torch.zeros(len(labels), dtype=torch.bool)
        for label in range(10):
            valid[(labels == label).nonzero().squeeze(1)[4::5]] = True
        return standardized(inputs, labels, valid, outputs=10, shape=(1, 8, 8))
