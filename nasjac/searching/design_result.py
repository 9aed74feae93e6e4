"""What `nasjac.design` returns: shapes of one size, which print as a table."""

from __future__ import annotations

from dataclasses import dataclass

from nasjac.architecture.spec import Spec
from nasjac.foundation.text_tables import text_lines
from nasjac.models.result import Result
from nasjac.searching import design_page


@dataclass(frozen=True)
class DesignedShape:
    """One shape.

    Attributes:
        key: Of its Spec.
        depth: Residual blocks.
        width: Units, or channels of the first stage.
        params: Trainable parameters of the blocks.
        all_params: Those of embedding, stem, last norm and readout included.
        flops: Of the blocks in one forward pass of one sample, a multiply-add counted as two.
        effective_depth: Mean length of gradient paths, weighed by their energy.
        mean_log: E log 𝒥 from h_0 to h_L in nats, 0 where signals keep their size; None where it is not finite.
        standard_error: Of `mean_log`, so that 1.96 of it to both sides cover in 95% of cases; 0 of a closed form.
        source: closed form, sampled, or sampled at a smaller width.
        narrowing: What halving that smaller width once more changes, which estimates what the full width would; None where
            the width is the full one.
        training_bytes: What a step of AdamW at the batch takes in float32.
        spec: The architecture.
    """

    key: str
    depth: int
    width: int
    params: int
    all_params: int
    flops: int
    effective_depth: float
    mean_log: float | None
    standard_error: float | None
    source: str
    narrowing: float | None
    training_bytes: int
    spec: Spec


@dataclass(frozen=True, repr=False)
class Design(Result):
    """Shapes of one size.

    Attributes:
        space: The name of the space.
        batch: Samples, or sequences, of a training step.
        inputs: Features of a sample, numbers of an image, or ids in the vocabulary.
        outputs: Classes, or ids in the vocabulary.
        counts: Which parameters the size counts, blocks or all.
        shapes: From shallow to deep.
    """

    space: str
    batch: int
    inputs: int
    outputs: int
    counts: str
    shapes: tuple[DesignedShape, ...]

    def as_text(self) -> str:
        """Return the table of shapes, a line each."""
        rows = [list(row.values()) for row in design_page.rows(self)]
        columns = list(design_page.rows(self)[0])
        lines = "".join(text_lines(columns, rows)).rstrip("\n")
        pages = [str(path) for path in self.files.values() if path.suffix == ".html"]
        return "\n".join([lines, *design_page.notes(self), *(f"Page: {path}" for path in pages)])
