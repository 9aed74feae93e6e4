"""Scores: one option a file. A score maps specs to measurements without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.arguments import dense, items, shown
from nasjac.foundation.errors import InputError
from nasjac.scores.apjn import Apjn
from nasjac.scores.meanfield import Meanfield
from nasjac.scores.merit import Merit


class Score(Protocol):
    """A frozen dataclass of options that can be called.

    `name` labels its rows; its options are part of a study's identity, but for those that it lists in an attribute
    `incidental`, and so is an attribute `formulas` that names the version of its formulas. A call returns one Measurement
    a spec, in order; what it says of a spec depends on that spec, the inputs and the options alone, never on the other
    specs of the call. A score that samples may take `rivals`, one a spec or None, and stop early where a spec is certain
    to have a larger objective than its rival. An attribute `provenance`, a mapping, goes to the notes of the run;
    `objectives` is what a search optimizes unless it is told. A score that ranks has a method `among(population)` that
    gives it the frozen population of the space, of `reference` architectures; what that makes has a `digest` of them.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]: ...


SCORES: dict[str, type[Score]] = {"merit": Merit, "apjn": Apjn, "meanfield": Meanfield}


def measure(
    specs: Sequence[Spec], inputs: Tensor, score: Score | None = None, device: torch.device | str = "cpu"
) -> list[Measurement]:
    """Measure architectures at initialization, one Measurement a spec, in order.

    `inputs` [n, features] are standardized data, n at least 2, or token ids [n, T] for transformers; `score` is Apjn()
    unless another is given. ValueError: inputs of another shape or not finite, anything but Specs.
    """
    if dense("inputs", inputs).ndim != 2 or len(inputs) < 2 or not inputs.shape[1]:
        raise InputError(f"`inputs` must be [n, features] with n at least 2, got shape {list(inputs.shape)}")
    if inputs.is_complex() or inputs.dtype == torch.bool:
        raise InputError(f"`inputs` must hold real numbers or token ids, got {inputs.dtype}")
    if not inputs.isfinite().all():
        raise InputError(f"`inputs` must be finite, got {int((~inputs.isfinite()).sum())} numbers that are not")
    known = items("specs", specs, Spec, "Spec")
    score = Apjn() if score is None else score
    if isinstance(score, type) or not callable(score) or not hasattr(score, "name"):
        raise InputError(f"`score` must be a score with its options, such as nasjac.scores.Apjn(), got {shown(score)}")
    return score(known, inputs.detach(), arguments.device("device", device))
