"""`nasjac.search` with `search.warm_start`: growths and prunings of a trained network, searched at its weights."""

from __future__ import annotations

import torch

from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import interrupts
from nasjac.searching.around_checkpoint import summarize
from nasjac.searching.objectives import Budget
from nasjac.searching.options import Chosen
from nasjac.searching.results import WarmSearchResult
from nasjac.searching.runs import configuration, recorded, run_study
from nasjac.searching.search import SearchOptions
from nasjac.searching.trust import check_attributes, trust_of
from nasjac.searching.warm_search import OBJECTIVES_OF_WEIGHTS, WarmOptions, WarmSearch
from nasjac.searching.warm_space import WarmSpace
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.studies import Conflict
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.sources import folder_of, own_data, own_name
from nasjac.surgery.trained import check_out, trained


def search_around(
    *,
    sampler: Chosen,
    dataset: Chosen | None,
    budget: Budget,
    search: SearchOptions,
    warm: WarmOptions,
    study: str | None,
    seed: int,
    database: str,
    on_conflict: Conflict,
    out: str | None,
    quiet: bool,
    trust: bool,
) -> WarmSearchResult:
    """Search among growths and prunings of the checkpoint in the folder `search.warm_start`, or go on with such a study.

    The arguments are those of `nasjac.search`. The recommended network is written into the new folder `out`, with
    search.json and trials.csv beside it, as soon as the search is finished.

    Raises:
        InputError: The folder is no checkpoint, an option is wrong, there is something in `out`, or no network keeps the
            budget.
    """
    source = str(search.warm_start)
    job, console, device = _job(source, sampler, dataset, budget, search, warm, seed), Console(quiet), torch.device("cpu")
    target = check_out(f"{source.rstrip('/')}-searched" if out is None else out)
    name = study or job.default_name
    if job.space.old.doubt:
        console.say(job.space.old.doubt)
    console.say(f"at most {job.budget.max_flops} FLOPs; study {name} in {database}")
    known = {"search": search, "budget": budget, "warm": warm, "seed": seed, "on_conflict": on_conflict, "study": study}
    config = configuration({"sampler": sampler, "dataset": dataset}, **known, database=database, out=out, trust=trust)
    with Store(database, trust=trust) as store, interrupts() as stop:
        name = store.open_study(name, job.identity, on_conflict, job.score_id, job.dataset_digest)
        check_attributes(name, store.trials(name), trust_of(trust, {}))
        with recorded(store, "search", name, config, device) as run:
            outcome = run_study(store, name, job, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        summary = None if stop() else summarize(store, name, job, source, target)
    return WarmSearchResult(name, str(database), outcome, summary, stop.signal)


def _job(
    source: str,
    sampler: Chosen,
    dataset: Chosen | None,
    budget: Budget,
    search: SearchOptions,
    warm: WarmOptions,
    seed: int,
) -> WarmSearch:
    own_depth = budget.min_effective_depth != Budget.min_effective_depth
    for name, differs in (("search.racing", search.racing), ("budget.min_effective_depth", own_depth)):
        if differs:
            rule = "for the architectures searched are those around the checkpoint, at its weights"
            raise InputError(f"`{name}` must be left out with search.warm_start, {rule}")
    folder = folder_of(source, "search.warm_start")
    info = checkpoint.read_info(folder)
    if dataset is None:
        name, data = own_name(info), own_data(info)
    else:
        name, data = dataset.made.name, dataset.made.load()
    beginning = Beginning(warm.init, warm.gain, seed)
    space = WarmSpace(trained(folder, data, warm.allow_pickle, name), warm.insert, beginning)
    objectives = search.objectives or OBJECTIVES_OF_WEIGHTS
    return WarmSearch(space, sampler.made, budget, warm, objectives, search.batch, seed, sampler.label)
