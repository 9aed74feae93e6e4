"""prune, of a model of the user's own: blocks taken out of its list of blocks x + F(x)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasjac.architecture.fields import check_choice
from nasjac.architecture.pruning_criteria import keep_set
from nasjac.mathematics.gradient_paths import count_paths, energy_shares, path_lengths
from nasjac.mathematics.probes import on_sphere
from nasjac.models.diagnosis_report import Factory, built, own_traceback
from nasjac.models.lists import rearranged
from nasjac.sampling.linearized import Linearized
from nasjac.surgery.branches import Norms
from nasjac.surgery.branches.of_models import branch_norms, gated
from nasjac.surgery.compression import CRITERIA, VALUES, Array
from nasjac.surgery.model_blocks import Say, Watched, keep, watched
from nasjac.surgery.paths import PROBES
from nasjac.surgery.prune import PruneOptions
from nasjac.surgery.prune import as_text as pruned_text
from nasjac.surgery.trained import check_out, layers, size


def prune_model(
    name: str,
    make: Factory,
    inputs: str | Callable[[], Any],
    blocks: str,
    options: PruneOptions,
    device: torch.device,
    out: str | Path,
    say: Say,
) -> dict[str, Any]:
    """Take blocks out of a model's list and keep the shorter model in `out`; a summary for JSON.

    ValueError, with nothing written: what the model refuses.
    """
    check_choice("criterion", options.criterion, [one for one in CRITERIA if one != "lowest_energy"])
    target = check_out(out)
    model, batch = built(name, make, inputs, options.seed, device)
    shorter = deepcopy(model)
    with own_traceback(name), watched(model, batch, blocks) as old:
        say(f"{old.depth} blocks")
        norms = branch_norms(old.calls, Generator().manual_seed(options.seed), None)
        seed = options.seed
        kept = keep_set(options.ratio, _order(options), old.depth, lambda: _values(old, options, norms), seed)
        gone = np.flatnonzero(~kept).tolist()
        rearranged(shorter, blocks, [(number, False) for number in np.flatnonzero(kept).tolist()])
        with watched(shorter, batch, blocks) as new:
            rest = branch_norms(new.calls, Generator().manual_seed(seed), None)
            with gated([one.block for one in old.calls], torch.tensor(kept, dtype=torch.float32)):
                shut = old.outputs()
            deviation = {
                "deviation": _largest(new.outputs(), old.outputs()),
                "gate_difference": _largest(new.outputs(), shut),
            }
            damage = _damage(old, new, norms, gone, seed)
            profiles = {"profile_before": old.profile(seed), "profile_after": new.profile(seed)}
    chi = [np.array([one.energy for one in each]) for each in (norms, rest)]
    summary = {
        "model": name,
        "list": blocks,
        "out": str(target),
        "criterion": options.criterion,
        "ratio": options.ratio,
        "seed": options.seed,
        "branches": len(kept),
        "pruned": gone,
        **_paths(*chi),
        **damage,
        **deviation,
        "accuracy": {"before": None, "after": None, "fine_tuned": None},
        "parameters": {"before": size(model), "after": size(shorter)},
        "flops": {"before": None, "after": None},
        "branch_values": [
            {"block": n, "kept": bool(kept[n]), "measured_energy": one.energy, "output_damage": float(one.ratio.mean())}
            for n, one in enumerate(norms)
        ],
        **{when: layers(found) for when, found in profiles.items()},
    }
    keep(shorter, target, summary, "pruning.json")
    return summary


def _order(options: PruneOptions) -> str:
    return "lowest_energy" if options.criterion in VALUES else options.criterion


def _values(old: Watched, options: PruneOptions, norms: Sequence[Norms]) -> Array:
    if options.criterion == "measured_energy":
        return np.array([one.energy for one in norms])
    if options.criterion == "output_damage":
        return np.array([float(one.ratio.mean()) for one in norms])
    gates = torch.ones(old.depth, requires_grad=True)
    with gated([one.block for one in old.calls], gates):
        [gradient] = torch.autograd.grad(old.loss(), gates)
    return np.asarray(gradient.abs().double().numpy())


def _paths(before: Array, after: Array) -> dict[str, Any]:
    found = []
    for chi in (before, after):
        lengths, there = path_lengths(energy_shares(chi)), [True] * len(chi)
        found.append((lengths.effective_depth, count_paths(there, there), lengths.entropy))
    names = ("effective_depth", "path_count", "path_entropy")
    return {name: {"before": old, "after": new} for name, old, new in zip(names, *found, strict=True)}


def _damage(old: Watched, new: Watched, norms: Sequence[Norms], gone: Sequence[int], seed: int) -> dict[str, float]:
    """‖J − J_K‖_F² / N from h_0 to h_L: ∏(1 + χ) − ∏_K(1 + χ), and measured with equal probes."""
    chi = np.array([one.energy for one in norms])
    start = old.chain()[2]
    generator = Generator().manual_seed(seed)
    normal = torch.randn(len(start), PROBES, start[0].numel(), dtype=torch.float64, generator=generator)
    probes = on_sphere(normal).to(start)
    with sdpa_kernel(SDPBackend.MATH):
        before, after = (Linearized(one.chain()[0], start).push_each(probes).double() for one in (old, new))
    lost, energy = ((tensor.square().sum(-1) / before.shape[-1]).mean(0) for tensor in (before - after, before))
    whole, left = float(np.prod(1 + chi)), float(np.prod(1 + np.delete(chi, gone)))
    return {
        "predicted_damage": whole - left,
        "measured_damage": float(lost.mean()),
        "measured_damage_error": float(lost.std()) / math.sqrt(PROBES),
        "predicted_relative_damage": (whole - left) / whole,
        "measured_relative_damage": float(lost.mean() / energy.mean()),
    }


def _largest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def as_text(summary: Mapping[str, Any]) -> str:
    """As of a checkpoint, without accuracy."""
    return pruned_text({name: value for name, value in summary.items() if name not in ("accuracy", "loss", "flops")})
