"""Random architectures of a space: the reference populations that scores rank in."""

from __future__ import annotations

from nasjac.architecture.ensemble import members
from nasjac.architecture.space import SpaceLike
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError
from nasjac.samplers.studies import random_study


def random_specs(space: SpaceLike, count: int, seed: int = 0) -> list[Spec]:
    """Return `count` concrete architectures drawn at random, maybe some twice; of an ensemble its first skip pattern."""
    study = random_study(seed)
    return [members(check_spec(space(study.ask())), 1, seed)[0] for _ in range(count)]


def check_spec(made: object) -> Spec:
    """Return what a space has made. InputError: it is no Spec."""
    if not isinstance(made, Spec):
        raise InputError(f"`space` must return a Spec for every trial, got {shown(made)}")
    return made
