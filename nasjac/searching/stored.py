"""What a database says of the search that made a study. A stranger may have written it, so nothing is run by its word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json
from nasjac.searching.objectives import OBJECTIVES, Budget, Direction, directions
from nasjac.searching.options import named, sampler_of, typed
from nasjac.searching.search import Search, SearchOptions, search_of
from nasjac.searching.trust import Trust, check_option, check_plain, check_targets
from nasjac.store import Store
from nasjac.store.leaderboard import check_of_initialization
from nasjac.store.rows import StudyRow

T = TypeVar("T")

#: the parts of a stored configuration that are read: none of them says where a file is written
PARTS = ("space", "score", "dataset", "sampler", "budget", "search")
#: the option groups of a search
OPTIONS = ("space", "score", "dataset")


def stored_search(store: Store, study: str, device: torch.device, trust: Trust) -> Search:
    """The search that made a study, from the configuration of its last run.

    Raises:
        InputError: The configuration names what `trust` does not cover, or no search has it; the study's dataset has
            changed; or the score's formulas are other ones than those it was measured by.
    """
    row = store.study(study)
    check_of_initialization(study, row.identity)
    parts, choices, seed = _configuration(store, study, trust)
    made = {group: _values(study, group, parts, partial(named, group, choices[group], parts[group])) for group in OPTIONS}
    sampler = sampler_of(choices["sampler"], parts["sampler"])
    budget = _values(study, "budget", parts, partial(typed, Budget, parts["budget"], "budget"))
    options = _values(study, "search", parts, partial(typed, SearchOptions, parts["search"], "search"))
    job = search_of(**made, sampler=sampler, budget=budget, options=options, seed=seed, device=device)
    old, new = _identity(row, "score"), job.identity["score"]
    if old != new:
        asked, there = (f"{score.get('name')} ({_version(score)})" for score in (new, old))
        rule = f"have been measured by {asked} to be measured further"
        again = "nasjac search on_conflict=new measures again, in a new study"
        raise InputError(f"`study` must {rule}, got {study!r}, which was measured by {there} ({again})")
    if job.identity["dataset"] != _identity(row, "dataset"):
        rule = f"the inputs that study {study!r} was scored on"
        raise InputError(f"`dataset` must hold {rule}, got other inputs: its file or options have changed since")
    return job


def objectives_of(row: StudyRow) -> dict[str, Direction]:
    """What a study optimized, and which way each is better. InputError: the database says nothing of it."""
    check_of_initialization(row.name, row.identity)
    names = _identity(row, "search").get("objectives")
    if not isinstance(names, list) or not all(isinstance(name, str) and name in OBJECTIVES for name in names):
        rule = f"be a list of {', '.join(OBJECTIVES)}"
        raise InputError(f"`objectives` of study {row.name!r} must {rule}, got {names!r}")
    return dict(zip(names, directions(names), strict=True))


def _configuration(store: Store, study: str, trust: Trust) -> tuple[dict[str, Mapping[str, Any]], dict[str, str], int]:
    """The stored options by group, the names chosen of the groups, and the seed, checked."""
    sql = "SELECT config FROM run WHERE study = :study AND verb = 'search' ORDER BY run_id DESC LIMIT 1"
    runs = store.select(sql, {"study": study}).rows
    if not runs:
        raise InputError(f"`study` must have been made by nasjac search, got {study!r}, which has no run")
    stored = parse_json(str(runs[0][0]), f"config of study {study!r}")
    parts = {name: _mapping(study, stored, name) for name in (*PARTS, "choices")}
    for name, part in parts.items():
        check_plain(study, part, name)
    choices = {group: check_option(study, group, parts["choices"].get(group), trust) for group in OPTIONS}
    check_targets(study, parts["sampler"], trust)
    return parts, {**choices, "sampler": str(parts["choices"].get("sampler"))}, _seed(study, stored)


def _values(study: str, name: str, parts: Mapping[str, object], made: Callable[[], T]) -> T:
    try:
        return made()
    except InputError as error:
        rule = f"`{name}` of study {study!r} must hold its options by type"
        raise InputError(f"{rule}, got {parts[name]}: {error}") from error


def _mapping(study: str, content: object, name: str) -> Mapping[str, Any]:
    found = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(found, Mapping):
        raise InputError(f"`{name}` of study {study!r} must be an object in JSON, got {found!r}")
    return found


def _seed(study: str, stored: Mapping[str, object]) -> int:
    seed = stored.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"`seed` of study {study!r} must be a whole number, got {seed!r}")
    return seed


def _identity(row: StudyRow, name: str) -> Mapping[str, Any]:
    """A part of what makes a study that study."""
    return _mapping(row.name, row.identity, name)


def _version(score: Mapping[str, Any]) -> str:
    return str(score.get("formulas", "formulas of a version that did not name them"))
