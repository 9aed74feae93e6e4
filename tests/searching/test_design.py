"""Shapes of one size: what the table holds is what the architectures have, and the page prints it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import nasjac
from nasjac import Decoder
from nasjac.cli import main
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.spaces import SPACES
from nasjac.kinds.training_memory import training_bytes
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.scores.apjn import Apjn
from nasjac.searching.design import design
from nasjac.searching.design_page import rows, short


@pytest.mark.parametrize("params", ["100k", "10M", "200M"])
@pytest.mark.parametrize("kind", SPACES)
def test_shapes_have_the_size(kind: str, params: str) -> None:
    space = SPACES[kind](depth_max=3) if kind != "residual_mlp" else ResidualMlpSpace()
    found = design(space, budget={"params": params}, count=4, error=9.0)
    size = {"100k": 1e5, "10M": 1e7, "200M": 2e8}[params]
    assert len(found.shapes) == 4 == len({shape.key for shape in found.shapes})
    for shape in found.shapes:
        [known] = facts([shape.spec])
        assert abs(shape.params / size - 1) <= 0.1 and shape.params == known.params < shape.all_params
        assert (shape.flops, shape.effective_depth, shape.depth) == (known.flops, known.effective_depth, known.depth)
        assert shape.key == shape.spec.key and shape.mean_log is not None
    depths = [shape.depth for shape in found.shapes]
    assert depths == sorted(depths)


def test_a_space_without_the_typical_choices_has_shapes() -> None:
    """A decoder as LLaMA is built, with keys shared and normed: every shape has what the options leave."""
    space = TransformerLmSpace(
        context=16,
        depth_max=4,
        placements=("pre",),
        norms=("rmsnorm",),
        positions=("rotary",),
        activations=("silu",),
        branch_scales=("inverse_depth",),
        ffns=("gated",),
        kv_sharing=(2,),
        qk_norms=(True,),
    )
    found = design(space, budget={"params": "1M"}, inputs=50, count=2, error=9.0)
    assert len(found.shapes) == 2
    for shape in found.shapes:
        spec = cast(Decoder, shape.spec)
        assert (spec.norm, spec.positions, spec.activation) == ("rmsnorm", "rotary", "silu")
        assert spec.ffn == "gated" and spec.qk_norm and spec.kv_heads == spec.heads // 2
        assert {block.scale for block in spec.blocks} == {1 / shape.depth}
        module = build(spec, 50, 50)
        inside = sum(part.numel() for part in module.get_submodule("blocks").parameters())
        assert shape.params == inside == pytest.approx(1e6, rel=0.1)


def test_all_parameters_are_those_of_the_module() -> None:
    found = design(TransformerLmSpace(depth_max=2), budget={"params": "60k", "counts": "all"}, inputs=50, count=2)
    for shape in found.shapes:
        module = build(shape.spec, 50, 50, torch.Generator().manual_seed(0))
        assert shape.all_params == sum(part.numel() for part in module.parameters())
        assert abs(shape.all_params / 60_000 - 1) <= 0.1


def test_the_closed_form_is_the_expected_norm_and_sampling_agrees() -> None:
    found = design(ResidualMlpSpace(depth_max=8), budget={"params": "30k"}, count=3)
    measured = Apjn(draws=64).measure([s.spec for s in found.shapes], torch.randn(64, 64), torch.device("cpu"))
    for shape, item in zip(found.shapes, measured, strict=True):
        assert shape.source == "closed form" and shape.standard_error == 0
        term = item.terms["mean_log"]
        assert term.value is not None and term.standard_error is not None and shape.mean_log is not None
        # the closed form is at h_0 of second moment 1; relu without norms does not depend on it
        assert abs(shape.mean_log - term.value) <= 4 * term.standard_error + 1.5 * shape.depth / shape.width


def test_a_wide_network_is_sampled_narrow_within_what_narrowing_says() -> None:
    """The value at the full width differs from that at a smaller one by about what halving that one changes."""
    space = TransformerLmSpace(depth_min=3, depth_max=3, context=16, ffn_ratios=(4,))
    [wide] = design(space, budget={"params": 600_000}, count=1, error=0.03).shapes
    assert wide.source == "sampled at width 64" and wide.width > 100
    assert wide.mean_log is not None and wide.standard_error is not None and wide.narrowing is not None
    inputs = torch.randint(64, (64, 16), generator=torch.Generator().manual_seed(0))
    [item] = Apjn(draws=32, plan="forward", rel_error=None).measure([wide.spec], inputs, torch.device("cpu"))
    full, error = item.terms["mean_log"].value, item.terms["mean_log"].standard_error
    assert full is not None and error is not None
    assert abs(full - wide.mean_log) <= 4 * math.hypot(error, wide.standard_error) + 2 * abs(wide.narrowing)


def test_memory_grows_by_what_a_sample_keeps() -> None:
    """Parameters take 16 bytes; a layer of a chain keeps its input and its activation's for every sample."""
    spec = nasjac.ResidualMLP(width=32, blocks=(nasjac.Block(),) * 4, branch="one_matrix", activation="relu")
    none, one, two = (training_bytes(spec, 8, 5, batch) for batch in (1, 2, 3))
    assert two - one == one - none > 4 * 4 * 32
    params = sum(part.numel() for part in build(spec, 8, 5).parameters())
    assert none - (one - none) == pytest.approx(16 * params, abs=64 * (len(spec.blocks) + 1))


def test_the_verb_prints_the_table_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["design", "budget.params=20k", "count=3", f"out={tmp_path / 'd'}", "quiet=true"]
    assert main(words) == 0
    text = capsys.readouterr().out
    content = json.loads((tmp_path / "d" / "design.json").read_text())
    page = (tmp_path / "d" / "design.html").read_text()
    for shape in content["shapes"]:
        assert shape["key"] in text and shape["key"] in page and f"{shape['mean_log']:.2f}".rstrip("0") in text
    assert main([*words, "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"] == content["shapes"]


def test_rows_are_what_the_shapes_hold() -> None:
    found = nasjac.design("residual_mlp", budget={"max_flops": "1M"}, count=2, batch=32)
    for row, shape in zip(rows(found), found.shapes, strict=True):
        assert row["params"] == short(shape.params) and row["E log J"] == round(shape.mean_log or 0.0, 2)
        assert row["GiB to train, batch 32"] == round(shape.training_bytes / 2**30, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": {}}, ["`budget`", "size", "none"]),
        ({"budget": {"params": 10}}, ["`budget.params`", "got 10", "nearest"]),
        ({"space": ResidualMlpSpace(widths=(8,))}, ["`space`", "widths are null"]),
        ({"space": lambda trial: None}, ["`space`", "widths are null"]),
        ({"budget": {"params": "20k", "trials": 5}}, ["`budget.trials`", "left out", "5"]),
        ({"dataset": "digits", "outputs": 3}, ["`outputs`", "left out with a dataset"]),
        ({"count": 0}, ["`count`", "0"]),
        ({"error": 0.0}, ["`error`", "0.0"]),
        ({"space": "transformer_lm", "inputs": 1}, ["`inputs`", "1"]),
        ({"space": "resnet", "inputs": 5}, ["`inputs`", "64", "5"]),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: list[str]) -> None:
    given: dict[str, Any] = {"space": "residual_mlp", "budget": {"params": "20k"}, **options}
    with pytest.raises(InputError) as error:
        design(given.pop("space"), **given)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_closed_form_of_another_mean_is_not_taken_for_it() -> None:
    """Of pre-LN gelu chains log E 𝒥 alone has a closed form; E log 𝒥 is smaller, and is sampled."""
    found = design(
        ResidualMlpSpace(depth_max=8, placements=("pre",), activations=("gelu",)), budget={"params": "20k"}, count=2
    )
    assert {shape.source.split()[0] for shape in found.shapes} == {"sampled"}
