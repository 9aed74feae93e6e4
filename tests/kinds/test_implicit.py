"""Implicit blocks: their equation, their derivatives, their stability, and what becomes of those without a solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import jacrev, vmap

from nasjac import diagnose
from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.kinds.build import build
from nasjac.kinds.modules.implicit import TOLERANCES, bdf2
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.krylov import minimal_residual
from nasjac.kinds.modules.sampler import drawn
from nasjac.kinds.options.stepped import IMPLICIT_PASSES
from nasjac.kinds.population import sample
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.sampling.draws import Draws
from nasjac.sampling.linearized import Linearized
from nasjac.sampling.samples import INDEPENDENT, Plan
from nasjac.scores.apjn import Apjn
from nasjac.trainers import AdamW
from nasjac.trainers.population import fit_population
from tests.kinds.alone import module_samples

DOUBLE = torch.float64
IMPLICIT = Spec.of(width=6, blocks=(Block(),) * 3, block="implicit", step=0.7, leak=0.4, activation="tanh")
#: images of 4 x 4 pixels in two stages; the first block of the second changes their shape and has no equation
IMAGES = Spec.of(
    width=4,
    blocks=(Block(op="basic"), Block(op="basic"), Block(op="basic", stage=1), Block(op="basic", stage=1)),
    kind="resnet",
    shape=(1, 4, 4),
    norm="groupnorm",
    order="pre",
    activation="gelu",
    block="implicit",
    step=0.3,
    leak=0.5,
)


def drawn_network(spec: Spec, draws: Draws, draw: int, features: int) -> nn.Module:
    network = build(spec, features, 2).to(DOUBLE).requires_grad_(False)
    initialize(network, spec.weight_gain, partial(drawn, draws, draw))
    return network


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def slope(weight: Tensor) -> nn.Module:
    """F(x) = W x as a block's branch."""
    spec = Spec.of(width=len(weight), blocks=(Block(),), activation="linear", branch="one_matrix", block="implicit")
    network = build(spec, len(weight), 2).to(weight.dtype)
    assert isinstance(network, ResidualMLPNetwork)
    block = network.blocks[0]
    with torch.no_grad():
        block.outer.weight.copy_(weight)
    return block


@pytest.mark.parametrize("shift", [0.0, 3.0, 30.0])
def test_minimal_residuals_solve_each_row(shift: float) -> None:
    """To the tolerance, whether the eigenvalues surround 0 or not; a row's solution does not depend on the others'."""
    matrices, right = numbers(5, 12, 12) + shift * torch.eye(12, dtype=DOUBLE), numbers(5, 12, seed=1)
    right[2] = 0
    found, left = minimal_residual(lambda v: torch.einsum("gmn,gn->gm", matrices, v), right, 1e-9, 50)
    assert (left <= 1e-9 * right.norm(dim=1)).all() and not found[2].any()
    torch.testing.assert_close(found, torch.linalg.solve(matrices, right), rtol=1e-5, atol=1e-7)
    alone, _ = minimal_residual(lambda v: v @ matrices[3].T, right[3:4], 1e-9, 50)
    torch.testing.assert_close(alone[0], found[3], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("spec", [IMPLICIT, replace(IMPLICIT, placement="sandwich"), IMAGES], ids=lambda s: s.kind)
def test_the_equation_is_solved(spec: Spec, dtype: torch.dtype) -> None:
    """BDF-2's, from backward Euler on; behind a change of shape it starts anew."""
    network = build(spec, 16, 2, torch.Generator().manual_seed(0)).to(dtype)
    stream, before = list(network.stream(numbers(5, 16).to(dtype))), None  # type: ignore[operator]
    for number, block in enumerate(network.blocks):  # type: ignore[arg-type]
        x, y = stream[number : number + 2]
        if not spec.solves(number):
            assert number == 2 and spec.inputs.shape is not None and block.residual == 0
            torch.testing.assert_close(y, (block.shortcut(x) + 0.3 * block.branch(x)) / 1.15)
            before = None
            continue
        history, beta = (x, 1.0) if before is None else ((4 * x - before) / 3, 2 / 3)
        gap = y - history - spec.step * beta * (block.slope(y) - spec.leak * y)
        assert gap.norm() <= 3 * TOLERANCES[dtype] * y.norm() and block.residual <= TOLERANCES[dtype]
        before = x


def test_the_gradient_is_that_of_finite_differences_and_of_an_unrolled_solution() -> None:
    block = build(IMPLICIT, 16, 2, torch.Generator().manual_seed(0)).to(DOUBLE).blocks[1]  # type: ignore[index,union-attr]
    x, before = (numbers(3, 6, seed=seed).requires_grad_() for seed in (1, 2))
    assert torch.autograd.gradcheck(lambda a, b: block(a, b), (x, before))
    names, values = zip(*block.named_parameters(), strict=True)
    of_solution = torch.autograd.grad(block(x, before).square().sum(), [x, before, *values])
    history, c = (4 * x - before) / 3, IMPLICIT.step * 2 / 3
    y = history
    for _ in range(200):  # a fixed point, as h β ‖J_F‖ is small here
        y = history + c * (block.slope(y) - IMPLICIT.leak * y)
    unrolled = torch.autograd.grad(y.square().sum(), [x, before, *values])
    for name, ours, theirs in zip(("x", "before", *names), of_solution, unrolled, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8, msg=name)


def test_the_jacobian_is_the_inverse_of_the_newton_matrix() -> None:
    """(1 + hβD − hβ J_F(y))⁻¹ times 4/3 by x and −1/3 by what was before, and its products are linear in both ways."""
    block = build(IMPLICIT, 16, 2, torch.Generator().manual_seed(0)).to(DOUBLE).blocks[1]  # type: ignore[index,union-attr]
    x, before = numbers(1, 6, seed=1), numbers(1, 6, seed=2)
    y = block(x, before)
    c = IMPLICIT.step * 2 / 3
    inverse = torch.linalg.inv((1 + c * IMPLICIT.leak) * torch.eye(6, dtype=DOUBLE) - c * vmap(jacrev(block.slope))(y)[0])
    found = torch.autograd.functional.jacobian(lambda a, b: block(a, b)[0], (x, before))
    torch.testing.assert_close(found[0][:, 0], 4 / 3 * inverse, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found[1][:, 0], -1 / 3 * inverse, rtol=1e-8, atol=1e-9)
    with forward_ad.dual_level():
        forward = forward_ad.unpack_dual(block(forward_ad.make_dual(x, before), before)).tangent
    torch.testing.assert_close(forward[0], 4 / 3 * inverse @ before[0], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("block", ["explicit", "leaky", "implicit"])
@pytest.mark.parametrize(
    "spec",
    [replace(IMPLICIT, blocks=(Block(), Block(scale=0.5), Block(skip=0), Block(), Block()), placement="pre"), IMAGES],
    ids=lambda spec: spec.kind,
)
def test_samples_are_products_with_the_exact_jacobian(spec: Spec, block: str) -> None:
    """From h_0 on all paths, and from h_l with the layer before held where the block behind sees both."""
    spec = replace(spec, block=block).canonical
    draws, inputs, plan = Draws(3, range(2), DOUBLE, torch.device("cpu")), numbers(9, 16), Plan(2, 2, 2, True)
    found = module_samples(spec, inputs, draws, plan)
    network = drawn_network(spec, draws, 1, 16)
    row = draws.samples(inputs, 2)[1, 1]
    start = network.start(row[None])  # type: ignore[operator]

    def output(x: Tensor, layer: int = len(spec.blocks)) -> Tensor:
        *_, last = chain(network.blocks[:layer], x, None)  # type: ignore[index,misc]
        return last.flatten()

    tangents = draws.probes("tangent", 2, 2, start.numel())[1, 1]
    cotangents = draws.probes("cotangent", 2, 2, spec.units)[1, 1]
    for layer in range(1, len(spec.blocks) + 1):
        jacobian = torch.autograd.functional.jacobian(partial(output, layer=layer), start).flatten(1)
        energies = (tangents @ jacobian.T).square().mean(1).log()
        np.testing.assert_allclose(found.forward[1, 1, :, layer], energies, rtol=1e-6, atol=1e-7)
    trip = (tangents @ jacobian.T @ jacobian).square().sum(1) / spec.units
    np.testing.assert_allclose(found.round_trip[1, 1], trip.log(), rtol=1e-6, atol=1e-7)
    layers = list(chain(network.blocks, start, None))  # type: ignore[arg-type]
    for layer in range(len(spec.blocks)):
        before = layers[layer - 1] if layer and network.blocks[layer - 1].implicit else None  # type: ignore[index,union-attr]
        rest = lambda x, layer=layer, before=before: list(chain(network.blocks[layer:], x, before))[-1].flatten()  # type: ignore[index,misc] # noqa: E731
        jacobian = torch.autograd.functional.jacobian(rest, layers[layer]).flatten(1)
        energies = (cotangents @ jacobian).square().sum(1) / spec.units
        np.testing.assert_allclose(found.backward[1, 1, :, layer], energies.log(), rtol=1e-6, atol=1e-7)


def chain(blocks: nn.ModuleList, x: Tensor, before: Tensor | None) -> list[Tensor]:
    """h_l and the layers behind it, from the definition."""
    found = [x]
    for block in blocks:
        y = block(x, before) if block.implicit and before is not None else block(x)
        before, x = (x, y) if block.implicit else (None, y)
        found.append(x)
    return found


def test_an_explicit_chain_is_the_engines() -> None:
    """The same random numbers: module and tile give the same samples up to rounding."""
    spec = Spec.of(
        width=12, blocks=(Block(), Block(skip=0), Block(scale=0.5)), placement="post", activation="gelu", step=0.5
    )
    draws, inputs = Draws(1, range(3), DOUBLE, torch.device("cpu")), numbers(9, 5)
    [tiled], alone = sample([spec], inputs, draws), module_samples(spec, inputs, draws, INDEPENDENT)
    for name, values in vars(alone).items():
        np.testing.assert_allclose(getattr(tiled, name), values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_stiff_step_contracts_where_the_explicit_one_explodes() -> None:
    """A rotated linear F with eigenvalues −0.5 … −400 and ±40i: |1 − hλ| up to 399, BDF-2's roots below 1."""
    basis, _ = torch.linalg.qr(numbers(8, 8))
    core = torch.diag(torch.tensor([-0.5, -2, -9, -30, -400, -60, -5, -5], dtype=DOUBLE))
    core[6, 7], core[7, 6] = 40.0, -40.0
    block, weight, h = slope(basis @ core @ basis.T), basis @ core @ basis.T, 1.0
    x, start, before = (numbers(4, 8),) * 2 + (None,)
    explicit = x
    for number in range(12):
        y, residual = bdf2(block.slope, x, before, h, 0.0)  # type: ignore[operator]
        assert residual <= TOLERANCES[DOUBLE]
        exact = torch.linalg.solve(
            torch.eye(8, dtype=DOUBLE) - h * (2 / 3 if number else 1) * weight, ((4 * x - before) / 3 if number else x).T
        )
        torch.testing.assert_close(y, exact.T, rtol=1e-6, atol=1e-9)
        x, before = y, x
        explicit = explicit + h * block.branch(explicit)  # type: ignore[operator]
    assert x.norm() < 0.2 * start.norm() and explicit.norm() > 1e20 * start.norm()


def test_a_leak_that_the_leaky_block_may_not_have_contracts_in_the_implicit_one() -> None:
    """hD = 40: backward Euler's and BDF-2's factors are below 1, the explicit one would be −39."""
    spec = Spec.of(width=16, blocks=(Block(),) * 6, block="implicit", step=4.0, leak=10.0)
    with pytest.raises(ValueError, match=r"`leak` must be below 1 / `step` in leaky blocks, 1 / 4, got 10.0"):
        replace(spec, block="leaky")
    [found] = Apjn(rel_error=None).measure([spec], numbers(40, 8), torch.device("cpu"))
    assert found.status == "ok" and found.terms["mean_log"].value < -6  # type: ignore[operator]


def test_what_has_no_solution_is_said() -> None:
    """y = x + 3 |y| has none for x > 0: not a number in the module, diverged with its reason in score and training."""
    y, residual = bdf2(lambda y: 3 * y.abs(), torch.tensor([[1.0], [-1.0]]), None, 1.0, 0.0)
    assert y[0].isnan() and residual > 0.1
    assert y[1].item() == pytest.approx(0.5, rel=1e-4) or y[1].item() == pytest.approx(-0.25, rel=1e-4)
    spec = Spec.of(width=8, blocks=(Block(),) * 2, block="implicit", step=8.0, activation="gelu")
    [found] = Apjn(rel_error=None).measure([spec], numbers(40, 8), torch.device("cpu"))
    assert found.status == "diverged" and "Newton's method finds no solution" in str(found.reason)
    [[run]] = fit_population([spec], digits_like(), AdamW(steps=1, batch=8, seeds=(0,), learning_rates=(1e-3,)))
    assert run.status == "diverged" and "Newton's method leaves a relative residual of" in str(run.reason)
    assert "blocks." in str(run.reason)


def digits_like() -> Data:
    inputs, labels = numbers(80, 8).float(), torch.arange(80) % 2
    inputs[:, 0] += 2 * labels
    return Data(inputs[:64], labels[:64], inputs[64:], labels[64:], outputs=2)


@pytest.mark.parametrize("placement", ["none", "post"])
def test_types_train_side_by_side(placement: str) -> None:
    """One population of all three: each trains as alone, and learns."""
    base = Spec.of(width=8, blocks=(Block(),) * 2, placement=placement, step=0.5, leak=0.4)
    specs = [replace(base, block=block) for block in ("implicit", "explicit", "leaky")]
    options = AdamW(steps=20, batch=32, seeds=(0,), learning_rates=(3e-2, 1e-3))
    together = fit_population(specs, digits_like(), options)
    for spec, runs in zip(specs, together, strict=True):
        alone = fit_population([spec], digits_like(), options)[0]
        assert [(run.status, run.loss) for run in runs] == [("ok", run.loss) for run in alone]
        assert runs[0].accuracy is not None and runs[0].accuracy > 0.8
        assert runs[0].loss is not None and math.isfinite(runs[0].loss)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_the_passes_that_flops_count_are_those_of_half_a_step(monkeypatch: pytest.MonkeyPatch, activation: str) -> None:
    """Linearizations count two, products with the Jacobian and the last evaluation one; to a fifth."""
    count = 0
    whole, push = Linearized.__init__, Linearized.push

    def linearize(self: Linearized, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        nonlocal count
        count += 2
        whole(self, function, *inputs)

    def counted(self: Linearized, *tangents: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return push(self, *tangents)

    monkeypatch.setattr(Linearized, "__init__", linearize)
    monkeypatch.setattr(Linearized, "push", counted)
    spec = Spec.of(width=32, blocks=(Block(),) * 8, block="implicit", step=0.5, activation=activation)
    with torch.no_grad():
        build(spec, 64, 10, torch.Generator().manual_seed(0))(numbers(64, 64).float())
    assert count / 8 + 1 == pytest.approx(IMPLICIT_PASSES, rel=0.2)


def test_rounded_products_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be float32 or float64 for implicit blocks, .* got 'bf16'"):
        Apjn(dtype="bf16").measure([IMPLICIT], numbers(40, 8).float(), torch.device("cpu"))


def test_inference_mode_gives_the_same_outputs() -> None:
    network, x = build(IMPLICIT, 16, 2, torch.Generator().manual_seed(0)), numbers(5, 16).float()
    with torch.inference_mode():
        inferred = network(x)
    with torch.no_grad():
        torch.testing.assert_close(inferred, network(x))
    torch.testing.assert_close(inferred, network(x).detach())


def test_a_diagnosis_sees_through_the_equations() -> None:
    """nasjac.diagnose pushes tangents forward and pulls cotangents back: the two norms from h_0 to h_L agree."""
    torch.manual_seed(0)  # of inputs
    network = build(replace(IMPLICIT, width=8), 12, 8, torch.Generator().manual_seed(0))
    found = diagnose(network, torch.randn(2, 12), rel_error=0.1, max_probes=64)
    forward, backward = (
        next(x for x in found.layers if (x.name, x.direction) == end)
        for end in (("output", "forward"), ("input", "backward"))
    )
    error = math.hypot(forward.standard_error or 0, backward.standard_error or 0)
    assert forward.mean_log is not None and backward.mean_log is not None
    assert abs(forward.mean_log - backward.mean_log) < 4 * error + 1e-3


def test_running_statistics_see_the_solution_alone() -> None:
    """One update a forward pass, by the statistics of the solution, however many Newton steps there were."""
    spec = replace(IMAGES, blocks=IMAGES.blocks[:1], norm="batchnorm")
    network, x = build(spec, 16, 2, torch.Generator().manual_seed(0)), numbers(8, 16).float()
    network.train()
    *_, last = network.stream(x)  # type: ignore[operator]
    norm = network.blocks[0].branch.norms[0]  # type: ignore[index,union-attr]
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * last.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    network.eval()
    assert network(x).isfinite().all() and norm.num_batches_tracked == 1
