"""nasjac prune end to end: checkpoints of three kinds, architectures without weights, models of other people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nasjac import Block, Spec
from nasjac.cli import main
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.compression import prune
from nasjac.surgery.criteria import CRITERIA
from nasjac.surgery.paths import chain_of, damage, expected
from tests.surgery.at_data import at
from tests.surgery.test_grow import GPT2, SPECS, VIT, Run, kept, run, vit_list

__all__ = ["run"]
SMALL = ["points=4", "fine_tune=5", "quiet=true", "format=json"]


@pytest.mark.parametrize("name", SPECS)
def test_a_checkpoint_is_pruned(run: Run, tmp_path: Path, name: str) -> None:
    source = kept(name, tmp_path)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    words = ["prune", f"checkpoint={name}", "ratio=0.5", *SMALL]
    code, out, err = run(*words, "save_tuned=tuned")
    assert (code, err) == (0, "")
    found = json.loads(out)
    depth = len(SPECS[name].blocks)
    assert found["branches"] == depth and len(found["pruned"]) == depth // 2
    assert found["path_count"] == {"before": 2**depth, "after": 2 ** (depth - depth // 2)}
    assert 0 < found["effective_depth"]["after"] < found["effective_depth"]["before"] < depth
    assert found["path_entropy"]["after"] < found["path_entropy"]["before"]
    assert found["predicted_damage"] > 0 and found["measured_damage"] > 0
    assert found["gate_difference"] < 1e-5 and set(found["accuracy"]) == {"before", "after", "fine_tuned"}
    assert all(0 <= value <= 1 for value in found["accuracy"].values())
    spec, module, info = checkpoint.load(f"{name}-pruned")
    assert spec.key == found["key"]["after"] == info["key"] and info["accuracy"] == found["accuracy"]["after"]
    assert sum(p.numel() for p in module.parameters()) == found["parameters"]["after"] < found["parameters"]["before"]
    assert found["flops"] == {"before": facts([SPECS[name]])[0].flops, "after": facts([spec])[0].flops}
    assert (tmp_path / f"{name}-pruned" / "model.safetensors").stat().st_size < (
        source / "model.safetensors"
    ).stat().st_size
    tuned, _, info = checkpoint.load("tuned")
    assert tuned == spec and info["accuracy"] == found["accuracy"]["fine_tuned"]
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert run(*words)[0] == 2, "nothing is overwritten"


@pytest.mark.parametrize("leak", [0.0, 0.6, 1.4])
def test_the_damage_of_leaky_blocks_is_that_of_their_identities(leak: float) -> None:
    """Linear blocks (1 − hD) x + h F(x) of one wide network: paths predict ‖J − J_K‖² to the 1/N of one draw of weights.

    An identity's energy is (1 − hD)², and what is left of a pruned block is the whole identity: their product is 1 − hD.
    """
    spec = Spec.of(
        width=128, blocks=(Block(),) * 3, activation="linear", block="leaky", step=0.5, leak=leak, weight_gain=1.3
    ).canonical
    points = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    module = build(spec, 128, 2, torch.Generator().manual_seed(1)).eval()
    old, pruned = at(spec, module, points, outputs=2), prune(spec, module.state_dict(), [1])
    whole, held, chi = chain_of(old, 0), (1 - 0.5 * leak) ** 2, 1.3**4 / 4
    assert whole.identity.tolist() == pytest.approx([held] * 3)
    assert whole.paths.effective_depth == pytest.approx(3 * chi / (held + chi), rel=0.05)
    found = damage(whole, [1], old, old.without([1]), 0)
    closed = (held + chi) ** 2 * (held + chi + 1 - 2 * held**0.5)
    assert expected(spec, pruned.spec, [1]).damage == pytest.approx(closed)
    assert found.predicted_damage == pytest.approx(closed, rel=0.1)
    assert found.measured_damage == pytest.approx(closed, rel=0.1)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion(run: Run, tmp_path: Path, criterion: str) -> None:
    kept("mlp", tmp_path)
    code, out, _ = run("prune", "checkpoint=mlp", "ratio=0.5", f"criterion={criterion}", *SMALL, "fine_tune=0")
    found = json.loads(out)
    assert code == 0 and found["criterion"] == criterion and len(found["pruned"]) == 2
    assert found["accuracy"]["fine_tuned"] is None
    if criterion in ("measured_energy", "output_damage"):
        values = {row["block"]: row[criterion] for row in found["branch_values"]}
        assert max(values[n] for n in found["pruned"]) <= min(
            value for n, value in values.items() if n not in found["pruned"]
        )


def test_damage_is_what_the_paths_predict_behind_the_last_branches(run: Run, tmp_path: Path) -> None:
    """Of fresh relu blocks without norms; the last ones have no masks behind them that could differ."""
    spec = Spec.of(width=64, blocks=(Block(),) * 6)
    (tmp_path / "spec.json").write_text(spec.to_json())
    ratios = []
    for seed in range(4):
        words = ["prune", "spec=spec.json", "ratio=0.34", "criterion=last", f"seed={seed}", f"out=out{seed}"]
        code, out, _ = run(*words, "points=16", "fine_tune=0", "quiet=true", "format=json")
        found = json.loads(out)
        assert code == 0 and found["pruned"] == [4, 5]
        assert found["expected"]["damage"] == pytest.approx(1.5**6 - 1.5**4)
        ratios.append(found["measured_damage"] / found["predicted_damage"])
    assert sum(ratios) / 4 == pytest.approx(1, abs=0.1)


def test_a_branch_without_a_skip_gives_way_to_the_identity(run: Run, tmp_path: Path) -> None:
    """F and the identity have nothing in common, so that both of their energies are lost, not the difference."""
    spec = Spec.of(width=64, blocks=(Block(), Block(skip=0.0), Block()))
    (tmp_path / "spec.json").write_text(spec.to_json())
    found = []
    for seed in range(4):
        words = ["prune", "spec=spec.json", "ratio=0.7", "criterion=last", f"seed={seed}", f"out=out{seed}", "points=16"]
        code, out, _ = run(*words, "fine_tune=0", "quiet=true", "format=json")
        assert code == 0
        found.append(json.loads(out))
    assert found[0]["pruned"] == [1, 2] and found[0]["expected"]["damage"] == pytest.approx(1.5 * (0.5 * 1.5 + 1))
    assert found[0]["path_count"] == {"before": 4, "after": 2}
    ratios = [one["measured_damage"] / one["predicted_damage"] for one in found]
    assert sum(ratios) / 4 == pytest.approx(1, abs=0.1)


def test_a_leaky_block_gives_way_to_a_whole_identity(run: Run, tmp_path: Path) -> None:
    """Of x ← (1 − hD) x + h F(x) the pruned block has the skip 1: paths through it are 1 − hD times those of x each."""
    spec = Spec.of(width=64, blocks=(Block(),) * 6, block="leaky", step=0.5, leak=0.6)
    (tmp_path / "spec.json").write_text(spec.to_json())
    held, chi = 0.7, 0.5**2 / 2
    found = []
    for seed in range(4):
        words = ["prune", "spec=spec.json", "ratio=0.34", "criterion=last", f"seed={seed}", f"out=out{seed}"]
        code, out, _ = run(*words, "points=16", "fine_tune=0", "quiet=true", "format=json")
        assert code == 0
        found.append(json.loads(out))
    lost = (held**2 + chi) ** 2 + 1 - 2 * held**2
    assert found[0]["expected"]["damage"] == pytest.approx((held**2 + chi) ** 4 * lost)
    share = chi / (held**2 + chi)
    assert found[0]["effective_depth"]["before"] == pytest.approx(6 * share, rel=0.1)
    ratios = [one["measured_damage"] / one["predicted_damage"] for one in found]
    assert sum(ratios) / 4 == pytest.approx(1, abs=0.1)


def test_an_architecture_without_weights(run: Run, tmp_path: Path) -> None:
    path = kept("resnet", tmp_path) / "spec.json"
    code, out, _ = run("prune", f"spec={path}", "ratio=0.4", "out=smaller", *SMALL)
    found = json.loads(out)
    assert code == 0 and len(found["pruned"]) == 1 and found["checkpoint"] is None
    again = Spec.from_json(json.dumps(json.loads((tmp_path / "smaller" / "spec.json").read_text())["spec"]))
    assert again.key == found["key"]["after"] and not (tmp_path / "smaller" / "model.safetensors").exists()
    code, out, err = run("prune", "spec=smaller/spec.json", "ratio=0.5", "criterion=first", "out=more", *SMALL)
    assert err == ""
    assert code == 0 and json.loads(out)["key"]["before"] == again.key


BAD: dict[str, tuple[list[str], list[str]]] = {
    "neither": (["prune"], ["`checkpoint`, `spec`, `model`", "none"]),
    "both": (["prune", "checkpoint=mlp", "spec=mlp"], ["got checkpoint, spec"]),
    "ratio 1": (["prune", "checkpoint=mlp", "ratio=1"], ["`ratio`", "[0, 1)", "1"]),
    "ratio below": (["prune", "checkpoint=mlp", "ratio=-0.1"], ["`ratio`", "[0, 1)", "-0.1"]),
    "unknown criterion": (["prune", "checkpoint=mlp", "criterion=best"], ["`criterion`", "taylor", "'best'"]),
    "a file": (["prune", "checkpoint=mlp/model.safetensors"], ["`checkpoint`", "folder", "the file"]),
    "no spec": (["prune", "spec=nowhere.json"], ["`spec`", "'nowhere.json'"]),
    "broken": (["prune", "checkpoint=broken"], ["broken", "whole checkpoint"]),
    "not a number": (["prune", "checkpoint=nan"], ["finite weights"]),
    "a pickle": (["prune", "checkpoint=pickle"], ["pickle", "allow_pickle=true"]),
    "others": (["prune", "checkpoint=others"], ["agree", "missing"]),
    "blocks of a checkpoint": (["prune", "checkpoint=mlp", "blocks=h"], ["`blocks`", "`model`"]),
    "expected energy of a model": (
        ["prune", "model=tests.surgery.test_grow:Model", "blocks=blocks", "input=4x5", "criterion=lowest_energy"],
        ["`criterion`", "measured_energy", "'lowest_energy'"],
    ),
    "a model without a loss": (
        ["prune", "model=tests.surgery.test_grow:Model", "blocks=blocks", "input=4x5", "criterion=taylor", "ratio=0.5"],
        ["`criterion`", "loss", "'taylor'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(run: Run, tmp_path: Path, case: str) -> None:
    from safetensors.torch import load_file, save_file

    words, parts = BAD[case]
    for name in ("broken", "nan", "pickle", "others"):
        kept("mlp", tmp_path).rename(tmp_path / name)
    kept("mlp", tmp_path)
    path = tmp_path / "broken" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    state = load_file(tmp_path / "nan" / "model.safetensors")
    save_file({name: tensor / 0 for name, tensor in state.items()}, tmp_path / "nan" / "model.safetensors")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pickle" / "model.pt")
    save_file({name: t for name, t in state.items() if "blocks.3" not in name}, tmp_path / "others" / "model.safetensors")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = run(*words, "quiet=true")
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("out", ["text", "json"])
def test_it_is_told_either_way(run: Run, tmp_path: Path, out: str) -> None:
    kept("mlp", tmp_path)
    code, told, err = run("prune", "checkpoint=mlp", "points=4", "fine_tune=2", f"format={out}")
    assert code == 0 and "effective_depth" in told and "branches of 4 blocks" in err


@pytest.mark.filterwarnings("ignore")
def test_gpt2_pruned_is_reloaded(run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    code, out, _ = run("prune", *GPT2, "ratio=0.4", "criterion=output_damage", "out=shorter")
    found = json.loads(out)
    assert code == 0 and len(found["pruned"]) == 1 and found["gate_difference"] < 1e-5 < found["deviation"]
    assert found["measured_damage"] == pytest.approx(found["predicted_damage"], rel=0.5)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained("shorter")
    assert model.config.n_layer == len(model.transformer.h) == 2
    assert model(torch.arange(6)[None]).logits.isfinite().all()
    from_disk = [
        "model._target_=transformers.GPT2LMHeadModel.from_pretrained",
        "model.pretrained_model_name_or_path=shorter",
    ]
    code, out, _ = run("grow", *from_disk, *GPT2[-4:], "insert=1", "out=again")
    assert code == 0 and json.loads(out)["depth"] == {"before": 2, "after": 3}


def labelled() -> dict[str, torch.Tensor]:
    """A batch with labels, by which the model has a loss."""
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.randn(3, 3, 8, 8, generator=generator), "labels": torch.tensor([0, 1, 0])}


@pytest.mark.filterwarnings("ignore")
def test_vit_pruned_by_its_loss_is_reloaded(run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    words = [word for word in VIT if not word.startswith("input=")]
    code, out, _ = run(
        "prune",
        *words,
        vit_list(),
        "input=tests.surgery.test_prune:labelled",
        "criterion=taylor",
        "ratio=0.7",
        "out=shorter",
    )
    found = json.loads(out)
    assert code == 0 and len(found["pruned"]) == 2 and found["path_count"] == {"before": 8, "after": 2}
    model: Any = transformers.AutoModelForImageClassification.from_pretrained("shorter")
    assert model.config.num_hidden_layers == 1 and model(torch.randn(2, 3, 8, 8)).logits.isfinite().all()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "nasjac grow" in (told := capsys.readouterr().out) and "nasjac prune" in told
