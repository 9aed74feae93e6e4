"""Samples of one architecture by autograd on its module, whatever its kind's own sampler does."""

from __future__ import annotations

from torch import Tensor

from nasjac import Spec
from nasjac.kinds.modules.sampler import LayerSampler
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples


def module_samples(spec: Spec, inputs: Tensor, draws: Draws, plan: Plan) -> Samples:
    rows = draws.samples(inputs, plan.inputs * spec.batch)
    [found] = LayerSampler[Spec](kind_of(spec).network).sample([spec], rows, draws, plan, None, None)
    return found
