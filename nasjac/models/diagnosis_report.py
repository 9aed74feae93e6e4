"""diagnose: the layer-by-layer Jacobian of any model, as a table, a figure, a file and one sentence."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import nn

from nasjac.foundation import arguments
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.models import profile_figure as profiles
from nasjac.models.diagnose import Diagnosis
from nasjac.models.diagnose import diagnose as diagnosed
from nasjac.models.example import example
from nasjac.models.foreign_calls import TheirError, called
from nasjac.models.nested import mapped
from nasjac.models.verdict import laws, verdict
from nasjac.reporting.wording import EFFECTIVE_RANK

Factory = Callable[[], nn.Module]
#: packages in which nobody's own code is: what they raise is the fault of their caller
LIBRARIES = sys.stdlib_module_names | {"torch", "numpy", "scipy", "safetensors"}


#: a pass through the model each
MOST_PROBES = 1_000_000


@dataclass(frozen=True)
class Options:
    """What `nasjac.diagnose` takes beside a model and its inputs; `tokens` is auto, true or false."""

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
        arguments.whole("reinitialize", self.reinitialize, 0, MOST_PROBES)
        arguments.whole("max_probes", self.max_probes, 1, MOST_PROBES)
        arguments.number("rel_error", self.rel_error, 0, open_low=True)
        arguments.seed("seed", self.seed)
        if self.tokens not in ("auto", "true", "false"):
            raise InputError(f"`tokens` must be one of auto, true, false, got {self.tokens!r}")

    @property
    def given(self) -> dict[str, Any]:
        """As arguments of `nasjac.diagnose`."""
        tokens = {"auto": None, "true": True, "false": False}[self.tokens]
        return {**asdict(self), "tokens": tokens}


@dataclass(frozen=True)
class Diagnosed:
    """Models by name with their profiles: `summary` for JSON, and the files written."""

    found: Mapping[str, Diagnosis]
    summary: Mapping[str, Any]
    files: Sequence[Path]


def diagnose(
    models: Mapping[str, Factory],
    inputs: str | Callable[[], Any],
    options: Options,
    device: torch.device,
    out: str,
    advance: Callable[[int, str], None],
) -> Diagnosed:
    """Diagnose every model on the same inputs, the first one being the one that is asked for.

    `inputs` is a description (`nasjac.models.example.FORMS`) or makes the batch. ValueError: what cannot be done, and
    why; a factory or a model that fails has its own traceback printed first.
    """
    check_replaceable(out)
    found: dict[str, Diagnosis] = {}
    for name, make in models.items():
        module, batch = built(name, make, inputs, options.seed, device)
        model = partial(_on, make, device) if options.reinitialize else module
        with own_traceback(name):
            found[name] = diagnosed(model, batch, advance=partial(_tell, advance, name), **options.given)
    summaries = [summary_of(name, one) for name, one in found.items()]
    summary = {**summaries[0], "compare": summaries[1:]}
    return Diagnosed(found, summary, _written(Path(out), found, summary))


def built(
    name: str, make: Factory, inputs: str | Callable[[], Any], seed: int, device: torch.device
) -> tuple[nn.Module, Any]:
    """A model of the user's own and its batch, on the device. ValueError: it fails, or is not a module."""
    torch.manual_seed(arguments.seed("seed", seed))
    with own_traceback(name):
        module = called(f"`model` must make an nn.Module, which {name} did not", make)
    if not isinstance(module, nn.Module):
        raise InputError(f"`model` must make an nn.Module, got {type(module).__name__} from {name}")
    if isinstance(inputs, str):
        batch = example(inputs, module, seed, free(torch.device("cpu")) // 2)
    else:
        with own_traceback(name):
            batch = called("`input` must make a batch, which it did not", inputs)
    return module.to(device), mapped(batch, lambda tensor: tensor.to(device))


def _on(make: Factory, device: torch.device) -> nn.Module:
    return make().to(device)


def _tell(advance: Callable[[int, str], None], name: str, done: int, total: int) -> None:
    advance(done, name)


@contextmanager
def own_traceback(name: str) -> Iterator[None]:
    """What fails in somebody else's code is shown as it failed there, and then told in a sentence.

    What libraries raise on their way from our code is our fault, and keeps its traceback.
    """
    try:
        yield
    except TheirError as error:
        assert error.__cause__ is not None
        _show(error.__cause__, _beneath(error.__cause__))
        raise InputError(f"{error} (its traceback is above; from {name})") from error
    except InputError:
        raise
    except Exception as error:
        theirs = _beneath(error)
        if not any(_package(frame) not in LIBRARIES for frame, _ in traceback.walk_tb(theirs)):
            raise
        _show(error, theirs)
        raise InputError(f"`model` {name} raised {type(error).__name__} (its traceback is above): {error}") from error


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _beneath(error: BaseException) -> TracebackType | None:
    """The part of its traceback beneath the last frame of this package; all of it where none is."""
    theirs = rest = error.__traceback__
    while rest is not None:
        if _package(rest.tb_frame) == "nasjac":
            theirs = rest.tb_next
        rest = rest.tb_next
    return theirs


def _show(error: BaseException, part: TracebackType | None) -> None:
    traceback.print_exception(type(error), error.with_traceback(part), part, chain=False, file=sys.stderr)


def summary_of(name: str, found: Diagnosis) -> dict[str, Any]:
    """Everything of a diagnosis, for JSON."""
    return {
        "model": name,
        "verdict": verdict(found),
        "laws": {what: asdict(law) if law else None for what, law in laws(found).items()},
        "inputs": found.inputs,
        "initializations": found.initializations,
        "probes": dict(found.probes),
        "precision_reached": found.precision_reached,
        "seconds": found.seconds,
        "notes": list(found.notes),
        "layers": [asdict(layer) for layer in found.layers],
        "points": [{**asdict(point), "shape": list(point.shape)} for point in found.points],
    }


def _written(out: Path, found: Mapping[str, Diagnosis], summary: Mapping[str, Any]) -> list[Path]:
    content = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    files = {"profile.json": content.encode(), **profiles.draw(found)}
    replace_folder(out, files)
    return [out / name for name in files]


def as_text(done: Diagnosed) -> str:
    """A table for each model, its notes and its verdict; then where the files are."""
    parts: list[str] = []
    for name, found in done.found.items():
        count = len(found.points)
        forward, backward = found.layers[:count], found.layers[count:]
        sequence = any(layer.token_log_mean is not None for layer in found.layers)
        rows = []
        for point, there, back in zip(found.points, forward, backward, strict=True):
            row = [point.name, _cell(there.mean_log, there.standard_error), _cell(back.mean_log, back.standard_error)]
            row += [_cell(at.token_log_mean, at.token_log_mean_error) for at in (there, back)] if sequence else []
            gradient = _cell(point.weight_gradient, point.weight_gradient_error)
            rows.append([*row, there.effective_rank, gradient, _cell(point.correlation, None)])
        tokens = ("forward, between tokens", "backward, between tokens") if sequence else ()
        columns = ("layer", "forward", "backward", *tokens, "rank", "weight gradient", "correlation")
        parts.append(f"{name}\n{as_table(columns, rows).rstrip()}")
        parts += ["\n".join(f"note: {note}" for note in found.notes)] if found.notes else []
        parts.append(verdict(found))
    parts.append(
        "forward: E log of the squared norm of d layer / d input per unit; backward: of d output / d layer. Natural logs."
    )
    parts.append(f"rank: {EFFECTIVE_RANK[0].lower()}{EFFECTIVE_RANK[1:]}")
    parts.append(f"Files: {', '.join(map(str, done.files))}")
    return "\n\n".join(parts)


def _cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"
