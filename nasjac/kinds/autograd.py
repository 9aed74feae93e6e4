"""Jacobian samples of one architecture by autograd on its module.

They mean what those of `nasjac.kinds.tiles.tile` and `nasjac.kinds.resnet.tile` mean, with BatchNorm too.

Of small networks autograd's own work is what takes the time. So as many vectors of an input go through a block at once as
`SMALL` allows, and as many draws of the weights, whose blocks are then one function of stacked weights (`torch.func.vmap`).

An implicit block that is a step of BDF-2 sees h_{l-1} beside h_l. So vectors go through the chain with those of the layer
before: forward they are ∂h_l/∂h_0 u on all paths, backward (∂h_L/∂h_l)ᵀ v with h_{l-1} held, which at h_0 is all there is.

Letters: D draws, I inputs of a draw, G inputs of one pass (D I of draws that go together, I of one draw, 1 with BatchNorm),
P tangents and Q cotangents of an input, V vectors, n units of an input, L blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from nasjac.architecture.spec import Spec
from nasjac.foundation.memory import is_out_of_memory
from nasjac.foundation.workers import SMALL
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.sampling.draws import Draws
from nasjac.sampling.linearized import Linearized
from nasjac.sampling.samples import Plan, Samples
from nasjac.sampling.vectors import output_decorrelation

#: how far outputs of stacked weights may be from those of the module itself, as a share of their norm
ROUNDING = 1e-3

Block = Callable[..., Tensor]


def module_samples(
    spec: Spec, networks: Iterable[ResidualNetwork], samples: Tensor, draws: Draws, plan: Plan, stacked: bool = False
) -> Samples:
    """The samples of a canonical, concrete Spec.

    Args:
        spec: What the networks are of.
        networks: The module at each draw of its weights.
        samples: Inputs of the draws [D, I × `spec.batch`, features], or ids.
        draws: Of the probes.
        plan: What each draw carries.
        stacked: Whether each network is a module of its own, so that several may go together.
    """
    chosen = samples.view(len(samples), plan.inputs, spec.batch, -1)
    tangents = draws.probes("tangent", plan.inputs, plan.tangents, spec.start_units * spec.batch)
    cotangents = draws.probes("cotangent", 1 if plan.common else plan.inputs, plan.cotangents, spec.units)
    cotangents = cotangents.expand(-1, plan.inputs, -1, -1)
    vectors = max(1, plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
    fitting = max(1, SMALL // (plan.inputs * spec.start_units)) if spec.batch == 1 else 1
    copies = min(vectors, fitting)

    def passes() -> Iterator[_Pass]:
        together, start = fitting // vectors if stacked else 1, 0
        for group in _groups(networks, max(1, together)):
            part = slice(start, start := start + len(group))
            yield from _passes(group, plan, copies, *(x[part] for x in (chosen, tangents, cotangents)))

    # of each pass all inputs, draw after draw
    return _samples(_Pass(*(torch.stack(torch.cat(x).chunk(len(chosen))) for x in zip(*passes(), strict=True))))


def _groups(networks: Iterable[ResidualNetwork], size: int) -> Iterator[list[ResidualNetwork]]:
    """So many of them at a time; one that is made from its predecessor is made when it is its turn."""
    group = []
    for network in networks:
        group.append(network)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class _Pass(NamedTuple):
    """What one pass gives, float64; energies are logarithms."""

    stream: Tensor  # [G, L+1]
    forward: Tensor  # [G, P, L+1]
    backward: Tensor  # [G, Q, L+1]
    round_trip: Tensor  # [G, P]
    decorrelation: Tensor  # [D, or G with BatchNorm] 1 - cosine of two images' outputs
    pulled: Tensor  # [G, n] Jᵀ v of a common v, else [G, 0]


def _passes(
    networks: Sequence[ResidualNetwork], plan: Plan, copies: int, inputs: Tensor, tangents: Tensor, cotangents: Tensor
) -> Iterator[_Pass]:
    """Of draws with inputs [D, I, batch, F], tangents [D, I, P, n] of h_0 and cotangents [D, I, Q, n] of h_L."""
    whole = (inputs, tangents, cotangents)
    if len(networks) > 1:
        try:
            chain = _stacked_chain(networks, inputs, copies)
        except RuntimeError as error:  # torch cannot map the module over its weights, or they are not all that differs
            if is_out_of_memory(error):
                raise
            for number, network in enumerate(networks):
                yield from _passes([network], plan, copies, *(x[number : number + 1] for x in whole))
        else:
            yield _sampled(*chain, plan, *whole)
        return
    [network] = networks
    for part in zip(*(torch.split(x, 1 if inputs.shape[2] > 1 else plan.inputs, dim=1) for x in whole), strict=True):
        yield _sampled(*_linked(network, list(network.blocks), network.start(part[0].flatten(0, 2)), copies), plan, *part)


def _sampled(
    layers: Sequence[Tensor], links: Sequence[_Link], plan: Plan, inputs: Tensor, tangents: Tensor, cotangents: Tensor
) -> _Pass:
    tangents, cotangents = tangents.flatten(0, 1), cotangents.flatten(0, 1)
    flat = [layer.reshape(len(tangents), -1) for layer in layers]
    sizes = [layer.shape[1] for layer in flat]
    forward, ends = _carried(tangents, [link.push for link in links], sizes)
    ends = ends if plan.round_trips else ends[:, :0]
    pulls, trips = [link.pull for link in reversed(links)], ends.shape[1]
    back, pulled = _carried(torch.cat([ends, cotangents], dim=1), pulls, sizes[-1:] * len(sizes))
    return _Pass(
        stream=torch.stack([_norm(layer).square().div(layer.shape[1]).log() for layer in flat], dim=-1),
        forward=forward,
        backward=back[:, trips:].flip(-1),
        round_trip=back[:, :trips, -1] + forward[:, :trips, -1],
        decorrelation=output_decorrelation(layers[-1].reshape(len(inputs), inputs[0, ..., 0].numel(), -1)),
        pulled=pulled[:, trips:][:, : int(plan.common)].flatten(1),
    )


class _Link(NamedTuple):
    """One block, linearized, in the chain; `kept` where the next one takes h_{l-1} of this one as well.

    Vectors are those of the layer, [G, V, n], and where that still matters those of the layer before.
    """

    at: Linearized
    kept: bool

    def push(self, *tangents: Tensor) -> list[Tensor]:
        """J u and u, from u and the one before."""
        return [self.at.push_each(*tangents), *tangents[: int(self.kept)]]

    def pull(self, cotangents: Tensor, *other: Tensor) -> list[Tensor]:
        """Jᵀ v and that for the layer before, from v and what came by the `other` path."""
        found = self.at.pull_each(cotangents)
        return [sum(other, found[0]), *found[1:]]


def _linked(
    network: ResidualNetwork, blocks: Sequence[Block], start: Tensor, copies: int
) -> tuple[list[Tensor], list[_Link]]:
    """h_0 ... h_L and the blocks between them, as `ResidualNetwork.through` calls them."""
    layers, found = [start], list[Linearized]()
    for number, block in enumerate(blocks):
        double = number > 0 and network.takes_before(number - 1) and network.takes_before(number)
        found.append(Linearized(block, *(layers[:-3:-1] if double else layers[-1:]), copies=copies))
        layers.append(found[-1].output)
    kept = (len(after.inputs) == 2 for after in found[1:])
    return layers, [_Link(*pair) for pair in zip(found, [*kept, False], strict=False)]


def _stacked_chain(networks: Sequence[ResidualNetwork], inputs: Tensor, copies: int) -> tuple[list[Tensor], list[_Link]]:
    """Those of all draws together, for inputs [D, I, 1, F].

    Raises:
        RuntimeError: torch cannot map a block over its weights, or the networks differ in more than weights and buffers.
    """
    starts = [network.start(x.flatten(0, 1)) for network, x in zip(networks, inputs, strict=True)]
    blocks = [_stacked(group, inputs.shape[1]) for group in zip(*(network.blocks for network in networks), strict=True)]
    layers, links = _linked(networks[0], blocks, torch.cat(starts), copies)
    with torch.no_grad():
        *_, last = [starts[-1], *networks[-1].through(starts[-1])]
    apart = torch.linalg.vector_norm(layers[-1][-len(last) :] - last)
    if not bool(apart <= ROUNDING * torch.linalg.vector_norm(last)) and bool(last.isfinite().all()):
        raise RuntimeError("the networks of several draws differ in more than weights and buffers")
    return layers, links


def _stacked(blocks: Sequence[nn.Module], inputs: int) -> Block:
    """One block of several draws, each with its weights: of rows [copies × D × I, ...] those of its draw."""
    state, draws = stack_module_state(list(blocks)), len(blocks)

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *x: Tensor) -> Tensor:
        return functional_call(blocks[0], (parameters, buffers), x)  # type: ignore[no-any-return]

    def block(*rows: Tensor) -> Tensor:
        by_draw = (x.view(-1, draws, inputs, *x.shape[1:]).transpose(0, 1).flatten(1, 2) for x in rows)
        y: Tensor = vmap(one, randomness="different")(*state, *by_draw)
        return y.view(draws, -1, inputs, *y.shape[2:]).transpose(0, 1).flatten(0, 2)

    return block


def _carried(
    vectors: Tensor, products: Sequence[Callable[..., list[Tensor]]], sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Vectors [G, V, n] through one product after the other, brought to norm √size before each.

    Log squared norms over `sizes` [G, V, L+1], and the last vectors at norm √size.
    """
    if not vectors.shape[1]:
        return vectors.new_zeros(len(vectors), 0, len(sizes), dtype=torch.float64), vectors
    energies, moved = [], [vectors]
    for product, size in zip((None, *products), sizes, strict=True):
        moved = moved if product is None else product(*moved)
        norm = _norm(moved[0])
        energies.append(norm.square().div(size).log())
        factor = torch.where(norm > 0, math.sqrt(size) / norm, 1.0).to(vectors.dtype)[..., None]
        moved = [x * factor for x in moved]
    return torch.stack(energies, dim=-1).cumsum(-1), moved[0]


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1, dtype=torch.float64)
    return norm


def _samples(found: _Pass) -> Samples:
    """Of what all draws gave, [D, ...] each."""
    stream, forward, backward, round_trip, decorrelation, pulled = (x.cpu().double().numpy() for x in found)
    unit = nn.functional.normalize(found.pulled.double(), dim=-1, eps=0.0)  # a zero vector has no direction: NaN
    gram = (unit @ unit.mT).cpu().numpy()
    nothing = stream[:, :, None, :][:, :, :0]
    return Samples(
        stream=stream,
        forward=forward,
        backward=backward,
        round_trip=round_trip,
        decorrelation=decorrelation.mean(axis=1),
        cotangent_gram=gram if pulled.shape[-1] else gram[:, :0, :0],
        stream_tokens=nothing,
        forward_tokens=nothing,
        backward_tokens=nothing,
    )
