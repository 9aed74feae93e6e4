"""How alike the Jacobians of different inputs are: pullbacks of one vector, common to all inputs of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.memory import is_out_of_memory
from nasjac.foundation.workers import workers
from nasjac.kinds.population import sampled
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import BATCHED


def independent_inputs(spec: Spec, count: int) -> int:
    """`count`, or half as many inputs as h_0 has units where that is less (but two).

    Among B independent vectors of N units the least eigenvalue of their correlations is about (1 − √(B/N))² (Marchenko &
    Pastur 1967): near B = N it is almost zero, and beyond it zero, because there are no more than N directions.
    """
    return min(count, max(2, spec.start_units // 2))


def input_correlations(specs: Sequence[Spec], inputs: Tensor, draws: Draws, count: int) -> list[Tensor | None]:
    """[D, B, B] of each Spec: correlations over h_0 of Jᵀv of B of the inputs, one random v for all of them.

    B is what `independent_inputs` makes of `count`: with about as many inputs as units some eigenvalues are zero, or nearly
    so, whatever the network is, and what they say is how wide it is.

    v is a vector of h_L, and the correlations are cosines. A kind whose sampler `probes_readout` takes a vector of what its
    readout sees instead, and correlations about the mean over h_0; BatchNorm takes the statistics of the B images there.
    Specs must be concrete and canonical. None where there is no memory for one; not finite where a Jacobian is zero or not
    finite.
    """
    found: list[Tensor | None] = [None] * len(specs)
    groups = defaultdict[tuple[bool, int], list[int]](list)
    for position, spec in enumerate(specs):
        groups[kind_of(spec).sampling.probes_readout, independent_inputs(spec, count)].append(position)
    for (probes_readout, most), positions in sorted(groups.items()):
        group = [specs[position] for position in positions]
        if probes_readout:
            batches = draws.samples(inputs, most)
            with workers(draws.device) as pool:
                parts = list(pool.map(partial(_of_readout, batches=batches, draws=draws), group))
            for position, part in zip(positions, parts, strict=True):
                found[position] = part
        else:
            for place, samples in sampled(group, inputs, draws, BATCHED._replace(inputs=most)):
                found[positions[place]] = None if samples is None else torch.from_numpy(samples.cotangent_gram)
    return found


def _of_readout(spec: Spec, batches: Tensor, draws: Draws) -> Tensor | None:
    try:
        return kind_of(spec).sampling.readout_correlations(spec, batches, draws)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
