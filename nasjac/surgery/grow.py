"""grow: new residual blocks in a trained network, as many as are safe, and what they change."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from nasjac.architecture.spec import MOST_BLOCKS, Spec
from nasjac.datasets import Data
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.mathematics.meanfield.growth import deviation_bound, expected_deviation
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.branches import Norms
from nasjac.surgery.branches.ours import branch_norms, measurable, stream
from nasjac.surgery.growth import Beginning, Grown, calibrated, check_growable, grow, identity_fault, spread
from nasjac.surgery.limits import Allowed, Limits, allowed, as_many
from nasjac.surgery.trained import Trained, beside, check_out, layers, outputs, profile, shown, size, trained, worth

#: new blocks from which it is first told how many there may be
PILOT = 8
#: training inputs from which new BatchNorms take their statistics
CALIBRATED = 1024

#: points of the data, each with its own Jacobian
MOST_POINTS = 2**16

Say = Callable[[str], None]


@dataclass(frozen=True)
class GrowOptions:
    """`blocks` how many, or "max"; `after` which blocks (0: before the first; None: spread evenly); `points` of the data at
    which Jacobians are taken.
    """

    blocks: int | str
    beginning: Beginning = field(default_factory=Beginning)
    limits: Limits = field(default_factory=Limits)
    after: tuple[int, ...] | None = None
    points: int = 16

    def __post_init__(self) -> None:
        if isinstance(self.blocks, str) and self.blocks != "max":
            raise InputError(f"`blocks` must be a whole number of at least 1, or max, got {self.blocks!r}")
        if self.blocks != "max":
            arguments.whole("blocks", self.blocks, 1, MOST_BLOCKS)
        arguments.whole("points", self.points, 1, MOST_POINTS)
        if self.after is not None and not self.after:
            raise InputError("`after` must hold numbers of blocks, got none")

    def places(self, spec: Spec, count: int) -> list[int]:
        """Where `count` new blocks go."""
        if self.after is None:
            return spread(spec, count, self.beginning.init)
        return [
            self.after[n * len(self.after) // count] if count > len(self.after) else self.after[n] for n in range(count)
        ]


@dataclass(frozen=True)
class Attempt:
    """A grown network, the norms of its new blocks by their numbers, and whether there may be so many."""

    grown: Grown
    norms: Mapping[int, Norms]
    allowed: Allowed

    @property
    def measured(self) -> dict[str, Any]:
        """What is allowed by the measured smallnesses alone, for JSON."""
        limits = replace(self.allowed.limits, epsilon_spectral=None, epsilon_rms=None)
        energies = [found.energy for found in self.norms.values()]
        return allowed(limits, self.allowed.spectral_norms, energies).content


def grow_checkpoint(
    folder: str | Path,
    data: Data,
    options: GrowOptions,
    out: str | Path,
    allow_pickle: bool = False,
    say: Say = print,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Grow the checkpoint in `folder` into a new one in `out`; what was done and measured, as a summary for JSON.

    `dataset` is the name of the data. ValueError, with nothing written: not a checkpoint, nothing that can grow, more
    blocks than the rule allows.
    """
    target = check_out(out)
    old = trained(folder, data, allow_pickle, dataset)
    if old.doubt:
        say(old.doubt)
    check_growable(old.spec)
    fault = identity_fault(old.spec)
    if fault and options.beginning.is_identity and not options.limits.force:
        rule = f"small_gain or copy where {fault}, for no new block is the identity there"
        raise InputError(f"`init` must be {rule}, got {options.beginning.init!r}; force=true grows all the same")
    nominal = _nominal(old, options) if options.beginning.is_identity else None
    found = _most(old, options, nominal, say) if options.blocks == "max" else _attempt(old, options, int(options.blocks))
    if not found.allowed.holds and not options.limits.force:
        raise found.allowed.refusal(options.blocks)
    say(f"{len(found.norms)} new blocks; profiles before and after")
    return _finished(Path(folder), old, options, found, nominal, target)


def _attempt(old: Trained, options: GrowOptions, count: int) -> Attempt:
    places = options.places(old.spec, count)
    grown = grow(old.spec, old.module.state_dict(), places, options.beginning, *old.sizes)
    grown = calibrated(grown, old.data.train_inputs[:CALIBRATED])
    network, generator = measurable(grown.module(*old.sizes)), Generator().manual_seed(options.beginning.seed)
    norms = branch_norms(network, old.points(options.points), grown.new, generator)
    spectral = [float(found.spectral.max()) for found in norms.values()]
    return Attempt(grown, norms, allowed(options.limits, spectral, [found.energy for found in norms.values()]))


def _nominal(old: Trained, options: GrowOptions) -> Attempt:
    """What new blocks that begin as the identity are without what makes them so: what they may grow into."""
    count = int(options.blocks) if options.blocks != "max" else max(1, min(PILOT, len(old.spec.blocks)))
    full = replace(options.beginning, init="small_gain", gain=1.0)
    return _attempt(old, replace(options, beginning=full), count)


def _most(old: Trained, options: GrowOptions, nominal: Attempt | None, say: Say) -> Attempt:
    """As many blocks as the rule allows; those that begin as the identity are counted at their nominal size."""
    own = (
        options if nominal is None else replace(options, beginning=replace(options.beginning, init="small_gain", gain=1.0))
    )
    first = nominal or _attempt(old, own, max(1, min(PILOT, len(old.spec.blocks))))
    found = as_many(first, lambda count: _attempt(old, own, count), "blocks", say)
    return found if nominal is None else _attempt(old, options, len(found.norms))


def _finished(
    folder: Path, old: Trained, options: GrowOptions, found: Attempt, nominal: Attempt | None, target: Path
) -> dict[str, Any]:
    module, points = found.grown.module(*old.sizes).eval(), old.points(options.points)
    before, after = outputs(old.module, old.data), outputs(module, old.data)
    deviation = float((after - before).abs().max())
    seed = options.beginning.seed
    profiles = {"before": profile(old.module, points, seed), "after": profile(module, points, seed)}
    accuracy = {"before": worth(old.module, old.data), "after": worth(module, old.data)}
    summary = {
        "checkpoint": str(folder),
        "out": str(target),
        **old.on_data,
        "key": {"before": old.spec.key, "after": found.grown.spec.key},
        "kind": old.spec.kind,
        "init": options.beginning.init,
        "gain": None if options.beginning.is_identity else options.beginning.gain,
        "seed": seed,
        "blocks": len(found.norms),
        "depth": {"before": len(old.spec.blocks), "after": len(found.grown.spec.blocks)},
        "tau": options.limits.tau,
        "rule": options.limits.chosen,
        "allowed": found.allowed.count,
        "forced": options.limits.force and not found.allowed.holds,
        **found.allowed.content,
        "nominal": None if nominal is None else nominal.measured,
        "deviation": deviation,
        "relative_deviation": deviation / float(before.abs().max()),
        **_stream_deviation(found, points, old),
        "accuracy": {when: one["accuracy"] for when, one in accuracy.items()},
        "loss": {when: one["loss"] for when, one in accuracy.items()},
        "parameters": {"before": size(old.module), "after": size(module)},
        "new_blocks": list(_rows(found)),
        "profile_before": layers(profiles["before"]),
        "profile_after": layers(profiles["after"]),
        "spec": found.grown.spec.content,
    }
    keep = ("checkpoint", "init", "gain", "seed", "blocks", "tau", "rule", "epsilon_spectral", "epsilon_rms", "deviation")
    info = {**old.changed_info, **accuracy["after"], "key": found.grown.spec.key}
    info["grown"] = {name: summary[name] for name in keep}
    files = beside("growth.json", summary, profiles)
    checkpoint.save(target, found.grown.spec, found.grown.state, info, files, "out")
    return {**summary, "files": [str(target / name) for name in files]}


def _rows(found: Attempt) -> Iterator[dict[str, Any]]:
    for number, norms in found.norms.items():
        block = found.grown.spec.blocks[number]
        yield {
            "block": number,
            "op": block.op,
            "stage": block.stage,
            "spectral_norm": float(norms.spectral.max()),
            "spectral_norm_mean": float(norms.spectral.mean()),
            "frobenius_norm": norms.frobenius,
            "frobenius_error": norms.frobenius_error,
            "rms_norm": norms.energy**0.5,
            "output_ratio": float(norms.ratio.max()),
        }


def _stream_deviation(found: Attempt, points: Tensor, old: Trained) -> dict[str, float]:
    """By how much a row of new blocks changes the stream at most, its bound, and what fresh branches do on average."""
    streams = stream(measurable(found.grown.module(*old.sizes)), points)
    rows = [[n for _, n in row] for _, row in itertools.groupby(enumerate(found.norms), lambda pair: pair[1] - pair[0])]
    changes = [_relative(streams[row[0]], streams[row[-1] + 1]) for row in rows]
    bounds = [deviation_bound(float(found.norms[n].ratio.max()) for n in row) for row in rows]
    typical = (sum(found.norms[n].energy for n in found.norms) / len(found.norms)) ** 0.5
    longest = max(map(len, rows))
    return {
        "stream_deviation": max(changes),
        "deviation_bound": max(bounds),
        "expected_deviation": expected_deviation(typical, longest),
    }


def _relative(before: Tensor, after: Tensor) -> float:
    change, size = (tensor.flatten(1).norm(dim=1) for tensor in (after - before, before))
    return float((change / size).max())


def as_text(summary: Mapping[str, Any]) -> str:
    """What was done, how safe it is by each rule, and where the new checkpoint is."""
    columns = ("block", "op", "spectral_norm", "frobenius_norm", "frobenius_error", "rms_norm", "output_ratio")
    table = as_table(columns, [[row[name] for name in columns] for row in summary["new_blocks"]])
    return "\n\n".join([_head(summary), table.rstrip(), f"Checkpoint: {summary['out']}"])


def _head(summary: Mapping[str, Any]) -> str:
    def counts(content: Mapping[str, Any]) -> str:
        told = ", ".join(f"{name} {'any' if m is None else m}" for name, m in content["rules"].items())
        sizes = f"epsilon_spectral {content['epsilon_spectral']:.4g}, epsilon_rms {content['epsilon_rms']:.4g}"
        return f"{told} (at {sizes}; measured sum {content['measured_sum']:.4g})"

    def change(name: str) -> str:
        return f"{summary[name]['before']:.6g} -> {summary[name]['after']:.6g}"

    rows = [
        ("blocks", f"{change('depth')} ({summary['init']})"),
        (f"allowed, tau {summary['tau']:g}", counts(summary)),
        *([("at full size", counts(summary["nominal"]))] if summary.get("nominal") else []),
        ("deviation", f"{summary['deviation']:.4g} at most in an output"),
    ]
    if "accuracy" in summary:
        rows += [
            ("in the stream", f"{summary['stream_deviation']:.4g} at most, bound {summary['deviation_bound']:.4g}"),
            ("accuracy", change("accuracy")),
        ]
    return shown([*rows, ("parameters", change("parameters"))])
