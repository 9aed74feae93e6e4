"""Growing and pruning from Python, and the rules that a kind has which says nothing of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nasjac import Block, InputError, Spec
from nasjac.datasets import Digits
from nasjac.kinds.surgery import Surgery
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.grow import grow
from nasjac.surgery.prune import prune
from tests.models.foreign_models import UNITS, NormBlock
from tests.surgery.test_grow import SPECS, Model, kept


def test_a_checkpoint_grows_and_is_pruned(tmp_path: Path) -> None:
    source, told = kept("mlp", tmp_path), list[str]()
    grown = grow(source, blocks=2, points=4, say=told.append)
    assert (grown.blocks, grown.deviation, grown.depth.after) == (2, 0, 6) and len(told) == 2
    assert grown.out == f"{source}-grown" and repr(grown).startswith("blocks") and grown.out in repr(grown)
    spec, _, _ = checkpoint.load(grown.out)
    assert spec == grown.spec and grown.to_json() == json.loads(json.dumps(grown.to_json()))
    pruned = prune(grown.out, ratio=0.5, criterion="last", points=4, fine_tune=0, dataset="digits")
    assert pruned.pruned == (3, 4, 5) and pruned.key is not None and pruned.key.before == spec.key
    assert "3 of 6 branches by last: 3, 4, 5" in repr(pruned)
    beside = json.loads((Path(pruned.out) / "pruning.json").read_text())
    assert beside == {name: value for name, value in pruned.to_json().items() if name != "files"}


def test_an_architecture_and_data_are_objects(tmp_path: Path) -> None:
    found = prune(SPECS["mlp"], ratio=0.5, points=4, fine_tune=0, dataset=Digits(), out=tmp_path / "smaller")
    assert found.source.spec_file == SPECS["mlp"].key and found.source.checkpoint is None
    assert [path.name for path in (tmp_path / "smaller").glob("*.safetensors")] == []


def test_a_model_is_an_object_and_stays_as_it_was(tmp_path: Path) -> None:
    model, batch = Model(), torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grown = grow(model, blocks="blocks", insert=1, input=batch, out=tmp_path / "deeper")
    pruned = prune(model, blocks="blocks", ratio=0.4, input=batch, out=tmp_path / "shorter")
    assert (grown.source.model, grown.depth.after, len(pruned.pruned)) == ("Model", 4, 1)
    assert grown.spec is None and grown.kind is None and pruned.accuracy.before is None
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("criterion", ["best", "lowest_energy"])
def test_a_criterion_without_values_is_refused_with_the_choices(tmp_path: Path, criterion: str) -> None:
    with pytest.raises(InputError, match=rf"`criterion` must be one of random, .*, taylor, got '{criterion}'"):
        prune(Model(), blocks="blocks", criterion=criterion, input="4x5", out=tmp_path / "shorter")
    assert not (tmp_path / "shorter").exists()


def test_the_rules_of_any_module() -> None:
    rules, block, x = Surgery(), NormBlock().eval(), torch.randn(3, UNITS)
    spec = Spec.of(width=UNITS, blocks=(Block(),))
    torch.testing.assert_close(rules.bypassed(block, x) + rules.added(block, x), block(x))
    assert torch.equal(rules.bypassed(block, x), x) and rules.held(spec) == 1
    assert rules.growth_refusal(spec) is rules.pruning_refusal(spec) is rules.identity_fault(spec) is None
    assert rules.new_op(spec, spec.blocks, 1) == "ffn"
    with pytest.raises(InputError, match=r"`init` must be another one .* got 'zero_last'"):
        rules.zero_last(spec, block)
