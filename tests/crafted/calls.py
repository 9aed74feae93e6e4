"""Python calls of the public functions with arguments that no careful caller gives, by seed; and what may come of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import nasjac
from nasjac import Block, InputError, Spec, dynamics
from nasjac.architecture import pruning_criteria as pruning
from nasjac.dynamics.reactions import gray_scott
from nasjac.kinds import facts
from nasjac.mathematics import gradient_paths as paths
from nasjac.mathematics import meanfield
from nasjac.mathematics import pareto as front
from nasjac.mathematics import rank_correlation as ranking
from nasjac.mathematics.lanczos import spectral_norms
from nasjac.mathematics.meanfield import growth as growth_rules
from nasjac.scores import Apjn, Meanfield, Merit
from nasjac.surgery import compression, criteria, growth, insertion
from tests.crafted.models import MODELS

#: what a call may raise: an integration whose step has no solution says so by an ArithmeticError
ALLOWED = (InputError,)
NO_SOLUTION = (ArithmeticError,)


class Rude:
    """What cannot be shown, compared or hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise TypeError("no comparison")


def deep(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def endless() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def spec(**more: Any) -> Spec:
    """A small architecture."""
    return Spec.of(**{"width": 4, "blocks": (Block(), Block(skip=0.0)), "placement": "pre", **more})


#: odd values as Python writes them, one a line
EXPRESSIONS = """
None
True
False
0
-1
1
2
7
0.0
0.5
-0.5
1.5
math.nan
math.inf
-math.inf
1 + 2j
10**30
-10**30
2**63
10**400
10**5000
1e308
1e-320
""
"x"
"10"
"relu"
b"x"
[]
()
{}
set()
[1]
[1, 2]
[0.5, 0.5]
[[1], [2, 3]]
[[1.0, 2.0], [2.0, 1.0]]
[[]]
["a", "b"]
[None]
[True, False]
[{}]
[math.nan]
[10**30]
{"a": 1}
{1, 2}
range(3)
iter([1, 2])
(x for x in [0.5])
object()
int
len
lambda: 1
np.float64(0.5)
np.float32(0.25)
np.int64(3)
np.bool_(True)
np.str_("relu")
np.array(3)
np.array([])
np.ones(2)
np.ones((2, 3))
np.zeros((0, 2))
np.array(["a"])
np.array([None])
np.full(3, np.nan)
np.ones(3, dtype=complex)
torch.tensor(3.0)
torch.arange(4)
torch.ones(2, requires_grad=True)
torch.ones(0, 3)
torch.ones(2, 5)
torch.full((2, 5), math.nan)
torch.ones(2, 2).half()
torch.ones(2, 2).bool()
torch.ones(2, dtype=torch.bfloat16)
torch.ones(2, 2, dtype=torch.cfloat)
torch.ones(2, 3, device="meta")
torch.eye(2).to_sparse()
Fraction(1, 2)
Decimal("0.5")
Path("x")
Block()
[Block(), 3]
spec()
deep(100_000)
endless()
Rude()
[Rude()]
"""


def value_of(expression: str) -> Any:
    """An odd value, made anew."""
    return eval(expression, NAMES)


#: what the expressions speak of
NAMES = {thing.__name__: thing for thing in (math, torch, Fraction, Decimal, Path, Block, spec, deep, endless, Rude)}
NAMES["np"] = np
#: odd values by their text
ODD = {text: partial(value_of, text) for text in EXPRESSIONS.split("\n") if text}


def columns(**more: Any) -> meanfield.Columns:
    """Two chains of three blocks."""
    ones = np.ones((2, 3))
    given = {"activation": ["relu", "tanh"], "two_matrix": True, "weight_gain": 1.0, "on_input": False, "on_branch": False}
    return meanfield.Columns(**{**given, "on_sum": False, "keep": ones, "skip": 1.0, "scale": 1.0, **more})


def matrix(x: torch.Tensor) -> torch.Tensor:
    """A map of vectors [B, n]."""
    return x @ torch.diag(torch.arange(1.0, 1 + x.shape[1]))


class Target(NamedTuple):
    """A public function, and good arguments for it, made anew for every call."""

    function: Callable[..., Any]
    good: Callable[[], dict[str, Any]]
    allowed: tuple[type[Exception], ...] = ALLOWED


def decay() -> dynamics.System:
    """y' = −y."""
    return dynamics.System(lambda t, y: -y, lambda t, y: -torch.eye(len(y), dtype=torch.float64))


CHI = {"chi": [1.0, 2.0], "skip": [1.0, 0.5], "keep": [True, True]}
BOX = ([0.0, 0.01], [1.0, 1.0])
VALUES = {"values": [[1.0, 2.0], [2.0, 3.0]], "directions": (-1, 1)}
XY = {"x": [1.0, 2.0, 3.0], "y": [1.0, 3.0, 2.0]}
MASS = {"species": ("a",), "stoichiometry": [[-1.0]], "orders": [[2.0]], "constants": [3.0]}
SCORED = {"seed": 0, "draws": 16, "rel_error": None, "max_draws": 16, "patterns": 3, "max_memory": 1.0}

OTHERS = (
    Spec.of(width=4, blocks=(Block(op="basic"),), kind="resnet", norm="batchnorm", shape=(1, 4, 4)),
    Spec.of(width=4, blocks=(Block(op="dense"),), kind="densenet", norm="none", shape=(1, 4, 4)),
    Spec.of(width=4, blocks=(Block(op="attention"),), kind="transformer_lm", context=4),
    Spec.of(width=4, blocks=(Block(op="attention"),), kind="vit", context=4, shape=(1, 4, 4), patch=2),
)


def fields_of(made: Spec) -> dict[str, Any]:
    return {"kind": made.kind, **{entry.name: getattr(made, entry.name) for entry in fields(made)}}


TARGETS: dict[str, Target] = {
    "Block": Target(Block, lambda: {"keep": True, "skip": 1.0, "scale": 1.0, "op": "ffn", "stage": 0, "gate": False}),
    **{
        f"Spec of a {made.kind}": Target(lambda **given: used(Spec.of(**given)), lambda made=made: fields_of(made))
        for made in (spec(), *OTHERS)
    },
    "Spec.from_json": Target(Spec.from_json, lambda: {"text": spec().to_json()}),
    "build": Target(nasjac.build, lambda: {"spec": spec(), "inputs": 3, "outputs": 2, "generator": None}),
    "measure": Target(
        nasjac.measure, lambda: {"specs": [spec()], "inputs": torch.randn(4, 3), "score": Meanfield(), "device": "cpu"}
    ),
    "expected_norms": Target(nasjac.expected_norms, lambda: {"spec": spec(), "stream_variance": 1.0}),
    "Apjn": Target(Apjn, lambda: {**SCORED, "dtype": "float32", "plan": "independent"}),
    "Meanfield": Target(Meanfield, lambda: {"patterns": 3, "seed": 0}),
    "Merit": Target(Merit, lambda: {**SCORED, "decorrelation_draws": 2, "images": 2, "reference": 256}),
    "facts.facts": Target(facts.facts, lambda: {"specs": [spec()]}),
    "front.pareto_front": Target(front.pareto_front, lambda: dict(VALUES)),
    "front.covering_points": Target(front.covering_points, lambda: {**VALUES, "count": 2}),
    "front.knee": Target(front.knee, lambda: {**VALUES, "names": ("a", "b"), "ratios": (False, True)}),
    "front.hypervolume": Target(front.hypervolume, lambda: {"points": np.array([[0.5, 0.5]]), "reference": 1.1}),
    "ranking.kendall_tau": Target(ranking.kendall_tau, lambda: dict(XY)),
    "ranking.spearman": Target(ranking.spearman, lambda: dict(XY)),
    "ranking.top_k": Target(ranking.top_k, lambda: {"score": XY["x"], "target": XY["y"], "k": 2}),
    "ranking.noise_ceiling": Target(ranking.noise_ceiling, lambda: {"values": [[1.0, 2.0]] * 4}),
    "ranking.bootstrap_interval": Target(
        lambda **given: ranking.bootstrap_interval(ranking.kendall_tau, **given),
        lambda: {**XY, "generator": np.random.default_rng(0), "resamples": 9, "level": 0.9},
    ),
    "paths.path_lengths": Target(paths.path_lengths, lambda: {"share": [0.5, 0.5]}),
    "paths.energy_shares": Target(paths.energy_shares, lambda: dict(CHI)),
    "paths.log_pruning_damage": Target(paths.log_pruning_damage, lambda: dict(CHI)),
    "paths.count_paths": Target(paths.count_paths, lambda: {"skip": [True, False], "branch": [True, True]}),
    "pruning.keep_set": Target(
        lambda **given: pruning.keep_set(energy=lambda: np.ones(3), **given),
        lambda: {"ratio": 0.5, "criterion": "lowest_energy", "depth": 3, "seed": 0},
    ),
    "criteria.chosen": Target(
        lambda **given: criteria.chosen([0, 1], values=lambda: np.ones(2), **given),
        lambda: {"ratio": 0.5, "criterion": "taylor", "seed": 0},
    ),
    "compression.prune": Target(
        lambda **given: compression.prune(state=nasjac.build(spec(), 3, 2).state_dict(), **given),
        lambda: {"spec": spec(), "gone": [0]},
    ),
    "growth.spread": Target(insertion.spread, lambda: {"spec": spec(), "count": 2, "init": "copy"}),
    "growth.Beginning": Target(insertion.Beginning, lambda: {"init": "copy", "gain": 0.1, "seed": 0}),
    "growth.grow": Target(
        lambda **given: growth.grow(state=nasjac.build(spec(), 3, 2).state_dict(), **given),
        lambda: {"spec": spec(), "places": [1], "beginning": insertion.Beginning(), "inputs": 3, "outputs": 2},
    ),
    "growth rules": Target(growth_rules.rules, lambda: {"epsilon_spectral": 0.1, "epsilon_rms": 0.1, "tau": 2.0}),
    "growth edge": Target(growth_rules.edge_time, lambda: {"tau": 2.0}),
    "growth deviation": Target(growth_rules.expected_deviation, lambda: {"epsilon_rms": 0.1, "count": 3}),
    "growth bound": Target(growth_rules.deviation_bound, lambda: {"ratios": [0.1, 0.2]}),
    "meanfield.Columns": Target(lambda **given: meanfield.expected_norms(columns(**given)), lambda: dict(COLUMNS)),
    "meanfield.expected_norms": Target(meanfield.expected_norms, lambda: {"columns": columns(), "stream_variance": 1.0}),
    "meanfield.block_energies": Target(meanfield.block_energies, lambda: {"columns": columns(), "stream_variance": 1.0}),
    "meanfield.fluctuations": Target(meanfield.fluctuations, lambda: {"columns": columns(), "width": 8, "hidden": 8}),
    "lanczos.spectral_norms": Target(
        spectral_norms,
        lambda: {"product": matrix, "transposed": matrix, "start": torch.randn(2, 4), "rel_error": 0.1, "most": 3},
    ),
    "dynamics.march": Target(
        dynamics.march,
        lambda: {"system": decay(), "initial": torch.ones(1), "times": [0.0, 0.1, 0.2], "newton": "full", "accuracy": 1e-9},
        ALLOWED + NO_SOLUTION,
    ),
    "dynamics.integrate": Target(
        lambda **given: dynamics.integrate(**given).at([0.0]),
        lambda: {
            "system": decay(),
            "initial": [1.0],
            "interval": (0.0, 1.0),
            "rtol": 1e-2,
            "atol": 1e-3,
            "first_step": 0.1,
        },
        ALLOWED + NO_SOLUTION,
    ),
    "dynamics.newton_matrix": Target(
        dynamics.newton_matrix, lambda: {"system": decay(), "t": 0.0, "y": [1.0], "step": 0.5, "ratio": 1.0}
    ),
    "dynamics.coefficients": Target(dynamics.coefficients, lambda: {"ratio": 1.0}),
    "dynamics.mass_action": Target(dynamics.mass_action, lambda: dict(MASS)),
    "dynamics.steady_states": Target(
        dynamics.steady_states, lambda: {"reactor": gray_scott(), "dilution": 0.1, "box": BOX}
    ),
    "dynamics.branches": Target(
        dynamics.branches,
        lambda: {"reactor": gray_scott(), "dilutions": (0.1, 0.11), "box": BOX, "seeds": 1},
        ALLOWED + NO_SOLUTION,
    ),
    "dynamics.spectral_abscissa": Target(dynamics.spectral_abscissa, lambda: {"jacobian": torch.eye(2)}),
    "dynamics.numerical_abscissa": Target(dynamics.numerical_abscissa, lambda: {"jacobian": torch.eye(2)}),
    "diagnose": Target(nasjac.diagnose, lambda: {**DIAGNOSED, "model": MODELS["plain"](), "inputs": torch.randn(3, 4)}),
    **{
        f"diagnose of {name}": Target(
            nasjac.diagnose,
            lambda make=make: {"model": make(), "inputs": torch.randn(3, 4), "max_probes": 4, "reinitialize": 0},
        )
        for name, make in MODELS.items()
    },
}
COLUMNS = {name: getattr(columns(), name) for name in ("activation", "two_matrix", "weight_gain", "keep", "skip", "scale")}
COLUMNS |= {name: getattr(columns(), name) for name in ("on_input", "strength", "norm_gain", "inner_bias", "norm_eps")}
DIAGNOSED = {"layers": None, "origin": None, "output": None, "batchnorm": "batch", "tokens": None, "reinitialize": 0}
DIAGNOSED |= {"rel_error": 1.0, "max_probes": 4, "seed": 0, "advance": None}


def used(given: Spec) -> object:
    """What every Spec is asked for."""
    return given.key, Spec.from_json(given.to_json()), hash(given)


class Crafted(NamedTuple):
    """A call, how it reads, and what it may raise."""

    text: str
    call: Callable[[], Any]
    allowed: tuple[type[Exception], ...]


def calls(rng: random.Random) -> Iterator[Crafted]:
    """Calls without an end, all different: one or two good arguments of a function are exchanged for odd ones."""
    seen = set[str]()
    while True:
        name = rng.choice(list(TARGETS))
        target = TARGETS[name]
        arguments = list(target.good())
        odd = {
            argument: rng.choice(list(ODD))
            for argument in rng.sample(arguments, min(len(arguments), rng.choice((1, 1, 2))))
        }
        if name.startswith("diagnose of") and rng.random() < 0.3:
            odd = {}
        text = f"{name}({', '.join(f'{argument}={value}' for argument, value in odd.items())})"
        if text not in seen:
            seen.add(text)
            yield Crafted(text, _call(target, odd), target.allowed)


def _call(target: Target, odd: Mapping[str, str]) -> Callable[[], Any]:
    return lambda: target.function(**{**target.good(), **{argument: ODD[value]() for argument, value in odd.items()}})


def fault(crafted: Crafted) -> str | None:
    """What is wrong with what comes of a call; None if a value comes, or an error that says in a sentence what to do."""
    try:
        crafted.call()
    except InputError as error:
        said = str(error)
        return None if "must" in said or "could not" in said or "needs" in said else f"says {said!r}"
    except Exception as error:
        return None if type(error) in crafted.allowed else f"{type(error).__name__}: {error}"
    return None
