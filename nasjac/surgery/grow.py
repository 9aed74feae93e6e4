"""grow: new residual blocks in a trained network, as many as are safe, and what they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasjac.architecture.fields import check_choice
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import Factory
from nasjac.surgery.attempts import PILOT, Plan, attempts
from nasjac.surgery.growth_result import Growth, deviation_of, new_block
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.limits import Budget, Limits
from nasjac.surgery.network import Network
from nasjac.surgery.own_model import INITS
from nasjac.surgery.results import Pair
from nasjac.surgery.sources import AnyData, Say, left_out, listed, of_checkpoint, of_model
from nasjac.surgery.trained import check_growth, check_out
from nasjac.surgery.written import compared, note, write

#: points of the data, each with its own Jacobian
MOST_POINTS = 2**16
#: what new blocks may change unless another budget is given
DEFAULT_BUDGET = Budget()
#: what a grown checkpoint keeps of the result
KEPT = ("checkpoint", "init", "gain", "seed", "blocks", "tau", "rule", "epsilon_spectral", "epsilon_rms", "deviation")


def grow(
    source: str | Path | nn.Module | Factory,
    *,
    blocks: int | str,
    insert: int | str | None = None,
    input: Any = None,
    init: str | None = None,
    gain: float = 0.1,
    after: int | Sequence[int] | None = None,
    budget: Budget | Mapping[str, float] = DEFAULT_BUDGET,
    rule: str | None = None,
    epsilon_spectral: float | None = None,
    epsilon_rms: float | None = None,
    force: bool = False,
    points: int = 16,
    seed: int = 0,
    dataset: AnyData | None = None,
    allow_pickle: bool = False,
    device: str | torch.device = "cpu",
    out: str | Path | None = None,
    name: str | None = None,
    say: Say = lambda text: None,
) -> Growth:
    """Put new residual blocks into a trained network, not more than are safe, and write the grown network.

    Args:
        source: A checkpoint's folder; or a model of your own, or what makes it, with its `input` and `insert`.
        blocks: How many residual branches come into a checkpoint, or "max"; of a model the name of its list of blocks.
        insert: How many blocks come into a model's list, or "max".
        input: A batch for a model, what makes one, or its description, such as "ids:4x128".
        init: How they begin: zero_last, skipinit, rezero, small_gain or copy. The default is zero_last, or small_gain for
            as many as are safe.
        gain: The factor on the branches of small_gain and copy.
        after: After which blocks of a checkpoint they go, 0 for before the first; by default they are spread evenly.
        budget: `tau`, by how much the largest singular value may grow.
        rule: measured, worst_case, rms or edge; see `nasjac.surgery.limits.Limits`.
        epsilon_spectral: A bound of ‖J_F‖₂ that you vouch for, in the place of the measured one.
        epsilon_rms: The same of √(E‖J_F‖_F² / N).
        force: Whether more blocks than the rule allows may come.
        points: The number of validation inputs at which Jacobians are taken.
        seed: The seed of fresh weights and of probes.
        dataset: Data for a checkpoint, their name or their options; by default those that it names.
        allow_pickle: Whether to take the tensors of a pickled state_dict.
        device: Where a model runs.
        out: A new folder; by default the checkpoint's name with "-grown" behind it.
        name: What a model is called in the result.
        say: Is called with sentences about the progress.

    Returns:
        What was done and measured; `print` shows it.

    Raises:
        InputError: The network cannot grow, or the rule allows fewer blocks. Nothing is written then.

    Example:
        >>> nasjac.grow("kept/3f2a", blocks="max", budget={"tau": 2.0})  # doctest: +SKIP
    """
    for option in () if isinstance(budget, Budget) else budget:
        check_choice("budget", option, ("tau",))
    budget = budget if isinstance(budget, Budget) else Budget(**budget)
    limits = Limits(budget.tau, rule, epsilon_spectral, epsilon_rms, force)
    after = (after,) if isinstance(after, int) else after if after is None else tuple(after)
    if isinstance(source, (str, Path)):
        left_out("belong to `model`; of a checkpoint blocks=N says how many", insert=insert, input=input)
        # blocks that begin as the identity have no size by which the most could be told
        beginning = Beginning(init or ("small_gain" if blocks == "max" else "zero_last"), gain, seed)
        full = replace(beginning, init="small_gain", gain=1.0) if beginning.is_identity else None
        plan = Plan("blocks", blocks, beginning, limits, after, full)
        target = check_out(out or f"{str(source).rstrip('/')}-grown")
        arguments.whole("points", points, 1, MOST_POINTS)
        old = of_checkpoint(source, dataset, points, allow_pickle, say)
        check_growth(old.spec, beginning, force)
        return _grown(old, plan, max(1, min(PILOT, len(old.blocks))), target, say)
    path = listed(blocks, input)
    left_out("must be left out with a model", dataset=dataset, after=after)
    if insert is None:
        raise InputError("`insert` must say how many blocks go into the model's list (insert=2, or insert=max), got None")
    check_choice("init", init or "zero_last", INITS)
    beginning = Beginning(init or "zero_last", gain, seed)
    if insert == "max" and beginning.is_identity:
        raise InputError("`init` must be copy with insert=max: blocks that begin as the identity may be any number")
    plan = Plan("insert", insert, beginning, limits)
    target = check_out(out or "reports/grow/model-grown")
    model = of_model(source, name, input, path, seed, arguments.device("device", device))
    return _grown(model, plan, 1, target, say)


def _grown(old: Network, plan: Plan, pilot: int, out: Path, say: Say) -> Growth:
    """Put new blocks into a network, and write the grown one into the new folder `out`.

    As many as are safe are found from a growth of `pilot` blocks.
    """
    beginning, limits = plan.beginning, plan.limits
    nominal, attempt = attempts(old, plan, pilot, say)
    if not attempt.allowed.holds and not limits.force:
        raise attempt.allowed.refusal(plan.blocks)
    say(f"{len(attempt.norms)} new blocks; profiles before and after")
    new = attempt.network
    with new.ready():
        stream = deviation_of(new.stream, attempt.norms)
    result = Growth(
        **vars(compared(old, new, out, beginning.seed)),
        init=beginning.init,
        gain=None if beginning.is_identity else beginning.gain,
        blocks=len(attempt.norms),
        depth=Pair(len(old.blocks), len(new.blocks)),
        tau=limits.tau,
        rule=limits.chosen,
        allowed=attempt.allowed.count,
        forced=limits.force and not attempt.allowed.holds,
        smallness=attempt.allowed.smallness,
        nominal=nominal.allowed.measured if nominal else None,
        stream=stream,
        new_blocks=tuple(new_block(number, new.links[number], norms) for number, norms in attempt.norms.items()),
    )
    return write(result, new, {"grown": note(result, KEPT)}, "growth.json")
