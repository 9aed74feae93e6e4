"""nasjac prescribe of a model: the measured factor is the closed form's, and the model is left as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasjac.cli import main
from nasjac.models.prescribe_model import branch_scale
from nasjac.models.prescription.band import Band

WIDTH, DEPTH = 48, 12


class Block(nn.Module):
    """x + W2 relu(W1 x), whose branch multiplies energies by 1 on average; takes a keyword, gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(self.inner.weight, std=math.sqrt(2 / WIDTH))
        nn.init.normal_(self.outer.weight, std=math.sqrt(1 / WIDTH))

    def forward(self, mask: None, hidden: Tensor) -> tuple[Tensor, None]:
        return hidden + self.outer(torch.relu(self.inner(hidden))), mask


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Linear(5, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.readout = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        for block in self.blocks:
            x, _ = block(None, hidden=x)
        return self.readout(x)  # type: ignore[no-any-return]


class Narrowing(Model):
    """Its blocks are no chain: the stream is changed between two of them."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        for block in self.blocks:
            x = block(None, hidden=2 * x)[0]
        return x


def test_the_factor_is_that_of_the_closed_form() -> None:
    """L log(1 + α²) = tolerance for relu branches of energy 1; at finite width and for one network, about so."""
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = branch_scale(model, inputs, "blocks")
    assert found.after is not None and found.scale is not None
    assert found.scale == pytest.approx(math.sqrt(math.expm1(1 / DEPTH)), rel=0.1)
    end = found.after.layers[DEPTH]
    assert end.mean_log is not None and end.standard_error is not None
    assert abs(end.mean_log - 1) <= 4 * end.standard_error  # fresh probes at the edge of the band
    assert found.slope == pytest.approx(DEPTH, rel=0.15)  # 2 Σ p_l with p_l = 1/2
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_critical_model_is_left_alone() -> None:
    found = branch_scale(Model(), torch.randn(4, 5), "blocks", Band(8.0, 3.0))
    assert found.scale == 1.0 and found.after is found.before


def test_what_cannot_be_reached_has_a_reason() -> None:
    """x + α F(x) with all skips never falls below the identity."""
    found = branch_scale(Model(), torch.randn(4, 5), "blocks", Band(-3.0, 0.5))
    assert found.scale is None and found.after is None and found.reason is not None and "no nearer than" in found.reason


@pytest.mark.parametrize(
    ("model", "blocks", "words"),
    [
        (Model, "block", ["`blocks`", "'block'", "blocks.0"]),
        (Model, "embedding", ["`blocks`", "keep their shape"]),
        (Narrowing, "blocks", ["`blocks`", "follow one another"]),
    ],
)
def test_blocks_that_are_none(model: Any, blocks: str, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        branch_scale(model(), torch.randn(4, 5), blocks)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["model=tests.models.test_prescribe_model:Model", "blocks=blocks", "input=4x5", "out=found", "format=json"]
    assert main(["prescribe", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["confirmed"] and 0.2 < printed["after"] < 0.4
    assert printed["change"] == pytest.approx(-math.log(printed["after"]))
    assert all(Path(name).stat().st_size > 1000 for name in printed["files"])
    assert main(["prescribe", "model=tests.models.test_prescribe_model:Model", "input=4x5"]) == 2
    assert "`blocks`" in capsys.readouterr().err
    assert (
        main(["prescribe", "model=tests.models.test_prescribe_model:Model", "depth=3", "blocks=blocks", "input=4x5"]) == 2
    )
    assert "stand alone" in capsys.readouterr().err
