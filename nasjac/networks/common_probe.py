"""How alike the Jacobians of different inputs are: pullbacks of one vector, common to all inputs of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import replace_all_batch_norm_modules_

from nasjac.decorrelation import correlations
from nasjac.networks import build
from nasjac.networks.convolutions import ImageNetwork, initialize
from nasjac.networks.draws import Draws
from nasjac.networks.implicit import through
from nasjac.networks.memory import is_out_of_memory
from nasjac.networks.modules import drawn
from nasjac.networks.population import sampled
from nasjac.networks.samples import BATCHED
from nasjac.spec import Spec
from nasjac.workers import workers


def input_correlations(specs: Sequence[Spec], inputs: Tensor, draws: Draws, count: int) -> list[Tensor | None]:
    """[D, B, B] of each spec: correlations over h_0 of Jᵀv of B = `count` of the inputs, one random v for all of them.

    v is a vector of h_L, and the correlations are cosines. In convolutional networks v is a vector of what the readout
    sees, the means over pixels, the correlations are about the mean over h_0, and BatchNorm takes the statistics of the B
    images. Specs must be concrete and canonical. None where there is no memory for one; not finite where a Jacobian is zero
    or not finite.
    """
    found: list[Tensor | None] = [None] * len(specs)
    images = [position for position, spec in enumerate(specs) if spec.convolves]
    others = [position for position, spec in enumerate(specs) if not spec.convolves]
    if others:
        plan = BATCHED._replace(inputs=count)
        for place, samples in sampled([specs[position] for position in others], inputs, draws, plan):
            found[others[place]] = None if samples is None else torch.from_numpy(samples.cotangent_gram)
    if images:
        batches = draws.samples(inputs, count)
        with workers(draws.device) as pool:
            one = partial(_of_images, batches=batches, draws=draws)
            parts = pool.map(one, [specs[position] for position in images])
            for position, part in zip(images, parts, strict=True):
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
    return correlations(pulled.flatten(1)[None].cpu())[0]
