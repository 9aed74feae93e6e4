"""Several models of the user's own, diagnosed on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from nasjac.architecture.fields import check_choice
from nasjac.foundation import arguments
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.models import profile_figure
from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import LEGEND, Diagnosis
from nasjac.models.foreign_calls import Factory, built, own_traceback
from nasjac.models.result import Result

#: most initializations, and most probes a direction, each of which is a pass through the model
MOST_PASSES = 1_000_000
TOKENS = {"auto": None, "true": True, "false": False}


@dataclass(frozen=True)
class Options:
    """The options of `nasjac diagnose`, which are those of `nasjac.diagnose`; `tokens` is auto, true or false."""

    layers: str | tuple[str, ...] | None = None
    origin: str | None = None
    output: str | None = None
    batchnorm: str = "batch"
    tokens: str = "auto"
    reinitialize: int = 0
    rel_error: float = 0.05
    max_probes: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        arguments.whole("reinitialize", self.reinitialize, 0, MOST_PASSES)
        arguments.whole("max_probes", self.max_probes, 1, MOST_PASSES)
        arguments.number("rel_error", self.rel_error, 0, open_low=True)
        arguments.seed("seed", self.seed)
        check_choice("tokens", self.tokens, TOKENS)


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """The diagnoses of models on the same inputs; the first is that of the model that was asked for."""

    diagnoses: tuple[Diagnosis, ...]

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield the entries of the first diagnosis, and the other diagnoses as `compare`."""
        yield from self.diagnoses[0].entries()
        yield "compare", self.diagnoses[1:]

    def as_text(self) -> str:
        """Return the table, notes and verdict of each model, what the columns mean, and where the files are."""
        paragraphs = [text for one in self.diagnoses for text in one.paragraphs()]
        return "\n\n".join([*paragraphs, *LEGEND, *self._files("Files")])


def diagnose_models(
    models: Mapping[str, Factory],
    inputs: str | Callable[[], Any],
    options: Options,
    device: torch.device,
    out: str,
    advance: Callable[[int, str], None] = lambda done, name: None,
) -> Comparison:
    """Make models and diagnose each of them on the same inputs, into a folder with JSON and a figure.

    Args:
        models: Functions that make the models, by name; the first model is the one that is asked for.
        inputs: A description of the batch (`nasjac.models.example.FORMS`), or a function that makes it.
        options: The options of `nasjac.diagnose`.
        device: The device of the models.
        out: The folder that the files are written to.
        advance: Called with the number of probes done and the model's name.

    Returns:
        The diagnoses with their files.

    Raises:
        InputError: What cannot be done, and why; the traceback of a user's own code that fails is printed first.
    """
    check_replaceable(out)
    found = []
    for name, make in models.items():
        module, batch = built(name, make, inputs, options.seed, device)
        model = partial(_on, make, device) if options.reinitialize else module
        arguments_of = {**asdict(options), "tokens": TOKENS[options.tokens]}
        with own_traceback(name):
            tell = lambda done, total, name=name: advance(done, name)  # noqa: E731
            found.append(diagnose(model, batch, name=name, advance=tell, **arguments_of))
    figures = profile_figure.draw({one.model: one for one in found})
    return Comparison(tuple(found)).written(out, figures, "profile.json")


def _on(make: Factory, device: torch.device) -> nn.Module:
    return make().to(device)
