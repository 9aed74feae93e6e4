"""The closed forms of one architecture as a result: its norms, its gradient paths, and where it would be critical."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasjac.architecture.spec import Spec
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.models.result import Result, entries_of
from nasjac.reporting.wording import EFFECTIVE_DEPTH, EFFECTIVE_RANK

#: about how many layers the table of norms shows
POINTS = 9
#: what a table has to say of growth
GROWTH = (
    "growth_per_block: mean change of log E 𝒥 by a block of the second half, in nats; log_log_exponent: the power of depth "
    "by which it grows there."
)
#: what the first table shows, in its order
SHOWN = (
    *("key", "exact", "model_error", "log_norm", "typical_log_norm", "sd_log_norm_patterns", "mean_log_norm"),
    *("sd_log_norm", "log_rank", "growth_per_block", "log_log_exponent", "effective_depth"),
    *("nonlinear_effective_depth", "paths", "log2_paths", "path_entropy", "s_annealed", "s_quenched"),
    "critical_weight_variance",
)
PROFILES = ("forward_log_norm", "backward_log_norm", "forward_typical_log_norm", "backward_typical_log_norm")


@dataclass(frozen=True)
class ChainNorms:
    """Squared Jacobian norms of the L blocks that are not pruned, layers h_0 ... h_L; natural logarithms.

    Args:
        exact: Whether the norms hold at every width, and not only for N → ∞.
        model_error: The usual size of what a finite width adds, in nats; 0 where exact.
        log_norm: log E 𝒥 from h_0 to h_L, over weights and gates.
        mean_log_norm: E log 𝒥, None where second moments are not known.
        sd_log_norm: The standard deviation of log 𝒥 over initializations, None as before.
        log_rank: log r/N of the whole Jacobian, r its effective rank, None as before.
        typical_log_norm: log E 𝒥 over weights of a typical skip pattern.
        sd_log_norm_patterns: Its standard deviation over the skip patterns of an ensemble; None without.
        growth_per_block: The mean change of log E 𝒥 from h_0 by a block of the second half, (log 𝒥_L − log 𝒥_L/2) /
            (L − ⌊L/2⌋): 0 where the norm keeps still, ln 2 where every block doubles it; None without blocks.
        log_log_exponent: By which power of depth it grows there, (log 𝒥_L − log 𝒥_L/2) / ln(L / ⌊L/2⌋).
        forward_log_norm: log E 𝒥 from h_0 to each layer, [L + 1].
        backward_log_norm: log E 𝒥 from each layer to h_L, [L + 1].
        forward_typical_log_norm: The first of a typical skip pattern.
        backward_typical_log_norm: The second of a typical skip pattern.
    """

    exact: bool
    model_error: float
    log_norm: float
    mean_log_norm: float | None
    sd_log_norm: float | None
    log_rank: float | None
    typical_log_norm: float
    sd_log_norm_patterns: float | None
    growth_per_block: float | None
    log_log_exponent: float | None
    forward_log_norm: Sequence[float]
    backward_log_norm: Sequence[float]
    forward_typical_log_norm: Sequence[float]
    backward_typical_log_norm: Sequence[float]


@dataclass(frozen=True)
class Paths:
    """The gradient paths of an architecture, weighted by their energy.

    Args:
        effective_depth: Their mean length in blocks.
        nonlinear_effective_depth: The same in blocks weighted by how nonlinear they are.
        path_length_variance: The variance of their length.
        path_entropy: How evenly energy is spread over paths, in nats.
        paths: How many there are (of an ensemble, in expectation), None where that is too large to print.
        log2_paths: The binary logarithm of that.
        path_length_probability: The share of the energy on paths of each length, [L + 1].
    """

    effective_depth: float
    nonlinear_effective_depth: float | None
    path_length_variance: float
    path_entropy: float
    paths: float | None
    log2_paths: float
    path_length_probability: Sequence[float]


@dataclass(frozen=True)
class Criticality:
    """Where the architecture's norm would neither grow nor shrink, and why there is no such place where it is None.

    Args:
        s_annealed: The skip density at which log E 𝒥 is 0.
        s_annealed_reason: Why there is none.
        s_quenched: The skip density at which a typical pattern has 𝒥 = 1.
        s_quenched_reason: Why there is none.
        critical_weight_variance: The weight_gain² at which its branches in a row, without skips, have 𝒥 = 1.
        critical_stream_variance: The size of the stream for which that holds: None where it holds at every size (relu,
            linear), 0 where it holds as the size goes to 0.
        critical_weight_variance_reason: Why there is none.
    """

    s_annealed: float | None
    s_annealed_reason: str | None
    s_quenched: float | None
    s_quenched_reason: str | None
    critical_weight_variance: float | None
    critical_stream_variance: float | None
    critical_weight_variance_reason: str | None


@dataclass(frozen=True, repr=False)
class Theory(Result):
    """What the closed forms say of one architecture.

    Args:
        spec: The architecture, in canonical form.
        norms: Its Jacobian norms.
        paths: Its gradient paths.
        critical: Where it would be critical.
    """

    spec: Spec
    norms: ChainNorms
    paths: Paths
    critical: Criticality

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield every number by its name."""
        yield from (("key", self.spec.key), ("spec", self.spec))
        for part in (self.norms, self.paths, self.critical):
            yield from entries_of(part)

    def as_text(self) -> str:
        """Return two tables, the figures and the norms at some layers; then why a figure is missing."""
        known = self.to_json()
        rows = [[name, self._shown(name, known[name])] for name in SHOWN if known[name] is not None]
        layers = sorted({round(layer) for layer in np.linspace(0, len(self.norms.forward_log_norm) - 1, POINTS)})
        profile = [[f"h_{layer}", *(known[name][layer] for name in PROFILES)] for layer in layers]
        parts = [as_table(("closed form", "value"), rows).rstrip(), as_table(("layer", *PROFILES), profile).rstrip()]
        reasons = {name: known[f"{name}_reason"] for name in ("s_annealed", "s_quenched", "critical_weight_variance")}
        if any(reasons.values()):
            parts.append("\n".join(f"no {name}: {reason}" for name, reason in reasons.items() if reason))
        parts += ["\n".join([GROWTH, *([EFFECTIVE_RANK] if self.norms.log_rank is not None else []), EFFECTIVE_DEPTH])]
        return "\n\n".join([*parts, *self._files("Figures")])

    def _shown(self, name: str, value: Any) -> str:
        if name == "exact":
            return "at every width" if value else "for N → ∞"
        if name == "model_error" and value:
            return f"{cell(value)} (usual size at this width, no bound)"
        if name == "critical_weight_variance":
            where = "" if self.critical.critical_stream_variance is None else ", tiny stream"
            return f"{cell(value)} (each matrix, no skips{where})"
        return cell(value)
