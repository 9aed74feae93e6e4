"""What Optuna and its samplers refuse, and what they propose although the space does not have it, as one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from nasjac.foundation.errors import InputError
from nasjac.foundation.origin import origin

#: where GridSampler notes its grid on a trial
GRID = "search_space"
#: packages that Optuna computes with
BENEATH = ("numpy", "scipy", "torch", "cmaes")
#: relative excess over a range that rounding may leave
ROUNDING = 1e-9


@contextmanager
def refusals_of_sampler() -> Iterator[None]:
    """Turn what Optuna itself refuses within the block into the error of the user, who chose sampler, options and space.

    Such are a grid without one of the space's choices, a range that cannot be enumerated, several objectives for a sampler
    of one, a package that is not installed. What our own code or a sampler of the user's own raises is a fault and passes.

    Raises:
        InputError: Optuna refused.
    """
    with warnings.catch_warnings():  # these are refused, by `check_proposed`
        warnings.filterwarnings("ignore", message=".*out of range", category=UserWarning)
        try:
            yield
        except (ValueError, TypeError, ImportError, RuntimeError, NotImplementedError) as error:
            if isinstance(error, InputError) or not is_of_optuna(error):
                raise
            rule = "suit the space, the objectives and what is installed"
            raise InputError(f"`sampler` must {rule}, got a refusal: {error}") from error


def is_of_optuna(error: Exception) -> bool:
    """Return whether a line of Optuna's own raised it, or one of what Optuna computes with."""
    return origin(error, BENEATH) == "optuna"


def check_proposed(trials: Sequence[FrozenTrial]) -> None:
    """Raise InputError unless each choice of these trials, and of the grid they come from, is one that the space has.

    A choice of the grid that no trial asks for may be one that depends on others. Of one that the space does not have the
    right name is missing, which Optuna says.
    """
    for trial in trials:
        for name, allowed in trial.distributions.items():
            for value in trial.system_attrs.get(GRID, {}).get(name, ()):
                _check("sampler.search_space", name, value, allowed)
            _check("sampler", name, trial.params[name], allowed)


def _check(option: str, name: str, value: Any, allowed: BaseDistribution) -> None:
    if isinstance(allowed, CategoricalDistribution):
        if value not in allowed.choices:
            told = ", ".join(map(str, allowed.choices))
            raise InputError(f"`{option}` must hold of `{name}` what the space has, {told}, got {value!r}")
    elif isinstance(allowed, IntDistribution | FloatDistribution):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        slack = ROUNDING * max(abs(allowed.low), abs(allowed.high))
        if not number or not allowed.low - slack <= value <= allowed.high + slack:
            told = f"numbers in [{allowed.low:g}, {allowed.high:g}]"
            raise InputError(f"`{option}` must hold of `{name}` what the space has, {told}, got {value!r}")
