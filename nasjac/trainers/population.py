"""Brief training of many architectures of one kind and width at once: all of their runs are one batched computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from nasjac.datasets.data import Data
from nasjac.networks import build
from nasjac.spec import Spec
from nasjac.trainers.replicates import train
from nasjac.trainers.residual_stack import ResidualStack, pyramid
from nasjac.trainers.run import Progress, Run

if TYPE_CHECKING:
    from nasjac.trainers.adamw import AdamW


def fit_population(
    specs: Sequence[Spec], data: Data, options: AdamW, device: str = "cpu", progress: Progress | None = None
) -> list[list[Run]]:
    """One list of runs a spec, in the order of the specs; none for no specs.

    Each list is in the order of seeds, within a seed in that of learning rates. It is what the ordinary modules give one by
    one, up to rounding, and on a CPU bit for bit the same in any company. Seconds are shared out by parameters. Memory: at
    most 16 bytes for each run and parameter of the largest network, and what a batch takes. On a CPU a population of one
    architecture fits the cache best. ValueError for an ensemble, and for different kinds or widths.
    """
    for name in ("kind", "width"):
        values = sorted({getattr(spec, name) for spec in specs})
        if len(values) > 1:
            raise ValueError(f"`{name}` must be the same for all of a population, got {', '.join(map(str, values))}")
    if not specs:
        return []
    order = sorted(range(len(specs)), key=lambda position: pyramid(specs[position].canonical))
    starts = [(specs[position], seed) for position in order for seed in options.seeds]
    modules = [build(spec, data.inputs, data.outputs, torch.Generator().manual_seed(seed)) for spec, seed in starts]
    canonical = [spec.canonical for spec, _ in starts]
    stack = ResidualStack(canonical, modules, len(options.learning_rates), torch.device(device))
    runs = train(stack, options.pairs * len(specs), data, options, progress)
    each = len(options.pairs)
    found = {position: runs[each * place : each * (place + 1)] for place, position in enumerate(order)}
    return [found[position] for position in range(len(specs))]
