"""How alike the Jacobians of different inputs are: pullbacks of one vector, common to all inputs of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import replace_all_batch_norm_modules_

from nasjac.architecture.images import Extent
from nasjac.architecture.spec import Spec
from nasjac.foundation.memory import is_out_of_memory
from nasjac.foundation.workers import workers
from nasjac.kinds.autograd import drawn
from nasjac.kinds.build import build
from nasjac.kinds.convolutional.network import ImageNetwork, initialize
from nasjac.kinds.modules.implicit import through
from nasjac.kinds.population import sampled
from nasjac.mathematics.decorrelation import jacobian_correlations
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import BATCHED


def independent_inputs(spec: Spec, count: int) -> int:
    """`count`, or half as many inputs as h_0 has units where that is less (but two).

    Among B independent vectors of N units the least eigenvalue of their correlations is about (1 − √(B/N))² (Marchenko &
    Pastur 1967): near B = N it is almost zero, and beyond it zero, because there are no more than N directions.
    """
    units = Extent(spec.width, *spec.shape[1:]).units if spec.convolves else spec.width * spec.context
    return min(count, max(2, units // 2))


def input_correlations(specs: Sequence[Spec], inputs: Tensor, draws: Draws, count: int) -> list[Tensor | None]:
    """[D, B, B] of each spec: correlations over h_0 of Jᵀv of B of the inputs, one random v for all of them.

    B is what `independent_inputs` makes of `count`: with about as many inputs as units some eigenvalues are zero, or nearly
    so, whatever the network is, and what they say is how wide it is.

    v is a vector of h_L, and the correlations are cosines. In convolutional networks v is a vector of what the readout
    sees, the means over pixels, the correlations are about the mean over h_0, and BatchNorm takes the statistics of the B
    images. Specs must be concrete and canonical. None where there is no memory for one; not finite where a Jacobian is zero
    or not finite.
    """
    found: list[Tensor | None] = [None] * len(specs)
    images, others = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for position, spec in enumerate(specs):
        (images if spec.convolves else others)[independent_inputs(spec, count)].append(position)
    for most, positions in others.items():
        plan = BATCHED._replace(inputs=most)
        for place, samples in sampled([specs[position] for position in positions], inputs, draws, plan):
            found[positions[place]] = None if samples is None else torch.from_numpy(samples.cotangent_gram)
    for most, positions in images.items():
        batches = draws.samples(inputs, most)
        with workers(draws.device) as pool:
            one = partial(_of_images, batches=batches, draws=draws)
            parts = pool.map(one, [specs[position] for position in positions])
            for position, part in zip(positions, parts, strict=True):
                found[position] = part
    return found


def _of_images(spec: Spec, batches: Tensor, draws: Draws) -> Tensor | None:
    try:
        return _by_draw(spec, batches, draws)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _by_draw(spec: Spec, batches: Tensor, draws: Draws) -> Tensor:
    """[D, B, B] of a convolutional network."""
    network = build(spec, batches.shape[-1], 1).to(draws.device, draws.dtype).requires_grad_(False)
    assert isinstance(network, ImageNetwork)
    replace_all_batch_norm_modules_(network)  # theirs are those of the batch then, in any mode
    found = []
    for draw, batch in enumerate(batches):
        initialize(network, spec, partial(drawn, draws, draw))
        found.append(_correlations(network, batch, draws, draw))
    return torch.stack(found)


def _correlations(network: ImageNetwork, batch: Tensor, draws: Draws, draw: int) -> Tensor:
    """[B, B] of one initialization."""
    with torch.no_grad():
        start = network.start(batch)
    first = start.requires_grad_()
    *_, last = [first, *through(network.blocks, first)]
    seen = network.features(last)
    probe = draws.normal("common cotangent", seen.shape[1])[draw]
    (pulled,) = torch.autograd.grad((seen * probe).sum(), first)
    return jacobian_correlations(pulled.flatten(1)[None].cpu())[0]
