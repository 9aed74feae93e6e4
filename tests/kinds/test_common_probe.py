"""Correlations of different inputs' Jacobians: those of autograd on the ordinary module, whatever the company."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.common_probe import input_correlations
from nasjac.kinds.convolutional.network import ImageNetwork
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.sampler import drawn
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws

CPU, DRAWS, COUNT = torch.device("cpu"), 2, 4
DOUBLE = Draws(3, range(DRAWS), torch.float64, CPU)
MIXED = (Block(), Block(skip=0), Block(scale=0.5), Block(keep=False))
MLPS = {
    "none": Spec.of(width=8, blocks=MIXED),
    "pre": Spec.of(width=8, blocks=MIXED * 2, placement="pre", activation="gelu", weight_gain=1.3),
    "post": Spec.of(width=8, blocks=MIXED, placement="post", activation="tanh", branch="one_matrix"),
    "implicit": Spec.of(width=8, blocks=(Block(),) * 2, block="implicit", step=0.3, leak=0.5, activation="tanh"),
}
STAGES = (Block(op="basic"), Block(op="basic", skip=0), Block(op="basic", stage=1), Block(op="bottleneck", stage=1))
IMAGES = {
    f"{norm}, {order}": Spec.of(
        width=4, blocks=STAGES, kind="resnet", shape=(1, 4, 4), norm=norm, order=order, activation="gelu"
    )
    for norm, order in (("batchnorm", "post"), ("batchnorm", "pre"), ("groupnorm", "post"), ("groupnorm", "pre"))
}
DENSE = Spec.of(
    width=4,
    blocks=(Block(op="dense"), Block(op="dense", stage=1)),
    kind="densenet",
    shape=(1, 4, 4),
    norm="batchnorm",
    growth=2,
)


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(30, 16, generator=torch.Generator().manual_seed(1), dtype=dtype)


def module(spec: Spec, draw: int) -> nn.Module:
    """The ordinary module in training mode with the weights of a draw."""
    network = build(spec, 16, 3).double().train()
    initialize(network, spec.weight_gain, partial(drawn, DOUBLE, draw))
    return network


@pytest.mark.parametrize("name", MLPS)
def test_of_mlps_they_are_cosines_of_the_gradients(name: str) -> None:
    spec = MLPS[name].canonical
    [found] = input_correlations([spec], inputs(), DOUBLE, COUNT)
    assert found is not None and found.shape == (DRAWS, COUNT, COUNT)
    for draw, batch in enumerate(DOUBLE.samples(inputs(), COUNT)):
        network = module(spec, draw)
        assert isinstance(network, ResidualMLPNetwork)
        first = network.start(batch).detach().requires_grad_()
        *_, last = network.through(first)
        probe = DOUBLE.probes("cotangent", 1, 1, spec.width)[draw, 0, 0]
        (pulled,) = torch.autograd.grad((last * probe).sum(), first)
        unit = nn.functional.normalize(pulled, dim=1)
        assert torch.allclose(found[draw], unit @ unit.T, atol=1e-9)


@pytest.mark.parametrize("name", [*IMAGES, "densenet"])
def test_of_images_they_are_correlations_of_the_gradients(name: str) -> None:
    """Of the module in training mode: BatchNorm takes the statistics of these images."""
    spec = IMAGES.get(name, DENSE).canonical
    [found] = input_correlations([spec], inputs(), DOUBLE, COUNT)
    assert found is not None
    for draw, batch in enumerate(DOUBLE.samples(inputs(), COUNT)):
        network = module(spec, draw)
        assert isinstance(network, ImageNetwork)
        first = last = network.start(batch).detach().requires_grad_()
        for block in network.blocks:
            last = block(last)
        probe = DOUBLE.normal("common cotangent", last.shape[1])[draw]
        seen = network.activation(network.norm(last)) if spec.order == "pre" else last
        (pulled,) = torch.autograd.grad((seen.mean((2, 3)) * probe).sum(), first)
        assert np.allclose(found[draw], np.corrcoef(pulled.flatten(1)), atol=1e-9)


def test_they_do_not_depend_on_the_company() -> None:
    """Bit for bit, in float32: MLPs share products, images workers."""
    specs = [spec.canonical for spec in (*MLPS.values(), *IMAGES.values(), DENSE)]
    single = Draws(3, range(DRAWS), torch.float32, CPU)
    together = input_correlations(specs, inputs(torch.float32), single, COUNT)
    for spec, found in zip(specs, together, strict=True):
        [alone] = input_correlations([spec], inputs(torch.float32), single, COUNT)
        assert found is not None and alone is not None and torch.equal(found, alone)


#: without skips weights that vanish leave no path
VANISHING = 1e-200
CUTS = {
    "mlp": Spec.of(width=8, blocks=(Block(skip=0),) * 2, weight_gain=VANISHING),
    "resnet": replace(IMAGES["groupnorm, pre"], blocks=(Block(op="basic", skip=0),) * 2, weight_gain=VANISHING),
}


@pytest.mark.parametrize("name", CUTS)
def test_where_every_path_is_cut_there_are_none(name: str) -> None:
    [found] = input_correlations([CUTS[name].canonical], inputs(), DOUBLE, COUNT)
    assert found is not None and found.shape == (DRAWS, COUNT, COUNT) and found.isnan().all()


def test_images_without_memory_touch_no_one_else(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [spec.canonical for spec in IMAGES.values()]
    calm = input_correlations(specs, inputs(), DOUBLE, COUNT)
    sampler = type(kind_of(specs[0]).sampling)
    ample = sampler.readout_correlations

    def scarce(self: Any, spec: Spec, batches: Tensor, draws: Draws) -> Tensor:
        if spec == specs[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ample(self, spec, batches, draws)

    monkeypatch.setattr(sampler, "readout_correlations", scarce)
    lost, *others = input_correlations(specs, inputs(), DOUBLE, COUNT)
    assert lost is None
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(others, calm[1:], strict=True))
