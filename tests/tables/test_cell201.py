"""Cells of NAS-Bench-201: their strings, what of them is live, and the population against one module at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.nasbench201.network import EDGES, OPS, Cell201, Network201
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.networks import Operation, initialize, lifted, prepared, routed

SPACE = NasBench201()


def cells(count: int, seed: int = 0) -> list[Cell201]:
    generator = np.random.default_rng(seed)
    return [Cell201(tuple(OPS[op] for op in generator.integers(5, size=6))) for _ in range(count)]


def images(count: int = 6, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def weights(dtype: torch.dtype = torch.float64) -> Draws:
    return Draws(5, [0], dtype, torch.device("cpu"))


def population(chosen: list[Cell201]) -> tuple[Tensor, Tensor]:
    """Features [B, P, 16] and the gradients [B, P, ...] of a probe of them at h_0."""
    stem, head = (prepared(part, f"{name}.", weights()) for name, part in zip(("stem", "head"), SPACE.ends(4), strict=True))
    h = lifted(stem, images().double()[:, None]).repeat(1, len(chosen), 1, 1, 1).requires_grad_()
    out = lifted(head, SPACE.body(h, chosen, weights(), 4, repeats=2))
    (gradient,) = torch.autograd.grad((out * torch.arange(1.0, 17)).sum(), h)
    return out.detach(), gradient


def test_a_string_is_the_cell_and_back() -> None:
    for cell in cells(50):
        assert Cell201.from_arch(cell.arch) == cell


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~3|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2| ",
        "|none~0|none~0|+|none~1|+|none~0|none~1|none~2|",
    ],
)
def test_a_malformed_string_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"`arch` must be of the form \|op~0\|"):
        Cell201.from_arch(text)


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match=r"`arch` must have operations among none, .*, got 'conv'"):
        Cell201.from_arch("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def test_live_edges_are_those_whose_removal_can_change_the_output() -> None:
    """By enumeration of all paths; a dead edge made none leaves key and function."""
    paths = [[3], [0, 4], [1, 5], [0, 2, 5]]
    for cell in cells(200, seed=1):
        kept = [path for path in paths if all(cell.ops[edge] != "none" for edge in path)]
        assert cell.live == tuple(any(edge in path for path in kept) for edge in range(len(EDGES)))
        assert cell.canonical.canonical == cell.canonical and cell.canonical.key == cell.key


def test_live_edges_are_those_with_a_gradient() -> None:
    """A convolution's weights have a non-zero gradient exactly where its edge is live."""
    for cell in cells(12, seed=2):
        network = Network201(cell, 4, 1).double()
        initialize(network, weights())
        network(images().double()).square().sum().backward()
        for edge, op in enumerate(cell.ops):
            if op.startswith("nor_conv"):
                gradient = network.body[0].ops[str(edge)][1].weight.grad
                assert (gradient is not None and bool(gradient.abs().max() > 1e-12)) == cell.live[edge]


def test_the_population_is_each_cell_by_itself() -> None:
    """Features and Jacobian products of shared weights, routed, against modules one by one (float64, rounding)."""
    chosen = cells(12, seed=4)
    together, gradients = population(chosen)
    for place, cell in enumerate(chosen):
        network = Network201(cell, 4, 2).double()
        initialize(network, weights())
        h = network.stem(images().double()).detach().requires_grad_()
        out = network.head(network.body(h))
        assert torch.allclose(out, together[:, place], atol=1e-10)
        if any(cell.live):
            (gradient,) = torch.autograd.grad((out * torch.arange(1.0, 17)).sum(), h)
            assert torch.allclose(gradient, gradients[:, place], atol=1e-10)
        else:
            assert gradients[:, place].abs().max() == 0


def test_company_does_not_matter() -> None:
    chosen = cells(10, seed=6)
    for there, back in zip(population(chosen), population(chosen[::-1]), strict=True):
        assert torch.allclose(there, back.flip(1), atol=1e-10)
    for place in (0, 7):
        alone = population([chosen[place]])
        assert torch.allclose(alone[0][:, 0], population(chosen)[0][:, place], atol=1e-10)


def test_each_operation_runs_once_on_exactly_the_rows_that_use_it() -> None:
    seen: list[tuple[str, int]] = []

    def operation(name: str) -> Operation:
        def run(x: Tensor) -> Tensor:
            seen.append((name, x.shape[1]))
            return x + 1

        return run

    x = torch.arange(5.0).reshape(1, 5, 1, 1, 1)
    found = routed(x, ["a", "none", "b", "a", "a"], {name: operation(name) for name in ("a", "b", "c")})
    assert seen == [("a", 3), ("b", 1)]
    assert found.flatten().tolist() == [1, 0, 3, 4, 5]
    assert not routed(x, ["none"] * 5, {}).any()


@pytest.mark.parametrize("seed", range(6))
def test_parameters_and_flops_are_those_of_the_built_network(seed: int) -> None:
    """Of the formula 73306 + 243040 n3x3 + 28000 n1x1, and of products counted in a forward pass; live ones by gradient."""
    [cell], space = cells(1, seed), NasBench201()
    network = Network201(cell)
    initialize(network, Draws(0, [0], torch.float32, torch.device("cpu")))
    adds = [0]

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        adds[0] += module.weight[0].numel() * out.numel()  # type: ignore[operator,index]

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(torch.randn(1, 3, 32, 32))
    facts = space.facts(cell)
    assert facts["params"] == sum(parameter.numel() for parameter in network.parameters())
    assert facts["flops"] == 2 * adds[0]
    assert space.live_flops(cell) == space.facts(cell.canonical)["flops"] * any(cell.live)


@pytest.mark.parametrize(
    ("arch", "depth"),
    [
        ("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|", 45),
        ("|nor_conv_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|", 0),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|", 30),
    ],
)
def test_depth_is_that_of_the_longest_path(arch: str, depth: int) -> None:
    assert NasBench201().facts(Cell201.from_arch(arch))["depth"] == depth
