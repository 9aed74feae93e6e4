#!/usr/bin/env python3
"""How many architectures a second the population engine scores, beside loops over one model at a time.

    scripts/bench_score.py                              on the CPU, about ten minutes
    scripts/bench_score.py --kind transformer_lm --widths 64 --population 32 --looped 8
    scripts/bench_score.py --kind resnet --widths 16 --population 16 --looped 8
    scripts/bench_score.py --device cuda --proposals proposals.jsonl
    scripts/bench_score.py --large                      E log J of one large decoder alone, to a standard error of .25

All in one run, on the same architectures, for the same quantity, E log of the squared Jacobian norm:

    (a) the plain loop: one model at a time, 4 initializations x batch 64 x 8 Gaussian probes one after another
    (b) a good loop: one model at a time, its probes in one vmap, initializations until the standard error is reached
    (c) the engine, until the standard error is reached: (i) on one structure in many gains, (ii) on batches that the
        default sampler proposes in a search (trials 0-64 and 448-512)
    (d) the time of one synflow-style and of one jacob_cov-style pass
    (e) the products with weights that the engine must do, and nothing else (of a resnet it is not measured)

Where fewer draws than the score's least of 16 are as precise as (a), (c) takes so few, and the score's own ratio stands
beside. The standard error is (a)'s, its root mean square over the architectures, measured by repetition: the spread of the
whole loop's figure from run to run, and for the engine that over other seeds. Each loop runs with one thread or all,
whichever is faster for it. (ii) needs Optuna to propose, or a file of proposals that an earlier run with --proposals wrote.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.block import Block
from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.workers import workers
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.kinds.population import sample, tiles
from nasjac.kinds.table import kind_of
from nasjac.kinds.tiles.routes import Route, Routes
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import FORWARD, INDEPENDENT, Plan
from nasjac.scores import Score
from nasjac.scores.apjn import Apjn
from nasjac.scores.few_draws import expected_log_norm

T = TypeVar("T")

FEATURES, OUTPUTS = 64, 10
INITIALIZATIONS, BATCH, PROBES = 4, 64, 8
BATCHES = (0, 7)  # of 64 proposals: trials 0-64 and 448-512
ROUND = 16
MOST_DRAWS = 1024
SEEDS = 8  # repetitions that errors are measured by
FEW = (4, 6, 8, 12)  # draws below the score's least

CONTEXT = 32  # tokens of a transformer; its vocabulary is FEATURES
SHAPE = (1, 8, 8)  # of a resnet's images

TITLES = {
    "": "(i) one structure, the space's typical one, gains 0.8 to 1.2",
    "pre_ln_": "(i) one structure, pre-LN gelu, gains 0.8 to 1.2",
    "group_norm_": "(i) one structure, GroupNorm, gains 0.8 to 1.2",
    "proposed_": "(ii) proposed at trials 0-64 and 448-512",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kind", default="residual_mlp", choices=["residual_mlp", "transformer_lm", "resnet"])
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--population", type=int, default=64, help="architectures of (i)")
    parser.add_argument("--looped", type=int, default=32, help="architectures of (ii) that the loops are timed on")
    parser.add_argument("--proposals", type=Path, help="JSON lines of Specs: read if the file is there, else written")
    parser.add_argument("--large", action="store_true", help="a decoder of 12 layers of 256 units and 128 tokens, alone")
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.large:
        print(json.dumps({"decoder_12x256x128": large_decoder(device)}))
        return
    torch.manual_seed(0)  # of the loops; the engine has its own seeds
    inputs = inputs_of(options.kind).to(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{date.today()}, {name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    figures = {}
    for width in options.widths:
        found: dict[str, float | None] = {}
        structure = partial(one_structure, options.kind, width, options.population)
        populations = {"": structure()}
        if options.kind == "residual_mlp":
            populations["pre_ln_"] = structure(placement="pre", activation="gelu")
        if options.kind == "resnet":
            populations["group_norm_"] = structure(norm="groupnorm")
        populations["proposed_"] = proposed(options.kind, width, options.proposals)
        for prefix, specs in populations.items():
            looped = specs[:: max(1, len(specs) // (options.looped if prefix == "proposed_" else 8))]
            result = compared(TITLES[prefix], specs, looped, inputs, device)
            found |= {f"{prefix}{name}": value for name, value in result.items()}
        figures[f"{options.kind}_{width}"] = found
    print(json.dumps(figures))


def compared(
    title: str, specs: Sequence[Spec], looped: Sequence[Spec], inputs: Tensor, device: torch.device
) -> dict[str, float | None]:
    """Times and ratios on one population; the loops run on the part `looped` of it, and the engine on both."""
    width = specs[0].width
    again = [spec for spec in at_its_best(plain_loop, looped, inputs) for _ in range(SEEDS)]
    plain = [timed(partial(plain_loop, spec, inputs)) for spec in again]
    errors = np.reshape([value for value, _ in plain], (len(looped), SEEDS)).std(axis=1, ddof=1)
    error = float(np.sqrt(np.mean(errors**2)))
    loop = float(np.mean([seconds for _, seconds in plain]))

    passes = [np.mean([timed(partial(style, spec, inputs))[1] for spec in looped]) for style in (synflow, jacob_cov)]
    torch.set_num_threads(os.cpu_count() or 1)
    batches = [specs[start : start + 64] for start in range(0, len(specs), 64)]
    run_all = lambda which: [m for batch in batches for m in which.measure(batch, inputs, device)]  # noqa: E731
    score, own, wins = as_precise(error, errors.tolist(), looped, inputs, device)
    cold = timed(lambda: run_all(replace(score)))[1] / len(specs)
    run_all(score)
    measured, seconds = min((timed(lambda: run_all(score)) for _ in range(3)), key=lambda pair: pair[1])
    engine = seconds / len(specs)
    good = partial(good_loop, error=score.rel_error or math.inf)
    good_seconds = float(np.mean([timed(partial(good, spec, inputs))[1] for spec in at_its_best(good, looped, inputs)]))
    torch.set_num_threads(os.cpu_count() or 1)
    # the loops' architectures alone: what they cost the engine relative to all
    cost = lambda specs: float(np.mean([known.flops for known in facts(specs)]))  # noqa: E731
    same = engine * cost(looped) / cost(specs)
    plain_score = Apjn(plan="forward", rel_error=None)
    own_time = (
        engine if isinstance(score, Apjn) else min(timed(lambda: run_all(plain_score))[1] for _ in range(3)) / len(specs)
    )
    full = Apjn()
    run_all(full)
    full_seconds = min(timed(lambda: run_all(full))[1] for _ in range(2)) / len(specs)
    tiled = kind_of(specs[0]).sampling.common(specs[0]) is not None
    shares = {plan: share(batches[-1], inputs, device, plan) if tiled else None for plan in (FORWARD, INDEPENDENT)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sample(list(specs) * 4, inputs, Draws(0, range(ROUND), torch.float32, device), FORWARD)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    print(f"\nwidth {width}, {title}: {len(specs)} architectures, the loops on {len(looped)} of them")
    draws = np.mean([m.draws for m in measured])
    rows = [
        ("(a) plain loop", loop, f"standard error {error:.4f}"),
        ("(b) good loop", good_seconds, ""),
        (
            "(c) engine",
            engine,
            f"standard error {own:.4f} by repetition, {draws:.0f} draws; first call {1e3 * cold:.1f} ms",
        ),
        ("    the score, 16 draws or more", own_time, ""),
        ("    all terms of the default score", full_seconds, ""),
        ("(d) synflow-style pass", float(passes[0]), ""),
        ("    jacob_cov-style pass", float(passes[1]), ""),
    ]
    for label, value, remark in rows:
        print(f"  {label:36} {1e3 * value:9.2f} ms an architecture  {remark}")
    ratios = (loop / same, loop / (same * own_time / engine), good_seconds / same)
    print("  (a) / (c) {:.1f}, with the score {:.1f}; (b) / (c) {:.1f}".format(*ratios))
    if tiled:
        part, whole = shares[FORWARD], shares[INDEPENDENT]
        print(f"  (e) products alone take {part:.0%} of the engine's time ({whole:.0%} of all terms')")
    print(f"  a population four times as large: {growth / 1024:.0f} MiB more at the peak")
    return {
        "ratio_to_loop": ratios[0],
        "ratio_to_loop_of_score": ratios[1],
        "ratio_to_good_loop": ratios[2],
        "share_of_products": shares[FORWARD],
        "architectures_per_second": 1 / engine,
        "standard_error": own,
        "standard_error_of_loop": error,
        "all_terms_per_second": 1 / full_seconds,
        "all_terms_share_of_products": shares[INDEPENDENT],
        "share_as_precise": wins,
        "mean_draws": float(draws),
        "ratio_to_synflow": float(passes[0]) / same,
    }


def large_decoder(device: torch.device, error: float = 0.25) -> dict[str, float | None]:
    """E log J of the decoder to a standard error: CPU seconds, and the module's forward passes of two inputs they are.

    The passes are timed with one thread. `peak_gb` is that of the whole process on the CPU before the module is built.
    """
    layer = (Block(op="attention"), Block())
    choices = {"placement": "pre", "activation": "gelu", "ffn_ratio": 4, "heads": 4}
    spec = Spec.of(kind="transformer_lm", width=256, blocks=layer * 12, context=128, **choices)  # type: ignore[arg-type]
    ids = torch.randint(FEATURES, (64, 128), generator=torch.Generator().manual_seed(0)).to(device)
    began = time.process_time()
    [found] = expected_log_norm([spec], ids, error, device=device)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    torch.set_num_threads(1)
    module, times = build(spec, FEATURES, OUTPUTS).to(device), []
    with torch.inference_mode():
        for _ in range(8):
            began = time.process_time()
            module(ids[:2])
            times.append(time.process_time() - began)
    return {
        "passes": seconds / min(times),
        "cpu_seconds": seconds,
        "pass_seconds": min(times),
        "peak_gb": peak,
        "draws": float(found.draws),
        "standard_error": found.mean_log.standard_error,
    }


@dataclass(frozen=True)
class Few(Score):
    """The engine with fewer draws than the score takes, for the same figure."""

    draws: int
    seed: int = 0
    rel_error: float | None = None

    name = "few"

    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        found = sample(specs, inputs, Draws(self.seed, range(self.draws), torch.float32, device), FORWARD)
        logs = [np.logaddexp.reduce(s.forward[..., -1], axis=-1) - math.log(s.forward.shape[2]) for s in found]
        return [
            Measurement(
                spec.key, "ok", None, {"mean_log": Estimate(float(log.mean()), None)}, (), self.draws, 0.0, spec.key
            )
            for spec, log in zip(specs, logs, strict=True)
        ]


def as_precise(
    error: float, errors: Sequence[float], specs: Sequence[Spec], inputs: Tensor, device: torch.device
) -> tuple[Apjn | Few, float, float]:
    """The least sampling whose own error, root mean square over architectures, is at most `error` by repetition.

    With that error, and the share of architectures whose own is at most the loop's (`errors`).
    """
    few = [Few(draws) for draws in FEW]
    asked = (None, 2 * error, 1.5 * error, 1.2 * error, error, 0.8 * error)
    for score in (*few, *(Apjn(plan="forward", rel_error=least, max_draws=MOST_DRAWS) for least in asked)):
        again = [replace(score, seed=seed).measure(specs, inputs, device) for seed in range(1, SEEDS + 1)]
        values = np.array([[m.terms["mean_log"].value for m in row] for row in again], dtype=float)
        own = values.std(axis=0, ddof=1)
        if float(np.sqrt(np.nanmean(own**2))) <= error:
            break
    return score, float(np.sqrt(np.nanmean(own**2))), float(np.mean(own <= np.array(errors)))


def inputs_of(kind: str) -> Tensor:
    """Standard normal features, or token ids."""
    generator = torch.Generator().manual_seed(0)
    if kind == "transformer_lm":
        return torch.randint(FEATURES, (1000, CONTEXT), generator=generator)
    return torch.randn(1000, FEATURES, generator=generator)


def one_structure(kind: str, width: int, count: int, depth: int = 32, **choices: str) -> list[Spec]:
    """A network without anything special but its `choices`, in `count` gains.

    A transformer has 12 branches, a resnet three blocks in each of three stages.
    """
    gains = np.linspace(0.8, 1.2, count).tolist()
    if kind == "resnet":
        stages = tuple(Block(op="basic", stage=stage) for stage in (0, 0, 0, 1, 1, 1, 2, 2, 2))
        plain = {"norm": "batchnorm", **choices}
        return [Spec.of(width=width, blocks=stages, kind=kind, weight_gain=gain, shape=SHAPE, **plain) for gain in gains]  # type: ignore
    if kind == "transformer_lm":
        layer = (Block(op="attention"), Block())
        plain = {"placement": "pre", "activation": "gelu", "ffn_ratio": 4, "heads": 4, **choices}
        return [
            Spec.of(width=width, blocks=layer * 6, kind=kind, weight_gain=gain, context=CONTEXT, **plain) for gain in gains
        ]  # type: ignore
    return [Spec.of(width=width, blocks=(Block(),) * depth, weight_gain=gain, **choices) for gain in gains]  # type: ignore[arg-type]


def plain_loop(spec: Spec, inputs: Tensor) -> float:
    """(a): E log of the squared norm over initializations and inputs."""
    found = []
    for _ in range(INITIALIZATIONS):
        module = build(spec, FEATURES, OUTPUTS).to(inputs.device).requires_grad_(False)
        start = embedded(module, inputs[torch.randperm(len(inputs))[:BATCH].to(inputs.device)]).requires_grad_()
        output = through(module, start)
        energy = torch.zeros((), device=inputs.device)
        for probe in range(PROBES):
            [gradient] = torch.autograd.grad(output, start, torch.randn_like(output), retain_graph=probe < PROBES - 1)
            energy = energy + energies(spec, gradient, output)
        found.append(float((energy / PROBES).log().mean()))
    return float(np.mean(found))


def good_loop(spec: Spec, inputs: Tensor, error: float, batch: int = 16, probes: int = 4) -> list[float]:
    """(b): the same, initializations until the standard error over them is reached."""
    found: list[float] = []
    while len(found) < ROUND or (np.std(found, ddof=1) / math.sqrt(len(found)) > error and len(found) < MOST_DRAWS):
        module = build(spec, FEATURES, OUTPUTS).to(inputs.device).requires_grad_(False)
        torch.func.replace_all_batch_norm_modules_(module)  # without running statistics, which `vjp` does not take
        start = embedded(module, inputs[torch.randperm(len(inputs))[:batch].to(inputs.device)])
        output, pull_back = torch.func.vjp(lambda h, module=module: through(module, h), start)
        [gradients] = torch.vmap(pull_back)(torch.randn(probes, *output.shape, device=inputs.device))
        found.append(float(torch.vmap(partial(energies, spec, output=output))(gradients).mean(0).log().mean()))
    return found


def energies(spec: Spec, gradient: Tensor, output: Tensor) -> Tensor:
    """‖Jᵀ v‖² / N of each input; with BatchNorm the whole batch is one."""
    inputs = 1 if spec.batch > 1 else len(output)
    return gradient.square().reshape(inputs, -1).sum(-1) / (output.numel() / inputs)


def synflow(spec: Spec, inputs: Tensor) -> float:
    """(d): weights' saliency, one forward and one backward pass."""
    module = build(spec, FEATURES, OUTPUTS).to(inputs.device)
    module(inputs[:BATCH]).sum().backward()
    return float(sum((p.grad * p).abs().sum().item() for p in module.parameters() if p.grad is not None))


def jacob_cov(spec: Spec, inputs: Tensor) -> float:
    """(d): the correlation of the inputs' gradients, one forward and one backward pass."""
    module = build(spec, FEATURES, OUTPUTS).to(inputs.device).requires_grad_(False)
    x = embedded(module, inputs[:BATCH]).requires_grad_()
    [gradient] = torch.autograd.grad(through(module, x).sum(), x)
    gradient = gradient.flatten(1)
    eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(gradient).nan_to_num()).clamp_min(0) + 1e-5
    return float(-(eigenvalues.log() + 1 / eigenvalues).sum())


def embedded(module: torch.nn.Module, inputs: Tensor) -> Tensor:
    """h_0."""
    return next(module.stream(inputs))  # type: ignore[no-any-return, operator]


def through(module: torch.nn.Module, h: Tensor) -> Tensor:
    """The stream from after the embedding to before the readout."""
    for block in module.blocks:  # type: ignore[union-attr]
        h = block(h)
    return h


def share(specs: Sequence[Spec], inputs: Tensor, device: torch.device, plan: Plan) -> float:
    """(e): the time of the bare products of one round over that of the round."""
    draws = Draws(0, range(ROUND), torch.float32, device)
    sample(specs, inputs, draws, plan)
    whole, bare = [], []
    for _ in range(5):
        whole.append(timed(lambda: sample(specs, inputs, draws, plan))[1])
        bare.append(timed(lambda: only_products(specs, draws, plan))[1])
    return min(bare) / min(whole)


@torch.inference_mode()
def only_products(specs: Sequence[Spec], draws: Draws, plan: Plan) -> None:
    """The products with weights of one round in the engine's shapes, in its threads."""
    ahead, back = 1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips
    tokens, width = specs[0].tokens, specs[0].width

    def run(tile: list[int]) -> None:
        made = [kind_of(specs[position]).sampling.row(specs[position]) for position in tile]
        routes = Routes(made, draws.dtype, draws.device)
        for count, order, transpose in ((ahead, range(routes.blocks), True), (back, reversed(range(routes.blocks)), False)):
            for number in order if count else ():
                for role, rows, shape in weights_of(routes, number, width):
                    weights = draws.normal(f"{role} {number}", *shape)
                    size = rows * plan.inputs * count * tokens
                    vectors = torch.ones(len(draws.draws), size, shape[1 if transpose else 0], device=draws.device)
                    torch.bmm(vectors, weights.mT if transpose else weights)

    cut = list(tiles(specs, draws, plan))
    with workers(draws.device) as pool:
        list(pool.map(run, cut))
    if draws.device.type == "cuda":
        torch.cuda.synchronize(draws.device)


def weights_of(routes: Routes, number: int, width: int) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Role, rows that meet them, and shape of the weights of a block."""

    def rows(route: Route, among: int) -> int:
        return among if route.rows is None else len(route.rows)

    at, active = routes.at(number), routes.active(number)
    for hidden in at.hidden:
        through = rows(hidden.route, active)
        if hidden.inner is not None:
            yield "inner", rows(hidden.inner, through), (hidden.ratio * width, width)
        yield "outer", through, (width, hidden.ratio * width)
    for attention in at.attention:
        yield "qkv", rows(attention.route, active), (3 * width, width)
        yield "outer", rows(attention.route, active), (width, width)


def proposed(kind: str, width: int, file: Path | None) -> list[Spec]:
    """Two batches of a default search among networks of this width, as its sampler proposes them."""
    path = None if file is None else file.with_name(f"{file.stem}_{kind}_{width}{file.suffix}")
    if path is not None and path.exists():
        return [Spec.from_json(line) for line in path.read_text().splitlines()]
    specs = [spec for number, batch in enumerate(search(kind, width)) if number in BATCHES for spec in batch]
    if path is not None:
        path.write_text("".join(f"{spec.to_json()}\n" for spec in specs))
    return specs


def search(kind: str, width: int) -> Iterator[list[Spec]]:
    """Batch by batch what a search with the sampled score proposes."""
    from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
    from nasjac.kinds.resnet.space import ResNetSpace
    from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
    from nasjac.samplers.nsga2 import NSGAII
    from nasjac.searching.objectives import Budget, directions, objective_values
    from nasjac.searching.study import Study
    from nasjac.store.rows import TrialRow

    inputs = inputs_of(kind)
    kinds = {
        "residual_mlp": ResidualMlpSpace,
        "transformer_lm": partial(TransformerLmSpace, context=CONTEXT),
        "resnet": partial(ResNetSpace, shape=SHAPE),
    }
    space = kinds[kind](widths=(width,))
    score = Apjn()
    names = score.objectives
    study = Study(space, NSGAII, Budget(), directions(names), seed=0)
    for number in range(max(BATCHES) + 1):
        proposals = study.ask(number, 64)
        measured = score.measure([proposal.spec for proposal in proposals], inputs, torch.device("cpu"))
        for proposal, measurement in zip(proposals, measured, strict=True):
            values, _ = objective_values(names, measurement, proposal.facts)
            study.tell(
                proposal, TrialRow("bench", 0, number, "complete" if values else "failed", 0, objectives=values or {})
            )
        yield [proposal.spec.canonical for proposal in proposals if proposal.spec.canonical.blocks]


def at_its_best(loop: Callable[..., object], specs: Sequence[Spec], inputs: Tensor) -> Sequence[Spec]:
    """The specs, once torch has as many threads as `loop` is fastest with."""
    times = {}
    for threads in {1, os.cpu_count() or 1}:
        torch.set_num_threads(threads)
        loop(specs[0], inputs)
        times[threads] = min(timed(lambda: loop(specs[len(specs) // 2], inputs))[1] for _ in range(2))
    torch.set_num_threads(min(times, key=times.__getitem__))
    return specs


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and its seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    value = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return value, time.perf_counter() - began


if __name__ == "__main__":
    main()
