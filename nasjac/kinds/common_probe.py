"""Correlations between the Jacobians of different inputs, by pulling one random vector back at every input of a batch."""

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
    """Return how many inputs are compared: `count`, at most half as many as h_0 has units, and at least two.

    Among B independent vectors of N units the least eigenvalue of their correlations is about (1 − √(B/N))² (Marchenko &
    Pastur 1967): near B = N it is almost zero, and beyond it zero, because there are no more than N directions.
    """
    return min(count, max(2, spec.start_units // 2))


def input_correlations(specs: Sequence[Spec], inputs: Tensor, draws: Draws, count: int) -> list[Tensor | None]:
    """Return for each Spec the correlations [D, B, B] over h_0 of Jᵀv at B of the inputs, one random v for all of them.

    B is `independent_inputs` of `count`: with about as many inputs as units some eigenvalues of the correlations are nearly
    zero for any network, and would measure its width.

    v is a vector of h_L, and the correlations are cosines. For a kind whose sampler `probes_readout`, v is a vector at the
    readout's input, and correlations are about the mean over h_0; BatchNorm then uses the statistics of the B images.

    Args:
        specs: Concrete, canonical architectures.
        inputs: [n, features] standardized data, or [n, T] token ids.
        draws: The draws of weights, inputs and v.
        count: The number of inputs of a draw that is asked for.

    Returns:
        None for an architecture that there is no memory for. Entries are not finite where a Jacobian is zero or not finite.
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
