"""Brief training of many architectures of one kind and width at once: all of their runs are one batched computation."""

from __future__ import annotations

from abc import ABC
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data, check_kind
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.kinds.table import kind_of
from nasjac.kinds.training.modules import Modules
from nasjac.kinds.training.stack import Replicas
from nasjac.kinds.training.training import Training
from nasjac.trainers.brief import Brief
from nasjac.trainers.replicates import train
from nasjac.trainers.run import Progress, Run


def fit_population(
    specs: Sequence[Spec], data: Data, options: Brief, device: str = "cpu", progress: Progress | None = None
) -> list[list[Run]]:
    """One list of runs a spec, in the order of the specs; none for no specs.

    Each list is in the order of seeds, within a seed in that of learning rates. It is what the ordinary modules give one by
    one, up to rounding, and on a CPU bit for bit the same in any company. Seconds are shared out by parameters. Memory: at
    most 16 bytes for each run and parameter of the largest network, and what a batch takes. On a CPU a population of one
    architecture fits the cache best. Networks of each ratio of hidden units train after those of another. Transformers, and
    where branches have learned factors, train one after the other, all runs of each at once; convolutional networks and
    those of implicit blocks one run after the other. InputError: an ensemble, different kinds or widths, data that the kind
    does not take.
    """
    for name in ("kind", "width"):
        values = sorted({getattr(spec, name) for spec in specs})
        if len(values) > 1:
            raise InputError(f"`{name}` must be the same for all of a population, got {', '.join(map(str, values))}")
    if not specs:
        return []
    check_kind(data, specs[0])
    training = kind_of(specs[0]).training
    found: dict[int, list[Run]] = {}
    together = defaultdict[tuple[object, ...], list[int]](list)
    for position, spec in enumerate(specs):
        common = training.common(spec.canonical)
        if common is None:
            stack = training.alone(spec.canonical)
            made = partial(build, spec, data.inputs, data.outputs)
            found[position] = fit(made, data, options, device, progress, stack)
        else:
            together[common].append(position)
    for _, alike in sorted(together.items()):
        runs = _stacked(training, [specs[position] for position in alike], data, options, device, progress)
        found |= dict(zip(alike, runs, strict=True))
    return [found[position] for position in range(len(specs))]


def _stacked(
    training: Training[Any], specs: Sequence[Spec], data: Data, options: Brief, device: str, progress: Progress | None
) -> list[list[Run]]:
    """The runs of architectures that train together."""
    order = sorted(range(len(specs)), key=lambda position: training.order(specs[position].canonical))
    starts = [(specs[position], seed) for position in order for seed in options.seeds]
    modules = [build(spec, data.inputs, data.outputs, torch.Generator().manual_seed(seed)) for spec, seed in starts]
    canonical = [spec.canonical for spec, _ in starts]
    stack = training.stack(canonical, modules, len(options.learning_rates), torch.device(device))
    each, runs = len(options.pairs), train(stack, options.pairs * len(specs), data, options, progress)
    found = {position: runs[each * place : each * (place + 1)] for place, position in enumerate(order)}
    return [found[position] for position in range(len(specs))]


def fit(
    factory: Callable[[torch.Generator], nn.Module],
    data: Data,
    options: Brief,
    device: str = "cpu",
    progress: Progress | None = None,
    kind: type[Modules] | type[Replicas] = Replicas,
) -> list[Run]:
    """Train what `factory` builds from a generator, a module from inputs to outputs as of `build`.

    `kind` is how: Replicas, at once, modules without BatchNorm; Modules, one after the other, any.

    Runs are in the order of seeds, within a seed in that of learning rates. Each is what it is alone, up to rounding.
    """
    networks = [factory(torch.Generator().manual_seed(seed)).to(device) for seed in options.seeds]
    stack = kind(networks, copies=len(options.learning_rates))
    return train(stack, options.pairs, data, options, progress)


@dataclass(frozen=True)
class BriefTrainer(Brief, ABC):
    """A brief training whose runs of one architecture are one computation."""

    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Progress | None = None) -> list[Run]:
        """Return one run for every seed and learning rate. InputError: an ensemble. Diverged runs are results too."""
        return fit_population([spec], data, self, device, progress)[0]
