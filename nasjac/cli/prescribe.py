"""nasjac prescribe: what brings an architecture, or the blocks of a model, to criticality."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.given import ArchitectureConfig, architecture, batch_of, made
from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import built, own_traceback
from nasjac.models.prescribe import prescribe


@dataclass(frozen=True)
class Config(ArchitectureConfig):
    """The options of nasjac prescribe: of an architecture, or of a `model` with its `input` and its residual `blocks`."""

    model: Any = None
    input: Any = None
    blocks: str | None = None
    target: float = 0.0
    tolerance: float = 1.0
    seed: int = 0
    out: str | None = "reports/prescribe"


def run(call: Call) -> Answer:
    """Prescribe for an architecture or a model."""
    config, options = call.config, call.values(("target", "tolerance", "seed", "out"))
    if config.model is None:
        variance = config.stream_variance
        spec = prescribe(architecture(call), **options, stream_variance=variance, device=call.device)
        return answer(spec.as_text(), spec.to_json())
    if config.key is not None or config.choices:
        raise InputError("`model` must stand alone, without an architecture's key or choices")
    name, make = made(config.model)
    with call.console.bar("prescribe", 20) as advance:
        steps = count(1)
        tell = lambda _, text: advance(next(steps), text)  # noqa: E731
        model, batch = built(name, make, batch_of(config.input), config.seed, call.device)
        with own_traceback(name):
            found = prescribe(model, batch, **options, blocks=config.blocks, name=name, advance=tell)
    return answer(found.as_text(), found.to_json())
