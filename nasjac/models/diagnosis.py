"""The layer-by-layer Jacobian of a model as a result: norms of its layers in both directions, and one sentence on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nasjac.architecture.measurement import Profile
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.models.laws import Law
from nasjac.models.result import Result
from nasjac.models.verdict import DiagnosedLayer, laws, verdict
from nasjac.reporting.wording import EFFECTIVE_RANK

#: what the columns of the table mean
LEGEND = (
    "forward: E log of the squared norm of d layer / d input per unit; backward: of d output / d layer. Natural logs.",
    f"rank: {EFFECTIVE_RANK[0].lower()}{EFFECTIVE_RANK[1:]}",
)


@dataclass(frozen=True)
class Point:
    """The figures of a layer that have no direction.

    Args:
        name: The module's name, or `input` or `output`.
        shape: Of its tensor, batch first.
        correlation: Mean cosine of the activations of two inputs.
        token_correlation: Mean cosine of two tokens of one input.
        weight_gradient: log E ‖∂⟨v, output⟩/∂θ‖² per unit of output, θ the parameters of the block.
        weight_gradient_error: The standard error of that.
    """

    name: str
    shape: tuple[int, ...]
    correlation: float | None = None
    token_correlation: float | None = None
    weight_gradient: float | None = None
    weight_gradient_error: float | None = None


@dataclass(frozen=True, repr=False)
class Diagnosis(Profile, Result):
    """The Jacobian profile of a model: all layers forward, from `input` to `output`, and then all of them backward.

    Args:
        layers: The layers in both directions.
        exact: Always true: the norms are those of this very network.
        points: The layers without direction.
        probes: How many probes each direction took.
        inputs: How many inputs count by themselves; 1 where the inputs of a batch depend on each other.
        initializations: Over how many initializations the norms are taken.
        precision_reached: Whether every standard error is at most what was asked for; None over initializations.
        notes: What was done to the model, or could not be done.
        seconds: How long it took.
        model: What the model is called.
    """

    layers: tuple[DiagnosedLayer, ...]
    points: tuple[Point, ...] = ()
    probes: Mapping[str, int] = field(default_factory=dict)
    inputs: int = 1
    initializations: int = 1
    precision_reached: bool | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    model: str = ""

    @property
    def forward(self) -> tuple[DiagnosedLayer, ...]:
        """‖∂h_k/∂h_0‖_F² / N_k of the layers, one for each of `points`."""
        return self.layers[: len(self.points)]

    @property
    def backward(self) -> tuple[DiagnosedLayer, ...]:
        """‖∂h_K/∂h_k‖_F² / N_K of the layers, one for each of `points`."""
        return self.layers[len(self.points) :]

    @property
    def laws(self) -> dict[str, Law | None]:
        """How the norm (`norm`), and what differs between tokens (`token_differential`), changes along the blocks."""
        return laws(self.layers)

    @property
    def verdict(self) -> str:
        """One sentence: how the norm grows, what reaches the input, where it collapses, and what to change."""
        return verdict(self.layers)

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield everything that is known of the model; a law's `form` is called `kind` there."""
        yield from (("model", self.model), ("verdict", self.verdict))
        yield (
            "laws",
            {
                what: law and {"kind": law.form, "rate": law.rate, "low": law.low, "high": law.high, "offset": law.offset}
                for what, law in self.laws.items()
            },
        )
        yield from (("inputs", self.inputs), ("initializations", self.initializations), ("probes", self.probes))
        yield from (("precision_reached", self.precision_reached), ("seconds", self.seconds), ("notes", self.notes))
        yield from (("layers", self.layers), ("points", self.points))

    def as_text(self) -> str:
        """Return a table of the layers, the notes, the verdict, and what the columns mean."""
        return "\n\n".join([*self.paragraphs(), *LEGEND])

    def paragraphs(self) -> list[str]:
        """Return the table, the notes and the verdict."""
        tokens = any(layer.token_log_mean is not None for layer in self.layers)
        rows = []
        for point, ahead, back in zip(self.points, self.forward, self.backward, strict=True):
            row = [point.name, _cell(ahead.mean_log, ahead.standard_error), _cell(back.mean_log, back.standard_error)]
            row += [_cell(at.token_log_mean, at.token_log_mean_error) for at in (ahead, back)] if tokens else []
            gradient = _cell(point.weight_gradient, point.weight_gradient_error)
            rows.append([*row, ahead.effective_rank, gradient, _cell(point.correlation, None)])
        more = ("forward, between tokens", "backward, between tokens") if tokens else ()
        columns = ("layer", "forward", "backward", *more, "rank", "weight gradient", "correlation")
        table = f"{self.model}\n{as_table(columns, rows).rstrip()}"
        return [table, *(["\n".join(f"note: {note}" for note in self.notes)] if self.notes else []), self.verdict]


def _cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"
