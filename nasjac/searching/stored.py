"""What a database says of the search that made a study. A stranger may have written it, so nothing is run by its word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import OBJECTIVES, Budget, Direction, directions
from nasjac.searching.options import named, sampler_of, typed
from nasjac.searching.search import Search, search_of
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
    sql = "SELECT config FROM run WHERE study = :study AND verb = 'search' ORDER BY run_id DESC LIMIT 1"
    runs = store.select(sql, {"study": study}).rows
    if not runs:
        raise InputError(f"`study` must have been made by nasjac search, got {study!r}, which has no run")
    config = parse_json(str(runs[0][0]), f"config of study {study!r}")
    parts, choices = _objects(study, config, PARTS), _objects(study, config, ("choices",))["choices"]
    for name, part in {**parts, "choices": choices}.items():
        check_plain(study, part, name)
    names = {group: check_option(study, group, choices.get(group), trust) for group in OPTIONS}
    check_targets(study, parts["sampler"], trust)
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"`seed` of study {study!r} must be a whole number, got {seed!r}")
    made = {group: _values(study, group, parts, partial(named, group, names[group], parts[group])) for group in OPTIONS}
    sampler = sampler_of(str(choices.get("sampler")), parts["sampler"])
    budget = _values(study, "budget", parts, partial(typed, Budget, parts["budget"], "budget"))
    options = _values(study, "search", parts, partial(typed, SearchOptions, parts["search"], "search"))
    job = search_of(**made, sampler=sampler, budget=budget, options=options, seed=seed, device=device)
    _check_same(row, job)
    return job


def objectives_of(row: StudyRow) -> dict[str, Direction]:
    """What a study optimized, and which way each is better. InputError: the database says nothing of it."""
    check_of_initialization(row.name, row.identity)
    names = _objects(row.name, row.identity, ("search",))["search"].get("objectives")
    if not isinstance(names, list) or not all(isinstance(name, str) and name in OBJECTIVES for name in names):
        rule = f"be a list of {', '.join(OBJECTIVES)}"
        raise InputError(f"`objectives` of study {row.name!r} must {rule}, got {names!r}")
    return dict(zip(names, directions(names), strict=True))


def _check_same(row: StudyRow, job: Search) -> None:
    """Refuse a search that would measure otherwise than its study was measured, or at other inputs."""
    known, study = _objects(row.name, row.identity, ("score", "dataset")), repr(row.name)
    old, new = known["score"], job.parts["score"]
    if old != job.identity["score"]:
        before = "formulas of a version that did not name them"
        asked, there = (f"{score.get('name')} ({score.get('formulas', before)})" for score in (new, old))
        rule = f"have been measured by {asked} to be measured further"
        again = "nasjac search on_conflict=new measures again, in a new study"
        raise InputError(f"`study` must {rule}, got {study}, which was measured by {there} ({again})")
    if known["dataset"] != job.identity["dataset"]:
        rule = f"the inputs that study {study} was scored on"
        raise InputError(f"`dataset` must hold {rule}, got other inputs: its file or options have changed since")


def _values(study: str, name: str, parts: Mapping[str, object], made: Callable[[], T]) -> T:
    try:
        return made()
    except InputError as error:
        rule = f"`{name}` of study {study!r} must hold its options by type"
        raise InputError(f"{rule}, got {parts[name]}: {error}") from error


def _objects(study: str, content: object, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The parts of these names, each an object in JSON."""
    found = {name: content.get(name) if isinstance(content, Mapping) else None for name in names}
    if other := next((name for name, part in found.items() if not isinstance(part, Mapping)), None):
        raise InputError(f"`{other}` of study {study!r} must be an object in JSON, got {found[other]!r}")
    return found  # type: ignore[return-value]
