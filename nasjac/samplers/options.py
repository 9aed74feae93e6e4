"""The options of a sampler, checked before a search begins: Optuna looks at few of them, and at some of those late."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna

from nasjac.foundation.errors import InputError
from nasjac.samplers.refusals import is_of_optuna

#: plain types that an option may have by the annotations of the sampler's constructor
PLAIN: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "None": type(None),
}
#: the largest whole number of an option: populations, trials before the model, candidates of a proposal, all in memory
MOST = 1_000_000
#: options whose range is narrower. The reference points of NSGA-III are as many as the ways to write `dividing_parameter`
#: as a sum of as many terms as there are objectives
RANGES = {"n_ei_candidates": (1, MOST), "popsize": (2, MOST), "dividing_parameter": (1, 50)}


def check_sampler(factory: Callable[..., Any], seed: int) -> None:
    """Check that `factory(seed=...)` makes a sampler of Optuna's, by options of the right types and of sane sizes.

    Args:
        factory: A class of samplers, usually as a `functools.partial` with its options.
        seed: The search's.

    Raises:
        InputError: An option is of another type, not finite or too large, or the sampler refuses it.
    """
    if not callable(factory):
        raise InputError(f"`sampler` must be a class of samplers such as optuna.samplers.QMCSampler, got {factory!r}")
    kind, options = (factory.func, factory.keywords) if isinstance(factory, partial) else (factory, {})
    _check_options(kind, options)
    try:
        sampler = factory(seed=seed)
    except (TypeError, ValueError, ImportError) as error:
        if not (_is_of_the_call(error) or is_of_optuna(error)):
            raise
        raise InputError(f"`sampler` must take the options given and a seed, got a refusal: {error}") from error
    if not isinstance(sampler, optuna.samplers.BaseSampler):
        raise InputError(f"`sampler` must make an Optuna sampler, got {sampler!r}")


def _is_of_the_call(error: Exception) -> bool:
    """Whether no line of the constructor has run, as this call or Hydra's does not fit its parameters."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    module = str(frame.f_globals.get("__name__"))
    return module == __name__ or module.partition(".")[0] == "hydra"


def _check_options(kind: Callable[..., Any], options: Mapping[str, Any]) -> None:
    if "seed" in options:
        raise InputError(f"`sampler.seed` must be left out, for `seed` is that of the search, got {options['seed']!r}")
    if str(kind.__module__).partition(".")[0] in ("optuna", "nasjac"):  # a user's own class checks its options itself
        types = inspect.get_annotations(kind.__init__ if isinstance(kind, type) else kind)  # type: ignore[misc]
        for name in options.keys() & types:
            _check_option(name, options[name], types[name])
    if kind is optuna.samplers.GridSampler:
        _check_grid(options.get("search_space"))


def _check_grid(grid: Any) -> None:
    """A list of values by choice, and no more combinations than can be in memory."""
    rule = "map choices of the space to lists of values, such as {depth: [2, 4]}"
    if not isinstance(grid, Mapping) or not grid:
        raise InputError(f"`sampler.search_space` must {rule}, got {grid!r}")
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise InputError(f"`sampler.search_space` must {rule}, got {values!r} for {name!r}")
        if other := next((value for value in values if not isinstance(value, str | int | float | None)), None):
            raise InputError(f"`sampler.search_space` must hold numbers, names, true or false, got {other!r} for {name!r}")
    if (count := math.prod(map(len, grid.values()))) > MOST:
        raise InputError(f"`sampler.search_space` must have at most {MOST} combinations, got {count}")


def _check_option(name: str, value: Any, annotation: object) -> None:
    if not isinstance(value, str | int | float | None):
        return  # mappings and objects are the sampler's to check
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    types = [part.strip() for part in text.split("|")]
    plain = [PLAIN[one] for one in types if one in PLAIN]
    fits = any(isinstance(value, one) for one in plain) and (not isinstance(value, bool) or "bool" in types)
    if not fits and "Any" not in types:
        raise InputError(f"`sampler.{name}` must be of type {text}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"`sampler.{name}` must be a finite number, got {value!r}")
    low, high = RANGES.get(name, (0, MOST))
    if type(value) is int and "float" not in types and not low <= value <= high:
        raise InputError(f"`sampler.{name}` must be a whole number in [{low}, {high}], got {value!r}")
