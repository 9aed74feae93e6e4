"""search search.warm_start=CHECKPOINT: from the configuration to the search around a checkpoint, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nasjac.cli.grow_and_prune import folder_of, own_data, own_name
from nasjac.cli.options import Choices, option, sampler_of, search_options, typed
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import interrupts
from nasjac.searching.around_checkpoint import as_text, search_from
from nasjac.searching.objectives import Budget
from nasjac.searching.warm_search import OBJECTIVES_OF_WEIGHTS, WarmOptions, WarmSearch
from nasjac.searching.warm_space import WarmSpace
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.growth import Beginning
from nasjac.surgery.trained import check_out, trained

#: what a search from a checkpoint takes: the rest belongs to architectures without weights, or to the database
TAKEN = ("search", "warm", "budget", "sampler", "dataset", "seed", "device", "quiet", "format", "out", "trust", "hydra")
NOT_TAKEN = ("search.racing", "budget.min_effective_depth")


def given() -> list[str]:
    """The names that the command line sets."""
    words = HydraConfig.get().overrides.task
    return [word.lstrip("+~").partition("=")[0] for word in words]


def check_cold(names: Sequence[str]) -> None:
    """ValueError where options of a search from a checkpoint are given without one."""
    if warm := [name for name in names if name.partition(".")[0] == "warm"]:
        raise InputError(f"`{warm[0]}` must come with search.warm_start, the checkpoint to search from, got none")


def run_warm(config: DictConfig, choices: Choices) -> int:
    """Search among growths and prunings of a checkpoint; return the exit code."""
    names, console = given(), Console(config.quiet)
    _check_given(names, config)
    job, folder = _job(config, choices, names), config.search.warm_start
    out = check_out(config.out if "out" in names else f"{str(folder).rstrip('/')}-searched")
    if job.space.old.doubt:
        console.say(job.space.old.doubt)
    console.say(f"at most {job.bounds.max_flops} FLOPs; trials are not stored until the end, and one seed gives them again")
    with interrupts() as stop:
        with console.bar(f"search from {folder}", job.budget.trials) as advance:
            done = search_from(folder, job, out, advance, stop)
        console.result(json.dumps(done, allow_nan=False) if config.format == "json" else as_text(done))
        if stop.signal is not None:
            console.say(f"stopped after {done['trials']} trials; there is no going on, the same command begins anew")
            return 128 + stop.signal
    return 0


def _job(config: DictConfig, choices: Choices, names: Sequence[str]) -> WarmSearch:
    folder, options = folder_of(config.search.warm_start, "search.warm_start"), typed(WarmOptions, config.warm)
    info = checkpoint.read_info(folder)
    if _sets(names, "dataset"):
        dataset = option("dataset", choices, config)
        name, data = dataset.name, dataset.load()
    else:
        name, data = own_name(info), own_data(info)
    search = search_options(config)
    return WarmSearch(
        space=WarmSpace(
            trained(folder, data, options.allow_pickle, name),
            options.insert,
            Beginning(options.init, options.gain, config.seed),
        ),
        sampler=sampler_of(config.sampler),
        budget=typed(Budget, config.budget),
        options=options,
        objectives=search.objectives or OBJECTIVES_OF_WEIGHTS,
        batch=search.batch,
        seed=config.seed,
    )


def _check_given(names: Sequence[str], config: DictConfig) -> None:
    for name in names:
        if name.partition(".")[0] not in TAKEN or name in NOT_TAKEN:
            rule = "for the architectures searched are those around the checkpoint, at its weights"
            raise InputError(f"`{name}` must be left out with search.warm_start, {rule}, got it on the command line")
    if config.device not in ("auto", "cpu"):
        raise InputError(f"`device` must be cpu with search.warm_start, got {config.device!r}")


def _sets(names: Sequence[str], group: str) -> bool:
    return any(name == group or name.startswith(f"{group}.") for name in names)
