"""design: shapes of one size side by side, with what is known of them before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.space import SpaceLike, as_space
from nasjac.datasets import Dataset
from nasjac.foundation import arguments
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.facts import facts
from nasjac.kinds.options.sized import SizedOptions, SizedSpace
from nasjac.kinds.sizes import outside_params
from nasjac.kinds.training_memory import training_bytes
from nasjac.searching import design_page
from nasjac.searching.design_result import Design, DesignedShape
from nasjac.searching.objectives import Budget
from nasjac.searching.options import Chosen, choose, group_of
from nasjac.searching.reach import check_reach
from nasjac.searching.shape_norms import ShapeNorm, expected_logs
from nasjac.searching.shapes import Shape, plain, shapes

#: what a network takes and gives where neither a dataset nor an option says
FEATURES, VOCABULARY, CLASSES = 64, 32_000, 10
#: random inputs that norms are sampled at, and the ids of their vocabulary
SAMPLED, IDS = 64, 64
#: shapes that are sampled together
TOGETHER = 4


def design(
    space: str | type | SpaceLike | Chosen,
    *,
    budget: Budget | Mapping[str, Any],
    dataset: str | type | Dataset | Chosen | None = None,
    inputs: int | None = None,
    outputs: int | None = None,
    count: int = 10,
    batch: int = 8,
    error: float = 0.25,
    seed: int = 0,
    out: str | Path | None = None,
    advance: Callable[[int, str], None] = lambda done, text: None,
) -> Design:
    """Lay out shapes of one size, from shallow and wide to deep and narrow, with what is known before training.

    All choices but depth and shape are those typical of the space; options of the space fix others. E log 𝒥 is a closed
    form where there is one; otherwise it is sampled, for wide networks at a smaller width with the same depth and choices,
    for it depends on the width by a term of order L/N alone. Inputs are random where no dataset is given.

    Args:
        space: A space whose widths can be solved for: a name (transformer_lm, resnet, ...), a class or an object.
        budget: The size, such as {"params": "50M"} or {"max_flops": "2e9", "counts": "all"}.
        dataset: What the networks take and give; None for random inputs.
        inputs: Features, or ids of the vocabulary, without a dataset; None for 64 features or 32,000 ids.
        outputs: Classes, without a dataset; None for 10, or as many ids as there are in the vocabulary.
        count: The number of shapes, at most 64.
        batch: Samples of a training step, whose memory is told.
        error: The largest standard error of a norm that is sampled, in nats.
        seed: Of weights, random inputs and probes.
        out: A folder for the page, its figure and JSON; None writes none.
        advance: Called with (1, what was done) for every shape.

    Returns:
        The shapes; prints as a table.

    Raises:
        InputError: The widths of the space are not solved for, no shape has the size (the nearest are named), a sample of
            the smallest shape is beyond memory, or a bad number.

    >>> found = design("residual_mlp", budget={"params": "100k"}, count=3)
    >>> [(shape.depth, shape.width) for shape in found.shapes]
    [(4, 111), (16, 55), (64, 27)]
    """
    count, batch = arguments.whole("count", count, 1, 64), arguments.whole("batch", batch, 1, 2**20)
    error, seed = arguments.number("error", error, 0.0, open_low=True), arguments.seed("seed", seed)
    if out is not None:
        check_replaceable(out)
    chosen, limits = choose("space", space), _size_alone(group_of("budget", Budget, budget))
    data = None if dataset is None else choose("dataset", dataset).made.load()
    fitted = as_space(chosen.made)
    if not isinstance(fitted, SizedOptions) or fitted.widths is not None:
        raise InputError(f"`space` must be one whose widths are null and solved for, got {chosen.name}")
    if data is not None:
        if inputs is not None or outputs is not None:
            raise InputError("`inputs` and `outputs` must be left out with a dataset, which has both, got one of them")
        fitted = fitted.for_data(Inputs(data.train_inputs.shape[1] if data.is_tokens else None, data.shape))
        samples, sizes = data.train_inputs, (data.inputs, data.outputs)
    else:
        samples, sizes = _random_inputs(fitted, inputs, outputs, seed)
    target = limits.target(*sizes)
    if target is None:
        raise InputError("`budget` must say a size, one of params, max_params and max_flops, got none of them")
    found = shapes(fitted, target, count)
    if not found:
        check_reach(SizedSpace(fitted, target))
        raise InputError("`budget` must be a size that some plain shape of the space has, got one that only others have")
    _check_memory(found, samples)
    rows = []
    for start in range(0, len(found), TOGETHER):
        group = found[start : start + TOGETHER]
        logs = expected_logs(group, samples, fitted.usual["widths"][0], error, seed)
        for shape, log in zip(group, logs, strict=True):
            rows.append(_designed(shape, log, sizes, batch))
            advance(1, f"{rows[-1].depth} blocks of width {rows[-1].width}")
    result = Design(chosen.name, batch, *sizes, limits.counts, tuple(rows))
    return result if out is None else result.written(Path(out), design_page.files(result), "design.json")


def _size_alone(budget: Budget) -> Budget:
    """Refuse what a budget says beside the size, which only a search reads."""
    usual = Budget()
    others = {"trials": budget.trials, "minutes": budget.minutes, "min_effective_depth": budget.min_effective_depth}
    before = {"trials": usual.trials, "minutes": usual.minutes, "min_effective_depth": usual.min_effective_depth}
    if unread := next((name for name, value in others.items() if value != before[name]), None):
        raise InputError(f"`budget.{unread}` must be left out of a design, which searches nothing, got {others[unread]}")
    return budget


def _random_inputs(
    space: SizedOptions, inputs: int | None, outputs: int | None, seed: int
) -> tuple[Tensor, tuple[int, int]]:
    """Random samples, and the numbers of inputs and outputs of the networks."""
    kind = plain(space).inputs
    generator = torch.Generator().manual_seed(seed)
    if kind.tokens is not None:
        ids = arguments.whole("inputs", VOCABULARY if inputs is None else inputs, 2, arguments.LARGEST)
        classes = arguments.whole("outputs", ids if outputs is None else outputs, 1, arguments.LARGEST)
        return torch.randint(min(ids, IDS), (SAMPLED, kind.tokens), generator=generator), (ids, classes)
    classes = arguments.whole("outputs", CLASSES if outputs is None else outputs, 1, arguments.LARGEST)
    numbers = kind.features or arguments.whole("inputs", FEATURES if inputs is None else inputs, 1, arguments.LARGEST)
    if kind.features is not None and inputs not in (None, numbers):
        raise InputError(f"`inputs` must be the numbers of an image of `space.shape`, {numbers}, got {inputs}")
    return torch.randn(SAMPLED, numbers, generator=generator), (numbers, classes)


def _check_memory(found: list[Shape], samples: Tensor) -> None:
    """Refuse what cannot be sampled even at its narrowest: attention takes a square of the context."""
    most = max((shape.spec.tokens for shape in found), default=1)
    needed = 16 * 4 * most**2
    if most > 1 and needed > (there := free(torch.device("cpu"))):
        told = f"{most}, at which one head's logits take {needed / 2**30:.3g} GiB with {there / 2**30:.3g} GiB free"
        raise InputError(f"`space.context` must be short enough to be sampled in memory, got {told}")


def _designed(shape: Shape, log: ShapeNorm, sizes: tuple[int, int], batch: int) -> DesignedShape:
    spec, [known] = shape.spec, facts([shape.spec])
    return DesignedShape(
        key=spec.key,
        depth=known.depth,
        width=spec.width,
        params=known.params,
        all_params=known.params + outside_params(spec, *sizes),
        flops=known.flops,
        effective_depth=known.effective_depth,
        mean_log=log.value,
        standard_error=log.error,
        source=log.source,
        narrowing=log.narrowing,
        training_bytes=training_bytes(spec, *sizes, batch),
        spec=spec,
    )
