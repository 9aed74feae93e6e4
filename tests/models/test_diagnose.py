"""nasjac.diagnose: what it estimates is the exact Jacobian's norm, of any module, and the module is left as it was."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nasjac
from nasjac import InputError
from nasjac.cli import main
from nasjac.models.diagnosis import Diagnosis, Point
from nasjac.models.example import example
from nasjac.models.laws import law
from nasjac.models.nested import floating
from nasjac.models.setup import arguments
from nasjac.models.verdict import DiagnosedLayer
from tests.models.foreign_models import MODELS, UNITS, Decoder, NormBlock, made

GOLDEN = json.loads((Path(__file__).parents[1] / "mathematics" / "golden.json").read_text())


def exact(model: nn.Module, inputs: Any, names: list[str], origin: str | None) -> tuple[list[float], list[float]]:
    """‖∂h_k/∂h_0‖²/N_k and ‖∂h_K/∂h_k‖²/N_K of the whole batch, per input, from whole Jacobians, by hooks of its own."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        kept.append(next(iter(floating(output).values())))

    modules = dict(model.named_modules())
    watched = ([origin] if origin else []) + list(dict.fromkeys(name.partition("#")[0] for name in names))
    handles = [modules[name].register_forward_hook(keep) for name in watched]
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    if not origin:
        start = (inputs[0] if isinstance(inputs, tuple) else inputs).requires_grad_()
        output = model(start)
        kept.insert(0, start)
    else:
        output = model(**inputs)
    for handle in handles:
        handle.remove()
    layers = [*kept, next(iter(floating(output).values()))]

    def squared(top: Tensor, bottom: Tensor) -> float:
        if top is bottom:
            return 1.0
        rows = (torch.autograd.grad(unit, bottom, retain_graph=True)[0] for unit in top.flatten())
        return float(sum(row.square().sum() for row in rows)) / top.numel()

    return [squared(layer, layers[0]) for layer in layers], [squared(layers[-1], layer) for layer in layers]


@pytest.mark.parametrize("name", MODELS)
def test_estimates_are_exact_norms(name: str) -> None:
    model, inputs, watched = made(name)
    found = nasjac.diagnose(model, inputs, rel_error=0.03, max_probes=4000)
    names = [point.name for point in found.points]
    assert len(names) == watched + 2 and names[0] == "input" and names[-1] == "output"
    origin = "embed" if isinstance(model, Decoder) else None
    for direction, norms in zip(("forward", "backward"), exact(model, inputs, names[1:-1], origin), strict=True):
        layers = [layer for layer in found.layers if layer.direction == direction]
        assert found.precision_reached and found.probes[direction] >= 20
        for layer, norm in zip(layers, norms, strict=True):
            assert layer.log_mean is not None and layer.log_mean_error is not None
            assert abs(layer.log_mean - math.log(norm)) <= 4 * layer.log_mean_error + 1e-9, (direction, layer.name)


@pytest.mark.parametrize("name", ["library encoder", "no forward mode"])
def test_without_forward_mode_a_note_says_so(name: str) -> None:
    model, inputs, _ = made(name)
    said = any("forward mode fails" in note for note in nasjac.diagnose(model, inputs, rel_error=1.0).notes)
    assert said == (name == "no forward mode")


def test_mean_log_rank_and_spread() -> None:
    """Over inputs: E log of the exact norms, their spread, and r = (tr A)² / tr A² of the exact Jacobians."""
    model, inputs, _ = made("layer norm")
    found = nasjac.diagnose(model, inputs, rel_error=0.02, max_probes=6000)
    jacobians = torch.func.vmap(torch.func.jacrev(model.eval()))(inputs).detach()
    squares = jacobians @ jacobians.mT
    norms = squares.diagonal(dim1=-2, dim2=-1).sum(-1)
    [end] = [layer for layer in found.layers if layer.name == "output" and layer.direction == "forward"]
    logs = (norms / jacobians.shape[1]).log()
    assert end.mean_log is not None and end.standard_error is not None and end.sd_log is not None
    assert abs(end.mean_log - float(logs.mean())) <= 4 * end.standard_error
    assert end.sd_log == pytest.approx(float(logs.std()), abs=4 * end.standard_error * math.sqrt(len(logs)))
    rank = 1 / float((squares.square().sum((-2, -1)) / norms**2).mean())
    assert end.effective_rank == pytest.approx(rank, rel=0.15)


def test_weight_gradients_are_exact() -> None:
    model, inputs, _ = made("layer norm")
    found = nasjac.diagnose(model, inputs, rel_error=0.02, max_probes=4000)
    block = model.get_submodule("2")
    model.eval()
    output = model(inputs)
    rows = [torch.autograd.grad(unit, list(block.parameters()), retain_graph=True) for unit in output.flatten()]
    norm = sum(float(part.square().sum()) for row in rows for part in row) / output.numel()
    [point] = [point for point in found.points if point.name == "2"]
    assert point.weight_gradient is not None and point.weight_gradient_error is not None
    assert abs(point.weight_gradient - math.log(norm)) <= 4 * point.weight_gradient_error


def test_token_differential_norms() -> None:
    """𝒥_⊥ is the norm after the projection on what differs between tokens, of the layer forward and backward alike."""
    model, inputs, _ = made("attention")
    found = nasjac.diagnose(model, inputs, rel_error=0.02, max_probes=4000)
    block, kept = model.get_submodule("blocks.1"), list[Tensor]()
    model.get_submodule("embed").register_forward_hook(lambda m, a, out: kept.append(out))
    block.register_forward_hook(lambda m, a, out: kept.append(out.hidden))
    output = model(**inputs)["logits"]
    start, layer = kept
    forward = torch.stack(
        [torch.autograd.grad(unit, start, retain_graph=True)[0] for unit in (layer - layer.mean(1, True)).flatten()]
    )
    backward = torch.stack([torch.autograd.grad(unit, layer, retain_graph=True)[0] for unit in output.flatten()])
    backward = backward - backward.mean(dim=2, keepdim=True)
    norms = {
        "forward": float(forward.square().sum()) / layer.numel(),
        "backward": float(backward.square().sum()) / output.numel(),
    }
    for at in (at for at in found.layers if at.name == "blocks.1"):
        assert at.token_log_mean is not None and at.token_log_mean_error is not None
        assert abs(at.token_log_mean - math.log(norms[at.direction])) <= 4 * at.token_log_mean_error


def test_a_vector_of_ones_sees_nothing_behind_a_norm() -> None:
    """The derivative of the summed outputs behind a LayerNorm is round-off, the Jacobian is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).double()
    inputs = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    [ones] = torch.autograd.grad(model(inputs).sum(), inputs)
    found = nasjac.diagnose(model, inputs.detach())
    assert ones.square().sum() < 1e-20 and found.layers[-len(found.points)].log_mean > -3  # type: ignore[operator]


def convolutions(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(3):
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.normal_(conv.weight, std=math.sqrt(2 / (9 * channels)))
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)


def test_zero_padding_is_the_golden_row() -> None:
    """Three zero-padded 3×3 ReLU convolutions of 5×5 pixels, He weights, any number of channels."""
    [golden] = [row["value"][0] for row in GOLDEN if row["name"] == "zero_padded_convolution"]
    inputs = torch.randn(16, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    found = nasjac.diagnose(lambda: convolutions(4), inputs, reinitialize=200)
    end = found.layers[len(found.points) - 1]
    assert abs(end.log_mean - math.log(golden)) <= 4 * end.log_mean_error  # type: ignore[operator]


def normed(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False)
        nn.init.normal_(linear.weight, std=math.sqrt(1 / width))
        layers += [nn.BatchNorm1d(width), nn.ReLU(), linear]
    return nn.Sequential(*layers)


def test_batch_norm_multiplies_by_pi_over_pi_minus_one() -> None:
    """Norm, ReLU, linear with the batch's statistics: π/(π − 1) a layer for a large batch (Yang et al. 2019)."""
    inputs = torch.randn(256, 96, generator=torch.Generator().manual_seed(1))
    found = nasjac.diagnose(lambda: normed(96, 5), inputs, reinitialize=12, layers=["2", "5", "8", "11", "14"])
    assert found.inputs == 1 and any("the batch's statistics" in note for note in found.notes)
    logs = [layer.log_mean for layer in found.layers[1:6]]
    growth = np.diff(np.array(logs, dtype=float)).mean()
    assert growth == pytest.approx(math.log(math.pi / (math.pi - 1)), abs=0.03)
    running = nasjac.diagnose(normed(96, 5), inputs, batchnorm="running", layers=["2", "14"])
    assert running.inputs == 256  # running statistics of a new network are those of standard normal inputs: the identity


@pytest.mark.parametrize("name", ["layer norm", "batch norm and convolution", "attention"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(name: str, fails: bool) -> None:
    model, inputs, _ = made(name)
    model.train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[union-attr]
    if fails:
        with pytest.raises(ValueError, match="nothing"):
            nasjac.diagnose(model, inputs, advance=interrupted)
    else:
        nasjac.diagnose(model, inputs, rel_error=1.0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert [p.requires_grad for p in parameters] == [False] + [True] * (len(parameters) - 1)
    assert [p.grad is None for p in parameters] == [True, False] + [True] * (len(parameters) - 2)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.array_equal(np.random.get_state()[1], states[1])  # type: ignore[arg-type]


def interrupted(done: int, total: int) -> None:
    raise ValueError("nothing more")


def test_a_tensor_that_is_passed_on_counts_once() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Sequential(NormBlock3())), nn.Linear(3, 2))
    found = nasjac.diagnose(model, torch.randn(2, 3), layers=["0*", "1"], rel_error=1.0)
    assert [point.name for point in found.points] == ["input", "0.0", "0.1.0.inner", "0.1.0", "1", "output"]


class NormBlock3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def test_reinitialized_modules_and_factories_agree() -> None:
    """The errors of both are over initializations; the module itself is not touched."""
    inputs = torch.randn(4, UNITS, generator=torch.Generator().manual_seed(2))
    model = nn.Sequential(NormBlock(), NormBlock())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    [ours, theirs] = [
        nasjac.diagnose(each, inputs, reinitialize=60).layers[3]
        for each in (model, lambda: nn.Sequential(NormBlock(), NormBlock()))
    ]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert ours.mean_log == theirs.mean_log and ours.standard_error > 0.01  # type: ignore[operator]


class Broken(nn.Module):
    """What cannot be diagnosed, one way each."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.first, self.last = way, nn.Linear(4, 4), nn.Linear(4, 2)
        if way == "nan":
            nn.init.constant_(self.last.weight, math.nan)
        if way == "parameter":
            self.own = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        if self.way == "detached":
            h = h.detach()
        if self.way == "constant":
            h = torch.ones_like(h)
        if self.way == "rounded":
            h = h.round()
        if self.way == "in place":
            h = torch.exp(h)
            h.clone()
            y = self.last(h)
            h.add_(1)
            return y * h[:, :2]
        return "nothing" if self.way == "text" else self.last(h)


BAD: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "detached": (lambda: Broken("detached"), {}, ["must depend on the input", "detach"]),
    "constant": (lambda: Broken("constant"), {}, ["must depend on the input"]),
    "rounded": (lambda: Broken("rounded"), {}, ["must depend on the input", "round"]),
    "in place": (lambda: Broken("in place"), {}, ["must be differentiable", "inplace"]),
    "no tensor": (lambda: Broken("text"), {}, ["`model`", "floating-point", "str"]),
    "nan weights": (lambda: Broken("nan"), {}, ["must be finite", "`last`"]),
    "half": (lambda: Broken("fine").half(), {}, ["float32 or float64", "float16", "model.float()"]),
    "unknown layer": (lambda: Broken("fine"), {"layers": "frist"}, ["`layers`", "'frist'", "first"]),
    "unknown origin": (lambda: Broken("fine"), {"origin": "frist"}, ["`origin`", "first", "'frist'"]),
    "unknown output": (lambda: Broken("fine"), {"output": "x"}, ["`output`", "'x'"]),
    "batchnorm": (lambda: Broken("fine"), {"batchnorm": "off"}, ["`batchnorm`", "batch, running", "'off'"]),
    "tokens": (lambda: Broken("fine"), {"tokens": True}, ["`tokens`"]),
    "one initialization": (lambda: Broken("fine"), {"reinitialize": 1}, ["`reinitialize`", "1"]),
    "no reset": (Broken("parameter"), {"reinitialize": 2}, ["`reinitialize`", "own", "reset_parameters"]),
    "rel_error": (lambda: Broken("fine"), {"rel_error": 0.0}, ["`rel_error`", "0"]),
    "max_probes": (lambda: Broken("fine"), {"max_probes": 1}, ["`max_probes`", "1"]),
    "another device": (lambda: Broken("fine").to("meta"), {}, ["`inputs`", "cpu", "meta"]),
    "not a module": (lambda: 3, {}, ["`model`", "int"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_models_and_calls(case: str) -> None:
    model, options, words = BAD[case]
    with pytest.raises(ValueError) as caught:
        nasjac.diagnose(model, torch.randn(3, 4), **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.zeros(0, 4), ["`inputs`", "empty"]),
        ((), ["`inputs`", "()"]),
        ({"x": torch.ones(2, 4), "y": torch.ones(2, 4)}, ["`origin`", "x, y"]),
        (torch.ones(2, 4, dtype=torch.long), ["`origin`", "nn.Embedding"]),
    ],
)
def test_bad_inputs(inputs: Any, words: list[str]) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return F.relu(self.linear(x.float()))

    with pytest.raises(ValueError) as caught:
        nasjac.diagnose(Both(), inputs)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_law_is_told_from_the_profile() -> None:
    blocks = np.arange(1, 13)
    rng = np.random.default_rng(0)
    noise, errors = 0.02 * rng.standard_normal(12), [0.02] * 12
    exponential = law((0.3 * blocks + noise).tolist(), errors)
    power = law((1.1 * np.log(blocks) + noise).tolist(), errors)
    assert exponential is not None and exponential.form == "exponential" and exponential.low < 0.3 < exponential.high
    assert power is not None and power.form == "power law" and power.low < 1.1 < power.high
    shifted = law((0.9 * np.log(blocks + 4) + noise / 10).tolist(), [0.002] * 12)
    assert shifted is not None and shifted.offset == pytest.approx(4, rel=0.3) and abs(shifted.rate - 0.9) < 0.15
    assert law([0.1, 0.2, 0.3], [0.0] * 3) is None


def plain(gain: float) -> Diagnosis:
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64, bias=False) for _ in range(10)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=gain / 8)
    return nasjac.diagnose(nn.Sequential(*layers), torch.randn(4, 64))


def test_verdicts() -> None:
    assert "grows exponentially" in plain(2.0).verdict and "exploded a thousandfold" in plain(2.0).verdict
    assert "shrinks exponentially" in plain(0.5).verdict and "collapsed" in plain(0.5).verdict
    assert "close to critical" in plain(1.0).verdict


def profile(logs: Sequence[float]) -> Diagnosis:
    """A diagnosis of blocks with these log 𝒥 from the input, known to a thousandth."""
    names = ["input", *(f"block {n}" for n in range(1, len(logs) + 1)), "output"]
    forward = [DiagnosedLayer(name, "forward", y, y, 1e-3) for name, y in zip(names, [0.0, *logs, logs[-1]], strict=True)]
    backward = [DiagnosedLayer(name, "backward", logs[-1], logs[-1], 1e-3) for name in names]
    return Diagnosis((*forward, *backward), True, tuple(Point(name, (2, 4)) for name in names))


@pytest.mark.parametrize(
    ("rate", "says", "never"),
    [
        (
            0.06,
            "grows exponentially, by a factor of 1.06 .* so slowly that over 12 blocks it stays close to critical",
            "this is",
        ),
        (0.2, "grows exponentially, by a factor of 1.22 .* over 12 blocks that is 2.4 nats", "critical|no block"),
        (
            0.5,
            r"grows exponentially, by a factor of 1.65 .* scale the residual branches by about 1/√12",
            "critical|no block",
        ),
        (0.0, "along the blocks; .*; this is close to critical", "exponentially"),
    ],
)
def test_a_verdict_does_not_contradict_itself(rate: float, says: str, never: str) -> None:
    noise = 1e-3 * np.random.default_rng(0).standard_normal(12)
    said = profile((rate * np.arange(1, 13) + noise).tolist()).verdict
    assert re.search(says, said) and not re.search(never, said), said


FACTORY = """
import torch
from tests.models.foreign_models import made

def make():
    torch.manual_seed(5)
    return made("layer norm")[0]

def other():
    return made("concatenation")[0]

def batch():
    return torch.randn(3, 4)

def fails():
    raise KeyError("a config of theirs")
"""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(FACTORY)
    words = ["model=theirs:make", "input=theirs:batch", "compare=[theirs:other]", "out=found", "format=json"]
    assert main(["diagnose", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "found" / "profile.json").read_text())
    assert printed == stored and [stored["model"], stored["compare"][0]["model"]] == ["theirs:make", "theirs:other"]
    assert {"name", "direction", "log_mean", "mean_log", "standard_error"} <= set(stored["layers"][0])
    assert all((tmp_path / "found" / f"profile.{suffix}").stat().st_size > 10_000 for suffix in ("png", "svg"))
    assert main(["diagnose", "model._target_=theirs.make", "input=3x4", "quiet=true"]) == 0
    table = capsys.readouterr().out
    assert "theirs.make" in table and all(layer["name"] in table for layer in stored["layers"])
    assert main(["diagnose", "model=theirs:fails", "input=3x4"]) == 2
    said = capsys.readouterr().err
    assert "in fails" in said and "nasjac/" not in said.partition("nasjac: ")[0] and "KeyError" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["`model`", "package.module:name"]),
        (["model=tests.models.foreign_models:Decoder"], ["`input`"]),
        (["model=tests.models.foreign_models:UNITS", "input=3x4"], ["`model`", "int"]),
        (["model=tests.models.foreign_models:Decoder", "input=ids"], ["`input`", "ids:4x128"]),
        (["model=tests.models.foreign_models:Shared", "input=ids:2x6"], ["`input`", "nn.Embedding"]),
        (["model=tests.models.foreign_models:Shared", "input=nowhere.npy"], ["`input`", "nowhere.npy"]),
        (["model=tests.models.foreign_models:Shared", "input=2x6", "tokens=maybe"], ["`tokens`", "auto, true, false"]),
        (["model=tests.models.foreign_models:Shared", "input=2x5"], ["RuntimeError", "input of size[2, 5]"]),
        (
            ["model=json:dumps", "input=3x4"],
            ["`model` must make an nn.Module, which json:dumps did not: it raised TypeError"],
        ),
        (["model=math:pi", "input=3x4"], ["`model`", "got float in math:pi"]),
        (["model=os:getcwd", "input=3x4"], ["`model` must make an nn.Module, got str from os:getcwd"]),
        (["model=sys:exit", "input=3x4"], ["it raised SystemExit"]),
        (["model=..:x", "input=3x4"], ["package.module:name, got '..:x'"]),
        (["model=torch.nn:Module", "input=3x4"], ["`model` Module could not take `inputs`: it raised NotImplementedError"]),
        (["model=torch.nn:Identity", "input=0x4"], ["`input` must be of sizes from 1 to", "'0x4'"]),
        (["model=torch.nn:Identity", "input=1000000x1000000"], ["`input` must be a batch that there is memory for"]),
        (["model=torch.nn:Identity", "input=ids:3x4:0"], ["`input` must be of sizes", "'ids:3x4:0'"]),
        (["model=torch.nn:Identity", "input=3x4", "seed=99999999999999999999"], ["`seed` must be a whole number"]),
        (["model=torch.nn:Identity", "input=3x4", "layers=[]"], ["`layers` must name modules", "got none"]),
        (["model=torch.nn:Identity", "input=3x4", "compare=[3]"], ["`model` must be package.module:name", "got 3"]),
    ],
)
def test_bad_commands(words: list[str], said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", *words]) == 2
    printed = capsys.readouterr().err
    assert all(word in printed for word in said), printed


BROKEN = {
    "leaves": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "fails": ("raise ValueError('at import')", "ValueError: at import"),
    "cut": ("def (", "SyntaxError: invalid syntax"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_fails_on_import(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own traceback, and then a sentence; sys.exit(0) is no success."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"own_{name}.py").write_text(BROKEN[name][0])
    assert main(["diagnose", f"model=own_{name}:make", "input=3x4"]) == 2
    shown, _, said = capsys.readouterr().err.partition("nasjac: ")
    assert f"own_{name}.py" in shown and BROKEN[name][1] in said and said.count("\n") == 1


def test_batches_in_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pickle runs, and nothing waits for a pipe or reads a device to its end."""
    monkeypatch.chdir(tmp_path)
    for suffix in ("npy", "pt"):
        Path(f"empty.{suffix}").touch()
        Path(f"junk.{suffix}").write_bytes(b"\x93NUMPY\x01\x00 junk of a stranger")
        Path(f"pickle.{suffix}").write_bytes(pickle.dumps(Writes()))
        os.mkfifo(f"pipe.{suffix}")
        Path(f"device.{suffix}").symlink_to("/dev/zero")
        Path(f"folder.{suffix}").mkdir()
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117).encode() + b"\n"
    Path("promise.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + header)
    np.save("texts.npy", np.array(["a"]))
    np.save("nan.npy", np.full((3, 4), np.nan))
    torch.save("text", "text.pt")
    for path in sorted(tmp_path.glob("*.*")):
        with pytest.raises(InputError, match="`input"):
            arguments(example(path.name, nn.Identity(), seed=0, memory=2**30))
    assert not Path("written").exists()


class Writes:
    """A pickle of it writes a file where it is loaded."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("written"),)


@pytest.mark.parametrize("shape", [(), (20,)])
def test_an_input_without_a_batch_is_refused(shape: tuple[int, ...]) -> None:
    """Its numbers would be taken for as many inputs of one number each."""
    model = nn.Linear(20, 20) if shape else nn.Identity()
    with pytest.raises(InputError, match="`inputs` must have a batch and at least one more dimension"):
        nasjac.diagnose(model, torch.randn(shape))


def test_a_layer_of_one_number_an_input() -> None:
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
    assert nasjac.diagnose(model, torch.randn(4, 5)).layers[-1].name == "output"
