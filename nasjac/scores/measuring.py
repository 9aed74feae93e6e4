"""Measuring architectures from Python: `nasjac.measure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.space import SpaceLike
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.arguments import dense, items
from nasjac.foundation.choices import chosen
from nasjac.foundation.errors import InputError
from nasjac.kinds.spaces import default_space
from nasjac.scores.apjn import Apjn
from nasjac.scores.base import Score
from nasjac.scores.meanfield import Meanfield
from nasjac.scores.merit import Merit

SCORES: dict[str, type[Score]] = {"merit": Merit, "apjn": Apjn, "meanfield": Meanfield}


def measure(
    specs: Sequence[Spec],
    inputs: Tensor,
    score: str | type[Score] | Score = "merit",
    *,
    space: SpaceLike | None = None,
    device: torch.device | str = "cpu",
    **options: Any,
) -> list[Measurement]:
    """Measure architectures at initialization, without training them.

    A score that ranks, as merit does, needs a reference population. Unless it is bound to one already (`Score.bind`), its
    population is drawn from `space` as `nasjac.search` draws it: on the same space and inputs both give the same values.
    That is a second or more of work a call, so bind a score yourself to call it often.

    Args:
        specs: Architectures; of one kind where a population is drawn from the default space.
        inputs: [n, features] standardized data, n at least 2, or [n, T] token ids of a transformer_lm.
        score: merit, apjn or meanfield; or a class or an object of your own that derives from `nasjac.scores.Score`.
        space: Where the reference population is drawn; by default the space of the architectures' kind with its defaults.
        device: Where networks are sampled: cpu, cuda or a torch.device.
        **options: Options of the score, such as rel_error=0.1.

    Returns:
        One Measurement for each architecture, in order. Its `terms` have values and standard errors by name.

    Raises:
        InputError: No Specs, inputs of another shape or not finite, an unknown score or option, or architectures of
            several kinds without a `space`.

    >>> [found] = measure([Spec.of(width=8, blocks=())], torch.ones(4, 3), "meanfield")
    >>> round(found.terms["log_mean"].value, 4)
    0.0
    """
    if dense("inputs", inputs).ndim != 2 or len(inputs) < 2 or not inputs.shape[1]:
        raise InputError(f"`inputs` must be [n, features] with n at least 2, got shape {list(inputs.shape)}")
    if inputs.is_complex() or inputs.dtype == torch.bool:
        raise InputError(f"`inputs` must hold real numbers or token ids, got {inputs.dtype}")
    if not inputs.isfinite().all():
        raise InputError(f"`inputs` must be finite, got {int((~inputs.isfinite()).sum())} numbers that are not")
    known = items("specs", specs, Spec, "Spec")
    made = chosen("score", score, SCORES, Score, **options)  # type: ignore[type-abstract]
    where = arguments.device("device", device)
    if known and made.reference and made.digest is None:
        made = made.bind(_population(known, space, made.reference))
    return made.measure(known, inputs.detach(), where) if known else []


def _population(specs: Sequence[Spec], space: SpaceLike | None, count: int) -> list[Spec]:
    """`count` random architectures of `space`, or of the default space of the specs' kind."""
    from nasjac.samplers.random_specs import random_specs  # Optuna, which few need

    if space is None:
        if len(kinds := sorted({spec.kind for spec in specs})) > 1:
            rule = "be said to rank architectures of several kinds, for each kind has a default space of its own"
            raise InputError(f"`space` must {rule}, got {', '.join(kinds)}")
        space = default_space(specs[0])
    return random_specs(space, count)
