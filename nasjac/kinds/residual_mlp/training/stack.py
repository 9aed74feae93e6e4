"""Residual MLPs of one width and one ratio of hidden units as one batched computation, whatever else they differ in.

Every layer is one batched product. Placement, norm and activation are routed to the networks that have them; skips and
scales are factors. The networks lie in the order of `pyramid`: the deepest in the middle, so that those that reach a block
are side by side, and on one side of it those with two matrices in a branch. Networks that have no more blocks wait outside.

Letters: M networks, P numbers in a row of parameters, A networks that reach a block, B samples, F features, N units.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.kinds.chains import Layer, Pulled, chain
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.kinds.residual_mlp.training.layout import BLOCK_NORMS, Layout
from nasjac.kinds.residual_mlp.training.pullbacks import (
    Parameter,
    Rows,
    activation,
    affine,
    centered,
    identity,
    linear,
    normalized,
)
from nasjac.kinds.residual_mlp.training.routing import Route, route, routed, within
from nasjac.kinds.training.stack import Stack, cross_entropy


def pyramid(spec: ResidualMLP) -> tuple[bool, int, str, str, str]:
    """What a ResidualStack's canonical specs are sorted by; of equal depth, alike ones come side by side."""
    two, depth = spec.branch == "two_matrix", len(spec.blocks)
    return two, -depth if two else depth, spec.activation, spec.placement, spec.norm


class ResidualStack(Stack):
    """`modules` are built from canonical `specs`, one each, in the order of `pyramid`; each starts `copies` networks.

    The specs have one `ffn_ratio`.
    """

    def __init__(
        self, specs: Sequence[ResidualMLP], modules: Sequence[nn.Module], copies: int, device: torch.device
    ) -> None:
        self._specs = [spec for spec in specs for _ in range(copies)]
        self._names = [[name for name, _ in module.named_parameters()] for module in modules for _ in range(copies)]
        self._buffers = [dict(module.named_buffers()) for module in modules for _ in range(copies)]
        self._layout = Layout(modules[0], max(len(spec.blocks) for spec in specs), specs[0].ffn_ratio)
        self._values_MP = self._layout.rows(modules).repeat_interleave(copies, dim=0).to(device)
        self._gradients_MP = torch.zeros_like(self._values_MP)
        stretches = [self._layout.stretch(len(spec.blocks), spec.branch == "two_matrix") for spec in self._specs]
        self.rows = [row[stretch] for row, stretch in zip(self._values_MP, stretches, strict=True)]
        self.gradients = [row[stretch] for row, stretch in zip(self._gradients_MP, stretches, strict=True)]
        every = slice(0, len(self._specs))
        final_norm = self._norm("final_norm", every, self._norms(every, "before_readout"))
        self._layers = [self._linear("embedding", every), *self._stages(), final_norm, self._linear("readout", every)]

    def outputs(self, inputs: Tensor) -> Tensor:
        return chain(inputs.expand(len(self.rows), -1, -1), *self._layers, keep=False)[0]

    def backward(self, inputs_MBF: Tensor, labels_MB: Tensor) -> Tensor:
        outputs, pullback = chain(inputs_MBF, *self._layers)
        losses = cross_entropy(outputs.requires_grad_(), labels_MB)
        pullback(*torch.autograd.grad(losses.sum(), outputs))
        return losses.detach()

    def state(self, network: int) -> dict[str, Tensor]:
        parameters = {name: self._layout.view(self._values_MP[network], name) for name in self._names[network]}
        return {name: value.cpu().clone() for name, value in {**self._buffers[network], **parameters}.items()}

    def _stages(self) -> Iterator[Layer]:
        """The blocks, those that the same networks reach taken together."""
        for (start, stop), numbers in itertools.groupby(range(self._layout.blocks), self._reach):
            rows = slice(start, stop)
            norms = {
                name: self._norms(rows, at)
                for name, at in zip(BLOCK_NORMS, ("on_input", "on_branch", "on_sum"), strict=True)
            }
            branches, activations = (self._route(rows, choice) for choice in ("branch", "activation"))
            phi = partial(routed, route=activations, layer=lambda x, name, _: activation(x, name))
            yield partial(within, rows=rows, layers=[self._block(number, rows, norms, branches, phi) for number in numbers])

    def _block(self, number: int, rows: slice, norms: Mapping[str, Route], branches: Route, phi: Layer) -> Layer:
        """x -> norm_sum(skip * x + scale * norm_branch(F(norm_input(x)))), as
        `nasjac.architecture.norm_placement` has it.
        """
        norm_input, norm_branch, norm_sum = (self._norm(f"blocks.{number}.{n}", rows, at) for n, at in norms.items())
        inner, outer = self._inner(number, rows, branches), self._linear(f"blocks.{number}.outer", rows)
        blocks = [(spec.blocks[number], *spec.gates) for spec in self._specs[rows]]
        gates_A2 = self._values_MP.new_tensor([(b.skip * held, b.scale * moved) for b, held, moved in blocks])
        skip_A11, scale_A11 = gates_A2.T[..., None, None]

        def block(x_ABN: Tensor) -> Pulled:
            z, pull_branch = chain(x_ABN, norm_input, inner, phi, outer, norm_branch)
            y, pull_sum = norm_sum(torch.addcmul(skip_A11 * x_ABN, scale_A11, z))

            def pullback(gradient: Tensor) -> Tensor:
                gradient = pull_sum(gradient)
                return torch.addcmul(pull_branch(scale_A11 * gradient), skip_A11, gradient)

            return y, pullback

        return block

    def _inner(self, number: int, rows: slice, branches: Route) -> Layer:
        one_matrix = sum(spec.branch == "one_matrix" for spec in self._specs[rows])
        layers: dict[str, Layer] = {"one_matrix": identity}
        if rows.start + one_matrix < rows.stop:
            layers["two_matrix"] = self._linear(f"blocks.{number}.inner", slice(rows.start + one_matrix, rows.stop))
        return partial(routed, route=branches, layer=lambda x, branch, _: layers[branch](x))

    def _linear(self, name: str, rows: slice) -> Layer:
        weight, bias = (self._parameter(f"{name}.{part}", rows) for part in ("weight", "bias"))
        return partial(linear, weight_AOI=weight, bias_AO=bias)

    def _norm(self, name: str, rows: slice, route: Route) -> Layer:
        weight, bias = (self._parameter(f"{name}.{part}", rows) for part in ("weight", "bias"))

        def norm(x: Tensor, kind: str, rows: Rows) -> Pulled:
            if kind == "none":
                return identity(x)
            if kind == "rmsnorm":
                return chain(x, normalized, partial(affine, rows=rows, weight_AN=weight, bias_AN=None))
            return chain(x, centered, normalized, partial(affine, rows=rows, weight_AN=weight, bias_AN=bias))

        return partial(routed, route=route, layer=norm)

    def _norms(self, rows: slice, at: str) -> Route:
        specs = self._specs[rows]
        names = [spec.norm if getattr(PLACEMENTS[spec.placement], at) else "none" for spec in specs]
        return route(names, self._values_MP.device)

    def _route(self, rows: slice, choice: str) -> Route:
        return route([getattr(spec, choice) for spec in self._specs[rows]], self._values_MP.device)

    def _parameter(self, name: str, rows: slice) -> Parameter:
        return Parameter(self._layout.view(self._values_MP[rows], name), self._layout.view(self._gradients_MP[rows], name))

    def _reach(self, number: int) -> tuple[int, int]:
        """The first network that has a block of that number, and the first after them that has not."""
        reach = [row for row, spec in enumerate(self._specs) if len(spec.blocks) > number]
        assert len(reach) == reach[-1] + 1 - reach[0], "the deepest in the middle"
        return reach[0], reach[-1] + 1
