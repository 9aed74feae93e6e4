"""Networks of NAS-Bench-Macro: what they are, and the population against one module at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.nasbench_macro.network import Macro, MacroNetwork
from nasjac.tables.nasbench_macro.space import NasBenchMacro
from nasjac.tables.networks import initialize, lifted, prepared

SPACE = NasBenchMacro()


def weights(dtype: torch.dtype = torch.float64) -> Draws:
    return Draws(5, [0], dtype, torch.device("cpu"))


def images(size: int = 16) -> Tensor:
    return torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def population(chosen: list[Macro]) -> tuple[Tensor, Tensor]:
    """Features [B, P, 80] and the gradients [B, P, ...] of a probe of them at h_0."""
    stem, head = (prepared(part, f"{name}.", weights()) for name, part in zip(("stem", "head"), SPACE.ends(2), strict=True))
    h = lifted(stem, images()[:, None]).repeat(1, len(chosen), 1, 1, 1).requires_grad_()
    out = lifted(head, SPACE.body(h, chosen, weights(), 2))
    (gradient,) = torch.autograd.grad((out * torch.arange(80)).sum(), h)
    return out.detach(), gradient


def test_the_population_is_each_network_by_itself() -> None:
    chosen = [Macro("00000000"), Macro("22222222"), *SPACE.random(8, seed=1)]
    together, gradients = population(chosen)
    for place, macro in enumerate(chosen):
        network = MacroNetwork(macro, 2).double()
        initialize(network, weights())
        h = network.stem(images()).detach().requires_grad_()
        out = network.head(network.body(h))
        (gradient,) = torch.autograd.grad((out * torch.arange(80)).sum(), h)
        assert torch.allclose(out, together[:, place], atol=1e-10)
        assert torch.allclose(gradient, gradients[:, place], atol=1e-8)
    for there, back in zip(population(chosen), population(chosen[::-1]), strict=True):
        assert torch.allclose(there, back.flip(1), atol=1e-8)


@pytest.mark.parametrize(
    ("arch", "params", "adds"), [("00000000", 387_882, 7_713_280), ("00000002", 1_219_370, 20_910_592)]
)
def test_parameters_and_products_are_the_published_ones(arch: str, params: int, adds: int) -> None:
    facts = SPACE.facts(Macro(arch))
    assert (facts["params"], facts["flops"]) == (params, 2 * adds)


@pytest.mark.parametrize("macro", [Macro("12012012"), *NasBenchMacro().random(3, seed=4)])
def test_parameters_and_flops_are_those_of_the_built_network(macro: Macro) -> None:
    network, adds = SPACE.network(macro, weights(torch.float32)).eval(), [0]

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        adds[0] += module.weight[0].numel() * out.numel()  # type: ignore[operator,index]

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network(torch.randn(1, 3, 32, 32))
    assert SPACE.facts(macro)["params"] == sum(parameter.numel() for parameter in network.parameters())
    assert SPACE.facts(macro)["flops"] == 2 * adds[0]


@pytest.mark.parametrize("text", ["", "0000000", "00000003", "000000000", "0000000a"])
def test_a_malformed_string_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="`arch` must be 8 digits among 0, 1, 2, got"):
        SPACE.parse(text)
