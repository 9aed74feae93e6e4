"""What a database may name to be run: nasjac's own options and Optuna's samplers, and what the caller names too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.samplers import SAMPLERS
from nasjac.searching.options import GROUPS, Chosen, class_path
from nasjac.store.rows import TrialRow

#: samplers that have a name of ours, as `_target_` names them
OWN_SAMPLERS = tuple(class_path(factory.func) for factory in SAMPLERS.values())
#: where a configuration names the class of its sampler
MAIN_TARGET = "sampler._target_"
#: how deep stored options may be nested
MOST_DEPTH = 16
#: what Optuna's CMA-ES keeps of itself with a trial: pieces of a pickle, which it reads again
PICKLED = ("cma:optimizer", "sepcma:optimizer", "cmawm:optimizer")


@dataclass(frozen=True)
class Trust:
    """What the caller lets a database name, beside what any database may name.

    `everything`  the option trust=true
    `options`     group -> what the caller names of it, such as space -> my_net:space; of samplers the class
    `targets`     the classes and functions that the caller's sampler names by `_target_`
    """

    everything: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()


def trust_of(everything: bool, given: Mapping[str, Chosen | None]) -> Trust:
    """Return what a caller who gives these options, by group, trusts a database with."""
    options = {group: chosen.name for group, chosen in given.items() if chosen is not None and group in GROUPS}
    sampler = given.get("sampler")
    targets = {path: str(target) for path, target in targets_in(sampler.options if sampler else {}, "sampler")}
    if MAIN_TARGET in targets:
        options["sampler"] = targets[MAIN_TARGET]
    return Trust(everything, options, tuple(targets.values()))


def check_option(study: str, group: str, name: object, trust: Trust) -> str:
    """Return the name of an option that a stored search may have.

    Raises:
        InputError: Nothing is called so, or it is a module:name of which the caller says nothing.
    """
    if not isinstance(name, str):
        raise InputError(f"`choices.{group}` of study {study!r} must be the name of an option, got {name!r}")
    if ":" not in name:
        check_choice(f"choices.{group}", name, GROUPS[group])
    if group != "dataset":  # another one may be validated on
        _check_same(study, group, name, trust)
    if ":" in name and not trust.everything and trust.options.get(group) != name:
        raise refusal(study, f"{group}={name}", f"{group}={name}")
    return name


def check_targets(study: str, sampler: Mapping[str, Any], trust: Trust) -> None:
    """Check what a stored sampler would have made: the sampler itself, and options of it that are made too.

    Raises:
        InputError: It is neither Optuna's nor ours, or an option of it is to be made, and the caller names neither.
    """
    if not isinstance(main := sampler.get("_target_"), str):
        raise InputError(f"`{MAIN_TARGET}` of study {study!r} must be the name of a sampler, got {main!r}")
    _check_same(study, "sampler", main, trust)
    for path, target in targets_in(sampler, "sampler"):
        known = path == MAIN_TARGET and is_known_sampler(target)
        if not known and not trust.everything and target not in trust.targets:
            given = f"sampler={target}" if path == MAIN_TARGET else f"sampler={main} +{path}={target}"
            raise refusal(study, f"{path}={target}", given)


def _check_same(study: str, group: str, name: str, trust: Trust) -> None:
    given = trust.options.get(group, name)
    if given != name:
        raise InputError(f"`{group}` must be left out or be that of study {study!r}, {name}, got {given}")


def refusal(study: str, named: str, given: str) -> InputError:
    """Return the error of a study whose stored search names what a stranger may have written."""
    rule = "name nasjac's own options and Optuna's samplers alone"
    out = f"give {given} too if you know it, or trust=true to run whatever the database names"
    return InputError(f"`study` must {rule}, got {study!r}, whose stored search would run {named}: {out}")


def is_known_sampler(target: object) -> bool:
    """Return whether `target` names one of Optuna's samplers or of ours."""
    if target in OWN_SAMPLERS:
        return True
    module, _, name = str(target).rpartition(".")
    found = getattr(optuna.samplers, name, None) if module == "optuna.samplers" else None
    return isinstance(found, type) and issubclass(found, optuna.samplers.BaseSampler)


def targets_in(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Return where each `_target_` is in a configuration, and what it is."""
    return ((where, found) for where, found in entries(value, path) if where.endswith("._target_"))


def check_plain(study: str, value: object, path: str) -> None:
    """Check that stored options are values: no interpolation, which would read files or the environment, no deep nesting.

    Raises:
        InputError: Which of them is not.
    """
    for where, found in entries(value, path):
        if where.count(".") > MOST_DEPTH:
            raise InputError(f"`{path}` of study {study!r} must be nested {MOST_DEPTH} levels deep at most, got more")
        if "${" in where or (isinstance(found, str) and "${" in found):
            raise InputError(f"`{path}` of study {study!r} must hold values without ${{...}}, got {found!r} in {where}")


def entries(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield all that is in a mapping or list, at any depth: where it is, and what."""
    waiting = [(path, value)]
    while waiting:  # no recursion, which nesting could exhaust
        path, value = waiting.pop()
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        inside = [(f"{path}.{key}", item) for key, item in items]
        yield from inside
        waiting += inside


def check_attributes(study: str, rows: Sequence[TrialRow], trust: bool) -> None:
    """Check that going on with a study reads no pickle, which may run any program.

    Raises:
        InputError: A trial holds the memory of CMA-ES, which Optuna keeps as a pickle.
    """
    held = next((row.number for row in rows if any(name.startswith(PICKLED) for name in row.system_attrs)), None)
    if held is not None and not trust:
        rule = "hold no pickle, which may run any program when a search goes on"
        out = "trust=true reads it, if the database is your own"
        raise InputError(f"`study` must {rule}, got the memory of CMA-ES in trial {held} of {study!r}: {out}")
