"""prune: residual branches taken out of a network, trained or not, and what that does to its paths and its accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, check_kind
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file, parse_json
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.kinds.training.modules import Modules
from nasjac.reporting.wording import EFFECTIVE_DEPTH
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.branches.ours import gated
from nasjac.surgery.compression import (
    CRITERIA,
    Array,
    Pruned,
    branches,
    check_prunable,
    chosen,
    expected_energies,
    prune,
    taylor_values,
)
from nasjac.surgery.paths import Chain, chain_of, damage, expected
from nasjac.surgery.trained import (
    COMPARED,
    Trained,
    beside,
    check_out,
    layers,
    outputs,
    profile,
    shown,
    size,
    trained,
    worth,
)
from nasjac.trainers import AdamW, Run
from nasjac.trainers.population import fit

#: points of the data, each with its own Jacobian, and steps of fine-tuning
MOST_POINTS, MOST_STEPS = 2**16, 10_000_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class PruneOptions:
    """`ratio` of the branches that go by `criterion`; `points` of the data at which Jacobians are taken; `fine_tune` steps
    of AdamW at `learning_rate` afterwards (0: none); `seed` of random order, probes and fine-tuning.
    """

    ratio: float = 0.3
    criterion: str = "measured_energy"
    points: int = 16
    fine_tune: int = 60
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise InputError(f"`ratio` must be a number in [0, 1), got {self.ratio!r}")
        check_choice("criterion", self.criterion, CRITERIA)
        arguments.whole("points", self.points, 1, MOST_POINTS)
        arguments.whole("fine_tune", self.fine_tune, 0, MOST_STEPS)
        arguments.number("learning_rate", self.learning_rate, 0, open_low=True)
        arguments.seed("seed", self.seed)


def prune_checkpoint(
    folder: str | Path,
    data: Data,
    options: PruneOptions,
    out: str | Path,
    tuned: str | Path | None = None,
    allow_pickle: bool = False,
    say: Say = print,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Prune the checkpoint in `folder` into a new one in `out`, and its fine-tuned weights into `tuned` if that is given.

    `dataset` is the name of the data. Returns what was done and measured, as a summary for JSON. ValueError, with nothing
    written: not a checkpoint, nothing that can be pruned, other data.
    """
    target = check_out(out)
    if tuned is not None:
        check_out(tuned, "save_tuned")
    old = trained(folder, data, allow_pickle, dataset)
    if old.doubt:
        say(old.doubt)
    done = _prune(old, options, say)
    summary = {"checkpoint": str(folder), "spec_file": None, "out": str(target), **old.on_data, **done.summary}
    note = {name: summary[name] for name in ("checkpoint", "criterion", "ratio", "seed", "pruned")}
    info = {**old.changed_info, **done.worth, "key": done.pruned.spec.key, "pruned": note}
    files = beside("pruning.json", summary, done.profiles)
    checkpoint.save(target, done.pruned.spec, done.pruned.state, info, files, "out")
    if tuned is not None and done.run is not None and done.run.state:
        figures = {"accuracy": done.run.accuracy, "loss": done.run.loss}
        info = {**info, **figures, "fine_tuned": options.fine_tune}
        checkpoint.save(tuned, done.pruned.spec, done.run.state, info, option="save_tuned")
    return {**summary, "files": [str(target / name) for name in files]}


def prune_spec(
    spec: Spec, source: str, data: Data, options: PruneOptions, out: str | Path, say: Say = print
) -> dict[str, Any]:
    """Prune an architecture without weights: its values are those at one initialization, drawn by `options.seed`.

    The pruned Spec goes into spec.json of the new folder `out`.
    """
    target = check_out(out)
    check_kind(data, spec)
    network = build(spec, data.inputs, data.outputs, Generator().manual_seed(options.seed)).eval()
    if spec.batch > 1:
        _settle(network, data.train_inputs[:COMPARED])
    sizes = {"inputs": data.inputs, "outputs": data.outputs}
    done = _prune(Trained(spec.canonical, network, sizes, data), options, say)
    summary = {"checkpoint": None, "spec_file": source, "out": str(target), **done.summary}
    content = {**sizes, "key": done.pruned.spec.key, "spec": done.pruned.spec.content}
    files = beside("pruning.json", summary, done.profiles)
    checkpoint.place(target, {checkpoint.SPEC: (json.dumps(content, indent=2) + "\n").encode(), **files}, "out")
    return {**summary, "files": [str(target / name) for name in files]}


@torch.no_grad()
def _settle(network: nn.Module, inputs: Tensor) -> None:
    """Running statistics of BatchNorm: those of these inputs."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    network.train()(inputs)
    network.eval()


@dataclass(frozen=True)
class _Done:
    pruned: Pruned
    summary: dict[str, Any]
    worth: dict[str, float]
    run: Run | None
    profiles: dict[str, Any]


def _prune(old: Trained, options: PruneOptions, say: Say) -> _Done:
    check_prunable(old.spec)
    points = old.points(options.points)
    say(f"branches of {len(old.spec.blocks)} blocks")
    whole = chain_of(old.spec, old.module, points, options.seed)
    gone = chosen(old.spec, options.ratio, options.criterion, lambda: _values(old, options, whole), options.seed)
    pruned = prune(old.spec, old.module.state_dict(), gone)
    module = build(pruned.spec, *old.sizes)
    module.load_state_dict(pruned.state)
    rest = chain_of(pruned.spec, module.eval(), points, options.seed)
    say(f"fine-tuning without {len(gone)} branches")
    run = _tuned(module, old.data, options)
    worths = {"before": worth(old.module, old.data), "after": worth(module, old.data)}
    found = {"before": profile(old.module, points, options.seed), "after": profile(module, points, options.seed)}
    summary = {
        "key": {"before": old.spec.key, "after": pruned.spec.key},
        "kind": old.spec.kind,
        "criterion": options.criterion,
        "ratio": options.ratio,
        "seed": options.seed,
        "branches": len(branches(old.spec)),
        "pruned": gone,
        **_both(whole.content, rest.content),
        "expected": expected(old.spec, pruned.spec, gone),
        **damage(whole, gone, old, module, points, options.seed),
        "accuracy": {**{when: one["accuracy"] for when, one in worths.items()}, "fine_tuned": run and run.accuracy},
        "loss": {**{when: one["loss"] for when, one in worths.items()}, "fine_tuned": run and run.loss},
        "fine_tune": {"steps": options.fine_tune, "learning_rate": options.learning_rate, "reason": run and run.reason},
        "parameters": {"before": size(old.module), "after": size(module)},
        "flops": {"before": facts([old.spec])[0].flops, "after": facts([pruned.spec])[0].flops},
        "gate_difference": _gate_difference(old, module, gone),
        "branch_values": list(_rows(old, whole, gone)),
        "profile_before": layers(found["before"]),
        "profile_after": layers(found["after"]),
        "spec": pruned.spec.content,
    }
    return _Done(pruned, summary, worths["after"], run, found)


def _values(old: Trained, options: PruneOptions, whole: Chain) -> Array:
    """The criterion's value of each branch that can go."""
    there = branches(old.spec)
    if options.criterion == "lowest_energy":
        return expected_energies(old.spec)[there]
    if options.criterion == "measured_energy":
        return whole.energy[there]
    if options.criterion == "output_damage":
        return np.array([float(whole.branch[n].ratio.mean()) for n in there])
    data = old.data
    return taylor_values(old.module, data.train_inputs[:COMPARED], data.train_labels[:COMPARED])[there]


def _both(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"before": before[name], "after": after[name]} for name in before}


def _tuned(module: nn.Module, data: Data, options: PruneOptions) -> Run | None:
    """A short training from the weights that are there; None for no steps."""
    if not options.fine_tune:
        return None
    trainer = AdamW(steps=options.fine_tune, learning_rates=(options.learning_rate,), seeds=(options.seed,))
    [run] = fit(lambda generator: deepcopy(module), data, trainer, kind=Modules)
    return run


@torch.no_grad()
def _gate_difference(old: Trained, module: nn.Module, gone: list[int]) -> float:
    """The largest difference of an output from that of the whole network with gates shut: rounding."""
    gates = torch.ones(len(old.spec.blocks))
    gates[gone] = 0
    after = outputs(module, old.data)
    with gated(old.module, gates):
        return float((outputs(old.module, old.data) - after).abs().max())


def _rows(old: Trained, whole: Chain, gone: list[int]) -> Iterator[dict[str, Any]]:
    for n, found in whole.branch.items():
        yield {
            "block": n,
            "op": old.spec.blocks[n].op,
            "kept": n not in gone,
            "measured_energy": found.energy,
            "output_damage": float(found.ratio.mean()),
            "frobenius_norm": found.frobenius,
            "frobenius_error": found.frobenius_error,
        }


def spec_from(path: Path) -> Spec:
    """The Spec in a file: its own JSON, or that of a checkpoint. InputError: neither."""
    content = parse_json(check_file(path, "spec").read_bytes(), "spec")
    return Spec.from_json(json.dumps(content["spec"] if isinstance(content, dict) and "spec" in content else content))


def as_text(summary: Mapping[str, Any]) -> str:
    """What went, and what that changed."""

    def change(name: str) -> str:
        values = summary[name]
        told = f"{values['before']:.6g} -> {values['after']:.6g}"
        tuned = values.get("fine_tuned")
        return told if tuned is None else f"{told}, fine-tuned {tuned:.6g}"

    names = ("effective_depth", "path_count", "path_entropy", "accuracy", "loss", "parameters", "flops")
    rows = [("pruned", f"{len(summary['pruned'])} of {summary['branches']} branches by {summary['criterion']}: "
             f"{', '.join(map(str, summary['pruned'])) or 'none'}")]  # fmt: skip
    rows += [(name, change(name)) for name in names if name in summary]
    rows.append(("damage", f"{_told(summary['measured_damage'])} measured, {_told(summary['predicted_damage'])} predicted"))
    return f"{shown(rows)}\n\n{EFFECTIVE_DEPTH}\nWritten: {summary['out']}"


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
