"""The examples run: a session in Python, and a kind of network in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nasjac
from examples.new_kind.network import KIND
from examples.new_kind.space import space
from nasjac import Block, Spec
from nasjac.kinds.facts import facts
from nasjac.kinds.sampler import Sampler
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan
from nasjac.testing import KindContract, SpaceContract
from nasjac.trainers import AdamW

ROOT = Path(__file__).resolve().parents[2]


def test_the_session_runs(tmp_path: Path) -> None:
    lines = (ROOT / "examples" / "python_session.py").read_text().split('"""')[2].strip().splitlines()
    assert sum(not line.startswith(("import", "from")) for line in lines if line) <= 10
    run = subprocess.run(
        [sys.executable, "-m", "examples.python_session"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "deeper" / "model.safetensors").exists()
    assert "ResidualMLP(" in run.stdout


class TestMixer(KindContract):
    def kind(self) -> nasjac.Kind:
        return KIND

    def specs(self) -> Sequence[Spec]:
        both = (Block(op="patches", scale=0.5), Block(op="channels", scale=0.5))
        return [KIND.spec(width=8, blocks=both * depth, shape=(1, 4, 4)) for depth in (1, 2)]


class TestMixerSpace(SpaceContract):
    def space(self) -> Callable[[Any], Spec]:
        return space


def test_a_kind_of_two_files_is_searched(tmp_path: Path) -> None:
    """Scored by sampling, trained, and read back from the database, whose JSON names the kind's module."""
    found = nasjac.search(
        space,
        "digits",
        score="apjn",
        budget={"trials": 6},
        search={"batch": 3},
        trainer=AdamW(steps=2, seeds=(0,), learning_rates=(1e-3,)),
        validation={"top": 1, "random": 1},
        database=str(tmp_path / "nasjac.db"),
        quiet=True,
    )
    best = found.recommended
    assert best is not None and isinstance(best.spec, KIND.spec)
    assert '"kind":"examples.new_kind.network:KIND"' in best.spec.to_json()
    assert found.validation is not None
    assert found.job.objectives == ("trainability_cost", "effective_depth"), "the nonlinear depth is not known"


def test_a_kind_that_is_not_imported_is_not_imported_by_what_is_stored() -> None:
    text = KIND.spec(width=8, blocks=(), shape=(1, 4, 4)).to_json().replace("examples.new_kind", "examples.old_kind")
    with pytest.raises(nasjac.InputError, match="imported already"):
        Spec.from_json(text)


def test_measured_facts_know_cut_skips_and_probabilities() -> None:
    """A block without its skip is a step of every path; with probability s its share is χ/(s + χ)."""
    blocks = (Block(op="channels", skip=0.0), Block(op="channels", skip=0.0))
    cut = KIND.spec(width=8, blocks=blocks, shape=(1, 4, 4))
    assert facts([cut])[0].effective_depth == pytest.approx(2.0)
    whole, maybe = (KIND.spec(width=8, blocks=(Block(op="channels", skip=s),), shape=(1, 4, 4)) for s in (1.0, 0.5))
    share, of_half = (facts([spec])[0].effective_depth for spec in (whole, maybe))
    chi = share / (1 - share)
    assert of_half == pytest.approx(chi / (0.5 + chi))


class Wavering(KIND.network):  # type: ignore[name-defined,misc]
    """Differs from draw to draw in a number that is no parameter."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        for block in self.blocks:
            block.scale *= 1 + float(torch.rand((), generator=given[3]))


@pytest.mark.parametrize("network", [KIND.network, Wavering])
@pytest.mark.parametrize("fitting", [1, 2**11, 2**16])
def test_samples_of_any_module_are_products_with_its_exact_jacobian(
    monkeypatch: pytest.MonkeyPatch, network: Any, fitting: int
) -> None:
    """Whether probes, and draws, go one by one or together; a module that differs in more than weights goes alone."""
    monkeypatch.setattr("nasjac.kinds.autograd.SMALL", fitting)
    both = (Block(op="patches", scale=0.5), Block(op="channels", skip=0.0))
    spec = KIND.spec(width=4, blocks=both * 2, shape=(1, 4, 4)).canonical
    plan, draws = Plan(2, 3, 2, round_trips=True), Draws(5, range(3), torch.float64, torch.device("cpu"))
    sampler = Sampler[Spec](network)
    inputs = draws.samples(torch.randn(9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), 2)
    [found] = sampler.sample([spec], inputs, draws, plan, None, None)
    tangents, cotangents = draws.probes("tangent", 2, 3, spec.units), draws.probes("cotangent", 2, 2, spec.units)
    for draw, module in enumerate(sampler.networks(spec, inputs, draws, None)):
        for number in range(2):
            start = module.start(inputs[draw, number : number + 1])
            whole = torch.autograd.functional.jacobian(lambda x, module=module: list(module.through(x))[-1], start)
            jacobian = whole.reshape(spec.units, spec.units)
            pushed, pulled = tangents[draw, number] @ jacobian.T, cotangents[draw, number] @ jacobian
            for logs, exact in (
                (found.forward[draw, number, :, -1], pushed),
                (found.backward[draw, number, :, 0], pulled),
                (found.round_trip[draw, number], pushed @ jacobian),
            ):
                assert np.exp(logs) == pytest.approx((exact.square().sum(1) / spec.units).numpy(), rel=1e-12)
