"""nasjac grow end to end: checkpoints of three kinds, models of other people, refusals that leave everything as it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasjac import Block, Spec, build
from nasjac.cli import main
from nasjac.datasets import Digits, Text
from nasjac.store.checkpoints import checkpoint
from tests.models.foreign_models import UNITS, NormBlock

CONTEXT = 8
SPECS = {
    "mlp": Spec.of(width=16, blocks=(Block(),) * 4, placement="pre", activation="gelu"),
    "resnet": Spec.of(
        width=4, blocks=(Block(op="basic"), Block(op="basic", stage=1), Block(op="basic", stage=1)),
        kind="resnet", norm="batchnorm", shape=(1, 8, 8),
    ),
    "decoder": Spec.of(
        width=8, blocks=(Block(op="attention"), Block()) * 2, kind="transformer_lm", heads=2, context=CONTEXT,
        placement="pre",
    ),
}  # fmt: skip
SPECS_THAT_DO_NOT = {
    "narrow": Spec.of(
        width=4, blocks=(Block(op="basic"), Block(op="basic", stage=1)), kind="resnet", norm="none", shape=(1, 8, 8)
    ),
    "dense": Spec.of(width=4, blocks=(Block(op="dense"),), kind="densenet", norm="none", shape=(1, 8, 8)),
}
Run = Callable[..., tuple[int, str, str]]


def kept(name: str, folder: Path) -> Path:
    """A checkpoint of the kind, with weights as drawn; running statistics are those of digits."""
    spec = (SPECS | SPECS_THAT_DO_NOT)[name]
    data = Text(context=CONTEXT).load() if spec.inputs.takes_ids else Digits().load()
    network = build(spec, data.inputs, data.outputs, torch.Generator().manual_seed(0))
    if spec.norm == "batchnorm":
        for _ in range(30):
            network(data.train_inputs[:64])
    info = {"inputs": data.inputs, "outputs": data.outputs, "dataset": "text" if spec.inputs.takes_ids else "digits"}
    checkpoint.save(folder / name, spec, network.state_dict(), {**info, "accuracy": 0.0})
    return folder / name


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize("name", SPECS)
def test_a_checkpoint_grows(run: Run, tmp_path: Path, name: str) -> None:
    source = kept(name, tmp_path)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    words = ["grow", f"checkpoint={name}", "blocks=2", "points=4", "quiet=true", "format=json"]
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["blocks"] == 2 and found["deviation"] == 0 and found["measured_sum"] == 0
    assert found["epsilon_spectral"] == found["epsilon_rms"] == 0
    assert found["rules"] == {"worst_case": None, "rms": None, "edge": None}, "the identity any number of times"
    assert found["nominal"]["epsilon_spectral"] > found["nominal"]["epsilon_rms"] > 0
    assert found["depth"] == {"before": len(SPECS[name].blocks), "after": len(SPECS[name].blocks) + 2}
    assert found["accuracy"]["before"] == found["accuracy"]["after"]
    old, new = found["profile_before"], found["profile_after"]
    assert len(new) == len(old) + 2 * 2 and {"name", "direction", "mean_log", "standard_error"} <= set(new[0])
    ends = [layers[len(layers) // 2 - 1]["mean_log"] for layers in (old, new)]
    assert ends[0] == pytest.approx(ends[1], abs=0.4), "the same network, other probes"
    spec, module, info = checkpoint.load(f"{name}-grown")
    assert spec.key == found["key"]["after"] == info["key"] and info["grown"]["init"] == "zero_last"
    assert sum(p.numel() for p in module.parameters()) == found["parameters"]["after"] > found["parameters"]["before"]
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert (tmp_path / f"{name}-grown" / "profile.png").stat().st_size > 1000
    again = {path: path.read_bytes() for path in (tmp_path / f"{name}-grown").iterdir()}
    code, out, err = run(*words)
    assert code == 2 and "`out`" in err and "nothing is overwritten" in err
    assert {path: path.read_bytes() for path in (tmp_path / f"{name}-grown").iterdir()} == again


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("init", ["small_gain", "copy"])
def test_what_is_measured_of_small_blocks(run: Run, tmp_path: Path, name: str, init: str) -> None:
    kept(name, tmp_path)
    words = ["grow", f"checkpoint={name}", "blocks=2", f"init={init}", "gain=0.05", "points=4", "quiet=true", "format=json"]
    code, out, _ = run(*words, "out=grown")
    found = json.loads(out)
    assert code == 0 and 0 < found["stream_deviation"] <= found["deviation_bound"] * (1 + 1e-9)
    norms = [row["spectral_norm"] for row in found["new_blocks"]]
    assert found["epsilon_spectral"] == max(norms) and found["measured_sum"] == pytest.approx(sum(map(math.log1p, norms)))
    assert found["rules"]["worst_case"] == math.floor(math.log(2) / math.log1p(max(norms)) + 1e-9)
    assert all(row["rms_norm"] < row["spectral_norm"] < row["frobenius_norm"] * 1.01 for row in found["new_blocks"])
    assert found["rules"]["rms"] > found["rules"]["edge"] > found["rules"]["worst_case"] >= 2
    assert found["nominal"] is None and found["deviation"] > 0


def test_as_many_as_are_safe(run: Run, tmp_path: Path) -> None:
    kept("mlp", tmp_path)
    words = ["grow", "checkpoint=mlp", "blocks=max", "budget.tau=2.0", "points=4", "quiet=true", "format=json"]
    code, out, _ = run(*words)
    found = json.loads(out)
    assert code == 0 and found["init"] == "small_gain" and found["rule"] == "measured" and found["blocks"] > 1
    assert found["measured_sum"] <= math.log(2) < found["measured_sum"] * (found["blocks"] + 1.5) / found["blocks"]
    code, out, _ = run(*words, "init=rezero", "budget.tau=100", "rule=edge", "out=more")
    found = json.loads(out)
    assert code == 0 and found["blocks"] == pytest.approx(found["nominal"]["rules"]["edge"], abs=1)
    assert found["deviation"] == 0 and all(block.get("gate") for block in found["spec"]["blocks"] if "gate" in block)
    code, out, _ = run(*words, "epsilon_spectral=0.05", "epsilon_rms=0.05", "out=given")
    found = json.loads(out)
    assert code == 0 and found["blocks"] == 14 and found["rules"] == {"worst_case": 14, "rms": 555, "edge": 92}


def test_more_than_that_is_refused_with_the_three_numbers(run: Run, tmp_path: Path) -> None:
    kept("mlp", tmp_path)
    words = ["grow", "checkpoint=mlp", "blocks=15", "epsilon_spectral=0.05", "epsilon_rms=0.05", "points=4", "quiet=true"]
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert all(part in err for part in ("worst_case 14, rms 555, edge 92", "at most 14", "got 15", "force=true"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlp"]
    assert run(*words, "rule=rms", "out=by_rms")[0] == 0
    code, out, _ = run(*words, "force=true", "format=json")
    assert code == 0 and json.loads(out)["forced"] and json.loads(out)["blocks"] == 15


def test_a_learned_factor_trains(run: Run, tmp_path: Path) -> None:
    """A gated checkpoint is loaded, and its architecture trained, by the ordinary trainer."""
    from nasjac.trainers import AdamW

    kept("mlp", tmp_path)
    assert run("grow", "checkpoint=mlp", "blocks=2", "init=rezero", "points=4", "quiet=true")[0] == 0
    spec, module, _ = checkpoint.load("mlp-grown")
    assert spec.is_gated and sum(name.endswith(".gate") for name, _ in module.named_parameters()) == 2
    [trained] = AdamW(steps=5, learning_rates=(0.01,), seeds=(0,)).train(spec, Digits().load())
    gates = [tensor for name, tensor in trained.state.items() if name.endswith("gate")]
    assert trained.status == "ok" and all(float(gate) != 0 for gate in gates)


BAD: dict[str, tuple[list[str], list[str]]] = {
    "neither": (["grow", "blocks=2"], ["`checkpoint`, `model`", "none"]),
    "no folder": (["grow", "checkpoint=nowhere", "blocks=2"], ["nowhere", "spec.json"]),
    "no number": (["grow", "checkpoint=mlp", "blocks=many"], ["`blocks`", "'many'", "max"]),
    "nothing": (["grow", "checkpoint=mlp", "blocks=0"], ["`blocks`", "at least 1", "0"]),
    "no blocks": (["grow", "checkpoint=mlp"], ["blocks"]),
    "unknown init": (["grow", "checkpoint=mlp", "blocks=1", "init=noise"], ["`init`", "zero_last", "'noise'"]),
    "unknown rule": (["grow", "checkpoint=mlp", "blocks=1", "rule=gut"], ["`rule`", "worst_case", "'gut'"]),
    "tau": (["grow", "checkpoint=mlp", "blocks=1", "budget.tau=0.5"], ["`budget.tau`", "above 1", "0.5"]),
    "a place beyond": (["grow", "checkpoint=mlp", "blocks=1", "after=9"], ["`after`", "0 ... 4", "9"]),
    "a large copy": (["grow", "checkpoint=resnet", "blocks=1", "init=copy", "after=3", "gain=9"], ["at most 0", "got 1"]),
    "a place where the shape changes": (
        ["grow", "checkpoint=narrow", "blocks=1", "init=copy", "after=2"],
        ["`after`", "keeps the shape", "2"],
    ),
    "blocks that do": (["grow", "checkpoint=dense", "blocks=1"], ["`checkpoint`", "densenet"]),
    "other data": (["grow", "checkpoint=mlp", "blocks=1", "dataset=text"], ["`dataset`", "features", "token ids"]),
    "insert of a checkpoint": (["grow", "checkpoint=mlp", "blocks=1", "insert=2"], ["`insert`", "blocks=N"]),
    "a model without a list": (
        ["grow", "model=tests.surgery.test_grow:Model", "blocks=2", "input=4x5"],
        ["`blocks`", "list"],
    ),
    "a model without a number": (
        ["grow", "model=tests.surgery.test_grow:Model", "blocks=blocks", "input=4x5"],
        ["`insert`"],
    ),
    "no such list": (
        ["grow", "model=tests.surgery.test_grow:Model", "blocks=layers", "insert=1", "input=4x5"],
        ["`blocks`", "'layers'", "blocks"],
    ),
    "a norm on the sum": (
        ["grow", "model=tests.surgery.test_grow:PostModel", "blocks=blocks", "insert=1", "input=4x5"],
        ["`blocks`", "norm on the sum"],
    ),
    "blocks that change the shape": (
        ["grow", "model=tests.surgery.test_grow:Narrowing", "blocks=blocks", "insert=1", "input=4x6"],
        ["`blocks`", "keep their shape"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(run: Run, tmp_path: Path, case: str) -> None:
    words, parts = BAD[case]
    for name in ("mlp", "resnet", "narrow", "dense"):
        kept(name, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = run(*words, "points=4", "quiet=true")
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


# models of other people


class Model(nn.Module):
    """Blocks x + F(x) between two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.start, self.blocks = nn.Linear(5, UNITS), nn.ModuleList(NormBlock() for _ in range(3))
        self.end = nn.Linear(UNITS, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x)
        return self.end(x)  # type: ignore[no-any-return]


class PostBlock(NormBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.outer(torch.relu(self.inner(x))))  # type: ignore[no-any-return]


class PostModel(Model):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PostBlock() for _ in range(3))


class Narrowing(nn.Module):
    """Its blocks change the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 5), nn.Linear(5, 4)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_a_model_that_is_no_package_s(run: Run, tmp_path: Path) -> None:
    words = [
        "grow",
        "model=tests.surgery.test_grow:Model",
        "blocks=blocks",
        "insert=2",
        "input=4x5",
        "quiet=true",
        "format=json",
    ]
    code, out, _ = run(*words, "out=deeper")
    found = json.loads(out)
    assert code == 0 and found["deviation"] == 0 and found["depth"] == {"before": 3, "after": 5}
    from safetensors.torch import load_file

    state = load_file(tmp_path / "deeper" / "model.safetensors")
    assert {name.split(".")[1] for name in state if name.startswith("blocks.")} == set("01234")
    zero = [
        name for name, tensor in state.items() if name.startswith("blocks.") and not tensor.any() and "norm" not in name
    ]
    assert zero == [f"blocks.{n}.outer.{what}" for n in (1, 4) for what in ("bias", "weight")], "the last layer alone"
    assert run(*words, "out=copies", "init=copy", "gain=0.01")[0] == 0
    code, out, _ = run(*words, "out=most", "init=copy", "gain=0.3", "insert=max")
    assert code == 0 and json.loads(out)["measured_sum"] <= math.log(2)


GPT2 = [
    "model._target_=transformers.GPT2LMHeadModel",
    "model.config._target_=transformers.GPT2Config",
    *(
        f"model.config.{name}={value}"
        for name, value in {"n_layer": 3, "n_embd": 16, "n_head": 2, "vocab_size": 40}.items()
    ),
    *("model.config.n_positions=16", "model.config.bos_token_id=0", "model.config.eos_token_id=0"),
    *("blocks=transformer.h", "input=ids:3x8", "quiet=true", "format=json"),
]
VIT = [
    "model._target_=transformers.ViTForImageClassification",
    "model.config._target_=transformers.ViTConfig",
    *(
        f"model.config.{name}={value}"
        for name, value in {
            "num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24,
            "image_size": 8, "patch_size": 4,
        }.items()
    ),
    *("input=3x3x8x8", "quiet=true", "format=json"),
]  # fmt: skip


def vit_list() -> str:
    """Its name has changed between versions of the package."""
    import transformers

    model = transformers.ViTForImageClassification(transformers.ViTConfig(num_hidden_layers=1))
    [name] = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return f"blocks={name}"


@pytest.mark.filterwarnings("ignore")
def test_gpt2_grown_is_reloaded(run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    code, out, _ = run("grow", *GPT2, "insert=2", "out=deeper")
    found = json.loads(out)
    assert code == 0 and found["deviation"] == 0 and found["epsilon_spectral"] == 0
    model: Any = transformers.AutoModelForCausalLM.from_pretrained("deeper")
    assert model.config.n_layer == len(model.transformer.h) == 5 and model.config.use_cache
    assert [block.attn.layer_idx for block in model.transformer.h] == list(range(5))
    ids = torch.arange(6)[None]
    with torch.no_grad():
        logits = model(ids).logits
        assert logits.shape == (1, 6, 40) and logits.isfinite().all()
        zero = [n for n, block in enumerate(model.transformer.h) if not block.mlp.c_proj.weight.any()]
        assert zero == [row["block"] for row in found["new_blocks"]]
        assert model.transformer.h[zero[0]].mlp.c_fc.weight.any() and model.transformer.h[zero[0]].attn.c_attn.weight.any()
        for n in reversed(zero):  # without its new blocks it is the network it was
            del model.transformer.h[n]
        torch.testing.assert_close(model(ids, use_cache=False).logits, logits)


@pytest.mark.filterwarnings("ignore")
def test_vit_grown_is_reloaded(run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    code, out, _ = run("grow", *VIT, vit_list(), "insert=2", "init=copy", "gain=0.1", "out=deeper")
    found = json.loads(out)
    assert code == 0 and found["deviation"] > 0 and found["rules"]["worst_case"] >= 2
    model: Any = transformers.AutoModelForImageClassification.from_pretrained("deeper")
    assert model.config.num_hidden_layers == 5
    assert model(torch.randn(2, 3, 8, 8)).logits.isfinite().all()
