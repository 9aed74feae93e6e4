"""Scores: one option a file. A score maps specs to measurements without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nasjac.measurement import Measurement
from nasjac.scores.apjn import Apjn
from nasjac.spec import Spec


class Score(Protocol):
    """A frozen dataclass of options that can be called.

    `name` labels its rows; its options are part of a study's identity. A call returns one Measurement a spec, in order;
    what it says of a spec depends on that spec, the inputs and the options alone, never on the other specs of the call.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]: ...


SCORES: dict[str, type[Score]] = {"apjn": Apjn}
