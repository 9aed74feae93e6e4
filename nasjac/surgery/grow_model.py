"""grow, of a model of the user's own: new blocks in its list of blocks x + F(x)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn

from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.models.diagnosis_report import Factory, built, own_traceback
from nasjac.models.lists import last_layers, list_of, rearranged, scaled
from nasjac.surgery.branches import Norms
from nasjac.surgery.branches.of_models import branch_norms
from nasjac.surgery.grow import as_text as grown_text
from nasjac.surgery.limits import Allowed, Limits, allowed, as_many
from nasjac.surgery.model_blocks import Say, keep, spread, watched
from nasjac.surgery.trained import check_out, layers, size

#: how a new block begins, which is a copy of the one before it: its branches' last layers at 0, or scaled by `gain`
INITS = ("zero_last", "copy")


@dataclass(frozen=True)
class Insertion:
    """`insert` how many new blocks (or "max") into the list that `blocks` names, how they begin, what holds them back."""

    blocks: str
    insert: int | str
    init: str = "zero_last"
    gain: float = 0.1
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("init", self.init, INITS)
        whole = isinstance(self.insert, int) and not isinstance(self.insert, bool)
        if self.insert != "max" and (not whole or int(self.insert) < 1):
            raise InputError(f"`insert` must be a whole number of at least 1, or max, got {self.insert!r}")
        if not self.gain > 0:
            raise InputError(f"`gain` must be a number greater than 0, got {self.gain!r}")

    @property
    def factor(self) -> float:
        """On the last layers of a new block's branches."""
        return 0.0 if self.init == "zero_last" else self.gain


@dataclass(frozen=True)
class Longer:
    """A longer model; `norms` of its new blocks by their numbers."""

    model: nn.Module
    norms: Mapping[int, Norms]
    allowed: Allowed


def grow_model(
    name: str,
    make: Factory,
    inputs: str | Callable[[], Any],
    options: Insertion,
    device: torch.device,
    out: str | Path,
    say: Say,
) -> dict[str, Any]:
    """Put new blocks into a model's list and keep the longer model in `out`; a summary for JSON.

    ValueError, with nothing written: what the model or the rules refuse.
    """
    target = check_out(out)
    model, batch = built(name, make, inputs, options.seed, device)
    with own_traceback(name):
        with watched(model, batch, options.blocks) as old:
            before, profile, depth = old.outputs(), old.profile(options.seed), old.depth
        say(f"{depth} blocks")
        found = _longer(model, batch, options, say)
        with watched(found.model, batch, options.blocks) as new:
            deviation = float((new.outputs() - before).abs().max())
            after = new.profile(options.seed)
    summary = {
        "model": name,
        "list": options.blocks,
        "out": str(target),
        "init": options.init,
        "gain": options.factor,
        "seed": options.seed,
        "blocks": len(found.norms),
        "depth": {"before": depth, "after": depth + len(found.norms)},
        "tau": options.limits.tau,
        "rule": options.limits.chosen,
        "allowed": found.allowed.count,
        "forced": options.limits.force and not found.allowed.holds,
        **found.allowed.content,
        "deviation": deviation,
        "relative_deviation": deviation / float(before.abs().max()),
        "parameters": {"before": size(model), "after": size(found.model)},
        "new_blocks": list(_rows(found)),
        "profile_before": layers(profile),
        "profile_after": layers(after),
    }
    keep(found.model, target, summary, "growth.json")
    return summary


def _longer(old: nn.Module, batch: Any, options: Insertion, say: Say) -> Longer:
    """As many new blocks as were asked for, or as the rule allows. ValueError: more than that."""
    if options.insert != "max":
        found = _grown(old, batch, options, int(options.insert))
        if not found.allowed.holds and not options.limits.force:
            raise found.allowed.refusal(options.insert)
        return found
    if options.init == "zero_last":
        raise InputError("`init` must be copy with insert=max: blocks that begin as the identity may be any number")
    return as_many(_grown(old, batch, options, 1), lambda count: _grown(old, batch, options, count), "insert", say)


def _grown(old: nn.Module, batch: Any, options: Insertion, count: int) -> Longer:
    model, depth = deepcopy(old), len(list_of(old, options.blocks))
    places = spread(count, depth)
    order = [(n, copied) for n in range(depth) for copied in (False, *[True] * places.count(n + 1))]
    blocks = rearranged(model, options.blocks, order)
    new = [number for number, (_, copied) in enumerate(order) if copied]
    with watched(model, batch, options.blocks) as found:
        for number in new:
            called = found.calls[number]
            scaled(last_layers(blocks[number], called.both), options.factor)
        calls = found.calls
        norms = branch_norms([calls[number] for number in new], Generator().manual_seed(options.seed))
    spectral = [float(one.spectral.max()) for one in norms]
    return Longer(
        model, dict(zip(new, norms, strict=True)), allowed(options.limits, spectral, [one.energy for one in norms])
    )


def _rows(found: Longer) -> Iterator[dict[str, Any]]:
    for number, one in found.norms.items():
        yield {
            "block": number,
            "op": "block",
            "spectral_norm": float(one.spectral.max()),
            "spectral_norm_mean": float(one.spectral.mean()),
            "frobenius_norm": one.frobenius,
            "frobenius_error": one.frobenius_error,
            "rms_norm": one.energy**0.5,
            "output_ratio": float(one.ratio.max()),
        }


def as_text(summary: Mapping[str, Any]) -> str:
    """As of a checkpoint."""
    return grown_text(summary)
