"""prune: residual branches taken out of a network, trained or not, and what that does to its paths and its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import Factory
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.compression import check_prunable
from nasjac.surgery.criteria import CRITERIA, VALUES, chosen, output_damage
from nasjac.surgery.network import Network
from nasjac.surgery.paths import chain_of, damage, expected
from nasjac.surgery.pruning_result import BranchValue, FineTuning, Pruning
from nasjac.surgery.results import Pair
from nasjac.surgery.sources import AnyData, Say, left_out, listed, of_checkpoint, of_model, of_spec
from nasjac.surgery.trained import check_out
from nasjac.surgery.written import compared, largest, note, write

#: points of the data, each with its own Jacobian, and steps of fine-tuning
MOST_POINTS, MOST_STEPS = 2**16, 10_000_000
#: what a pruned checkpoint keeps of the result
KEPT = ("checkpoint", "criterion", "ratio", "seed", "pruned")


@dataclass(frozen=True)
class PruneOptions:
    """Which branches go, and the training afterwards.

    `ratio` of the branches go by `criterion`; `points` of the data are those at which Jacobians are taken; `fine_tune`
    steps of AdamW at `learning_rate` follow (0: none); `seed` is that of a random order, of probes and of fine-tuning.
    """

    ratio: float = 0.3
    criterion: str = "measured_energy"
    points: int = 16
    fine_tune: int = 60
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise InputError(f"`ratio` must be a number in [0, 1), got {self.ratio!r}")
        check_choice("criterion", self.criterion, CRITERIA)
        arguments.whole("points", self.points, 1, MOST_POINTS)
        arguments.whole("fine_tune", self.fine_tune, 0, MOST_STEPS)
        arguments.number("learning_rate", self.learning_rate, 0, open_low=True)
        arguments.seed("seed", self.seed)


def prune(
    source: str | Path | Spec | nn.Module | Factory,
    *,
    ratio: float = PruneOptions.ratio,
    criterion: str = PruneOptions.criterion,
    points: int = PruneOptions.points,
    fine_tune: int = PruneOptions.fine_tune,
    learning_rate: float = PruneOptions.learning_rate,
    seed: int = PruneOptions.seed,
    blocks: str | None = None,
    input: Any = None,
    dataset: AnyData | None = None,
    allow_pickle: bool = False,
    save_tuned: str | Path | None = None,
    device: str | torch.device = "cpu",
    out: str | Path | None = None,
    name: str | None = None,
    say: Say = lambda text: None,
) -> Pruning:
    """Take residual branches out of a network, and write the smaller network.

    Args:
        source: A checkpoint's folder; an architecture, whose values are those at one initialization; or a model of your
            own, or what makes it, with its `input` and the name of its list of `blocks`.
        ratio: The share of the branches that go, in [0, 1).
        criterion: random, alternate, last, first; or the lowest of lowest_energy (expected at initialization),
            measured_energy, output_damage, taylor go.
        points: The number of validation inputs at which Jacobians are taken.
        fine_tune: Steps of AdamW afterwards.
        learning_rate: Their learning rate.
        seed: The seed of a random order, of probes, of fine-tuning and of an architecture's weights.
        blocks: The name of a model's list of blocks.
        input: A batch for a model, what makes one, or its description, such as "ids:4x128".
        dataset: Data for ours, their name or their options; by default those that a checkpoint names.
        allow_pickle: Whether to take the tensors of a pickled state_dict.
        save_tuned: A new folder for the fine-tuned weights of a checkpoint.
        device: Where a model runs.
        out: A new folder; by default the checkpoint's name with "-pruned" behind it.
        name: What a model or an architecture is called in the result.
        say: Is called with sentences about the progress.

    Returns:
        What was done and measured; `print` shows it.

    Raises:
        InputError: No branch can go, or the criterion has no values for this network. Nothing is written then.

    Example:
        >>> nasjac.prune("kept/3f2a", ratio=0.5, criterion="taylor")  # doctest: +SKIP
    """
    options = PruneOptions(ratio, criterion, points, fine_tune, learning_rate, seed)
    if isinstance(source, (str, Path, Spec)):
        left_out("belong to `model`; of a checkpoint or spec ratio= says how many branches go", blocks=blocks, input=input)
        if isinstance(source, Spec):
            left_out("must be left out with an architecture", save_tuned=save_tuned)
        place = f"reports/prune/{source.key}" if isinstance(source, Spec) else str(source).rstrip("/")
        target = check_out(out or f"{place}-pruned")
        tuned = None if save_tuned is None else check_out(save_tuned, "save_tuned")
        if isinstance(source, Spec):
            old = of_spec(source, name, dataset, points, seed)
        else:
            old = of_checkpoint(source, dataset, points, allow_pickle, say)
        check_prunable(old.spec)
        return _pruned(old, options, target, tuned, say)
    path = listed(blocks, input)
    left_out("must be left out with a model", dataset=dataset, save_tuned=save_tuned)
    check_choice("criterion", criterion, [one for one in CRITERIA if one != "lowest_energy"])
    target = check_out(out or "reports/prune/model-pruned")
    return _pruned(
        of_model(source, name, input, path, seed, arguments.device("device", device)), options, target, None, say
    )


def _pruned(old: Network, options: PruneOptions, out: Path, save_tuned: Path | None, say: Say) -> Pruning:
    """Take branches out of a network, and write the smaller one into the new folder `out`."""
    seed = options.seed
    say(f"branches of {len(old.blocks)} blocks")
    with old.ready():
        chain = chain_of(old, seed)
        prunable = [n for n, link in enumerate(old.links) if link.prunable]
        values = lambda: VALUES[options.criterion](old, chain)[prunable]  # noqa: E731
        gone = chosen(prunable, options.ratio, options.criterion, values, seed)
    new = old.without(gone)
    say(f"fine-tuning without {len(gone)} branches")
    run = new.fine_tuned(options.fine_tune, options.learning_rate, seed) if options.fine_tune else None
    gates = torch.ones(len(old.blocks), dtype=torch.float64)
    gates[gone] = 0
    with old.ready(), new.ready():
        rest, damages = chain_of(new, seed).paths, damage(chain, gone, old, new, seed)
        with torch.no_grad(), old.gated(gates):
            difference = largest(old.outputs(), new.outputs())
    before, damaged, specs = chain.paths, output_damage(old, chain), (old.architecture, new.architecture)
    result = Pruning(
        **vars(compared(old, new, out, seed, run)),
        criterion=options.criterion,
        ratio=options.ratio,
        branches=len(prunable),
        pruned=tuple(gone),
        effective_depth=Pair(before.effective_depth, rest.effective_depth),
        path_count=Pair(before.path_count, rest.path_count),
        path_entropy=Pair(before.path_entropy, rest.path_entropy),
        expected=expected(specs[0], specs[1], gone) if specs[0] and specs[1] else None,
        damage=damages,
        fine_tune=FineTuning(options.fine_tune, options.learning_rate, run.reason if run else None),
        gate_difference=difference,
        branch_values=tuple(
            BranchValue(
                n, old.links[n].op, n not in gone, one.energy, float(damaged[n]), one.frobenius, one.frobenius_error
            )
            for n, one in chain.branch.items()
        ),
    )
    told = {"pruned": note(result, KEPT)}
    result = write(result, new, told, "pruning.json")
    if save_tuned is not None and run is not None and run.state:
        figures = {"accuracy": run.accuracy, "loss": run.loss, "fine_tuned": options.fine_tune}
        checkpoint.place(save_tuned, new.files({**told, **figures}, run.state), "save_tuned")
    return result
