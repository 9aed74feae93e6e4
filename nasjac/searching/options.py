"""What a caller may give for an option: a name, a class or an object; for a group of options its dataclass or a mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any, TypeVar, get_type_hints

import optuna
import torch

from nasjac.architecture.fields import check_choice
from nasjac.datasets import DATASETS, Dataset
from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError
from nasjac.kinds.spaces import SPACES
from nasjac.models.foreign_calls import called
from nasjac.samplers import SAMPLERS
from nasjac.scores import SCORES, Score
from nasjac.searching.load import imported, load
from nasjac.searching.study import SamplerFactory
from nasjac.store.database import nearest, path_of
from nasjac.trainers import TRAINERS, Trainer

#: option groups whose options are ours: name -> dataclass
GROUPS: dict[str, dict[str, Any]] = {"space": SPACES, "score": SCORES, "dataset": DATASETS, "trainer": TRAINERS}

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """An option of a group: its name, the object that it stands for, and its own options, ready for JSON."""

    name: str
    made: Any
    options: Mapping[str, Any]


def choose(group: str, given: object) -> Chosen:
    """Return the option that a caller means.

    Args:
        group: space, score, dataset, trainer or sampler.
        given: A name in the group's table, package.module:name, a class with defaults, or an object. Of a sampler a name,
            a class, a `functools.partial` of one, or package.Class.

    Raises:
        InputError: Nothing has that name, or it cannot be an option of this group.
    """
    if isinstance(given, Chosen):
        return given
    if group == "sampler":
        return _sampler(given)
    if isinstance(given, str):
        return named(group, given)
    made = _made(group, given)
    kind = made if isinstance(made, FunctionType) else type(made)
    path = f"{kind.__module__}:{kind.__qualname__}"
    found = checked(group, next((name for name, known in GROUPS[group].items() if known is kind), path), made)
    if isinstance(made, partial) or (kind is type(made) and not is_dataclass(made) and vars(made)):
        rule = "a dataclass or a function, for a study is told from others by the options of what it searches with"
        raise InputError(f"`{group}` must be {rule}, got {shown(made)}")
    return found


def named(group: str, name: str, options: Mapping[str, Any] | None = None) -> Chosen:
    """Return the option of a group that has this name, with these options and defaults for the rest.

    Raises:
        InputError: Nothing is called so, or it has no such options.
    """
    if ":" in name:
        kind = load(name)
    else:
        check_choice(group, name, GROUPS[group])
        kind = GROUPS[group][name]
    if not options:
        return checked(group, name, _made(group, kind))
    if not is_dataclass(kind):
        raise InputError(f"`{group}` must have no options where it is no dataclass, got {dict(options)} for {name}")
    return checked(group, name, typed(kind if isinstance(kind, type) else type(kind), options, group))


def _made(group: str, given: object) -> Any:
    """The object itself, or one of a class."""
    if not isinstance(given, type):
        return given
    options = fields(given) if is_dataclass(given) else ()
    if any(item.init and item.default is MISSING and item.default_factory is MISSING for item in options):
        raise InputError(f"`{group}` must be a class whose options have defaults, or an object, got {shown(given)}")
    return given()


#: what an option of a user's own must be, by its group, and what another thing lacks
_CONTRACTS: dict[str, tuple[Any, str]] = {
    "space": (Callable, "is not callable"),
    "score": (Score, "does not derive from nasjac.scores.Score"),
    "dataset": (Dataset, "has no name and load"),
    "trainer": (Trainer, "has no name, seeds, learning_rates and train"),
}


def checked(group: str, name: str, made: Any) -> Chosen:
    """Return an object as an option of its group.

    Raises:
        InputError: It is no such thing.
    """
    kind, lacking = _CONTRACTS[group]
    if isinstance(made, type) or not isinstance(made, kind):
        rule = f"a {group}: a dataclass of options, or an object or function that is one"
        told = "is a class" if isinstance(made, type) else lacking
        raise InputError(f"`{group}` must be {rule}, got {name}, {shown(made)}, which {told}")
    return Chosen(name, made, options_of(made))


def options_of(made: Any) -> dict[str, Any]:
    """The options of a dataclass, ready for JSON: a whole number where any is meant is a float, as the shell makes it."""
    if not is_dataclass(made):
        return {}
    return {item.name: _plain(getattr(made, item.name), str(item.type)) for item in fields(made) if item.init}


def _plain(value: Any, kind: str) -> Any:
    if isinstance(value, tuple):
        return list(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    types = [part.strip() for part in kind.split("|")]
    return float(value) if is_number and "float" in types and "int" not in types else value


def group_of(name: str, kind: type[T], given: T | Mapping[str, Any] | None) -> T:
    """Return the dataclass of an option group.

    Args:
        name: Of the group, for errors.
        kind: Its dataclass, whose options all have defaults.
        given: Such an object, a mapping of some of its options, or None for the defaults.

    Raises:
        InputError: It has no such option, or a value is of another type.
    """
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"`{name}` must be a {kind.__name__} or a mapping of its options, got {shown(given)}")
    return typed(kind, given or {}, name)


def typed(kind: type[T], values: Mapping[str, Any], name: str) -> T:
    """Return the dataclass with these values; they take the types of its fields.

    Raises:
        InputError: It has no such field, or a value is of another type.
    """
    from pydantic import TypeAdapter, ValidationError  # late: a tenth of a second

    known, hints = [item.name for item in fields(kind) if item.init], get_type_hints(kind)  # type: ignore[arg-type]
    made = {}
    for option, value in values.items():
        if option not in known:
            told = f"must have no options but {', '.join(known) or 'none'}, got {option}{nearest(str(option), known)}"
            raise InputError(f"`{name}` {told} ({value!r})")
        try:
            made[option] = TypeAdapter(hints[option]).validate_python(value)
        except ValidationError as error:
            raise InputError(f"`{name}.{option}` must be of its type, got {value!r}: {error.errors()[0]['msg']}") from error
    return kind(**made)


def _sampler(given: object) -> Chosen:
    if isinstance(given, str):
        if "." in given:
            return sampler_of(given, {"_target_": given})
        check_choice("sampler", given, SAMPLERS)
        factory = SAMPLERS[given]
        return Chosen(given, factory, {"_target_": class_path(factory.func), **factory.keywords})
    kind, options = (given.func, given.keywords) if isinstance(given, partial) else (given, {})
    if not isinstance(kind, type):
        raise InputError(f"`sampler` must be a name, a class of samplers or a partial of one, got {shown(given)}")
    alike = (name for name, known in SAMPLERS.items() if known.func is kind and known.keywords.keys() <= options.keys())
    if odd := next((name for name, value in options.items() if not _is_plain(value)), None):
        rule = "be a plain value, for it is stored"
        raise InputError(f"`sampler.{odd}` must {rule}, got {options[odd]!r}")
    path = class_path(kind)
    return Chosen(next(alike, path), given, {"_target_": path, **options})


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, str | int | float | None)


def sampler_of(name: str, options: Mapping[str, Any]) -> Chosen:
    """Return the sampler that plain options describe: `_target_` names its class, and so may options of it.

    What they name is imported and called: what a database says must have been checked before (`nasjac.searching.trust`).

    Raises:
        InputError: There is no such class, an option has no name of its own, or its class refuses what it is given.
    """
    if odd := [name for name in options if name.startswith("_") and name != "_target_"]:
        rule = "be left out, for a sampler takes its options by name"
        raise InputError(f"`sampler.{odd[0]}` must {rule}, got {options[odd[0]]!r}")
    given = {key: _instance(value, f"sampler.{key}") for key, value in options.items() if key != "_target_"}
    factory: SamplerFactory = partial(_named_class(options.get("_target_"), "sampler._target_"), **given)
    return Chosen(name, factory, dict(options))


def _instance(value: Any, path: str) -> Any:
    """The value with every mapping that has a `_target_` in the place of what that makes."""
    if isinstance(value, list):
        return [_instance(item, f"{path}.{number}") for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    inner = {key: _instance(item, f"{path}.{key}") for key, item in value.items() if key != "_target_"}
    if "_target_" not in value:
        return inner
    return called(f"`{path}` must be what its class takes", _named_class(value["_target_"], f"{path}._target_"), (), inner)


def _named_class(name: object, path: str) -> Any:
    module, _, attribute = str(name).rpartition(".")
    try:
        return imported(module or "builtins", attribute, f"`{path}` must be in a module that can be imported, got {name}")
    except (ImportError, AttributeError) as error:
        raise InputError(f"`{path}` must be a class that is there, as package.Class, got {name}: {error}") from error


def class_path(kind: Any) -> str:
    """Where a class is imported from; one of Optuna's samplers from where their users do."""
    is_public = vars(optuna.samplers).get(kind.__name__) is kind
    return f"optuna.samplers.{kind.__name__}" if is_public else f"{kind.__module__}.{kind.__qualname__}"


def existing(database: str) -> str:
    """Return the path of a database that is there already.

    Raises:
        InputError: It is not.
    """
    if not path_of(database).exists():
        raise InputError(f"`database` must be a file that exists (nasjac search makes one), got {database!r}")
    return database


def device_of(name: str) -> torch.device:
    """Return a device by its name; auto is a GPU if there is one.

    Raises:
        InputError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        there = "auto, cpu" + (", cuda" if torch.cuda.is_available() else " (no GPU is visible)")
        raise InputError(f"`device` must be one of {there}, got {name!r}")
    return torch.device(name)
