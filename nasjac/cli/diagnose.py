"""nasjac diagnose: the layer-by-layer Jacobian norms of models on one batch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.config import Common
from nasjac.cli.given import batch_of, made
from nasjac.models.comparison import Options, diagnose_models
from nasjac.models.diagnose import FIRST


@dataclass(frozen=True)
class Config(Options, Common):
    """The options of nasjac diagnose."""

    model: Any = None
    input: Any = None
    compare: list[Any] = field(default_factory=list)
    layers: Any = None
    out: str = "reports/diagnose"


def run(call: Call) -> Answer:
    """Diagnose the models."""
    config = call.config
    models = dict([made(config.model), *map(made, config.compare)])
    options = Options(**call.values(entry.name for entry in fields(Options)))
    each = 2 * (FIRST * options.reinitialize if options.reinitialize else options.max_probes)
    with call.console.bar("diagnose", each) as advance:
        found = diagnose_models(models, batch_of(config.input), options, call.device, config.out, advance)
    return answer(found.as_text(), found.to_json())
