"""theory: the closed forms of one architecture, as numbers and figures, in a moment and without building it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from nasjac.architecture.space import Space
from nasjac.architecture.spec import MOST_BLOCKS, MOST_SIZE, Spec, check_choice
from nasjac.foundation import arguments
from nasjac.foundation.atomic_files import check_replaceable, replace_folder
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.kinds.facts import columns, facts
from nasjac.mathematics.gradient_paths import count_paths, path_lengths
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import Columns, block_energies, fluctuations
from nasjac.mathematics.meanfield.critical import DEEPEST, critical_densities, critical_gain, norms_over_density
from nasjac.mathematics.meanfield.expected import expected_norms, model_error
from nasjac.models import closed_form_figures as closed_forms
from nasjac.reporting.wording import EFFECTIVE_DEPTH, EFFECTIVE_RANK
from nasjac.scores.closed_forms import COVERED, uncovered

#: densities at which 𝒥(s) is drawn
DENSITIES = 41
#: Python writes whole numbers of at most 4,300 digits
MOST_LOG2_PATHS = 14_000


@dataclass(frozen=True)
class Theory:
    """The closed forms of one architecture by name, and the figures that show them."""

    summary: Mapping[str, Any]
    files: Mapping[str, Path]


class Given:
    """A trial whose choices are given, or typical of the space; a space may say what is by an attribute `typical`."""

    def __init__(self, choices: Mapping[str, Any], typical: Mapping[str, Any]) -> None:
        self._choices, self._typical = choices, typical
        self.asked: list[str] = []

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number; the range is the search's and does not bind."""
        return _whole(name, self._value(name, low))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A number; the range is the search's and does not bind."""
        value = self._value(name, low)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise InputError(f"`{name}` must be a number, got {value!r}")
        return float(value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices, or of what a closed form covers beyond what is searched; of whole numbers, any."""
        value = self._value(name, choices[0])
        if all(isinstance(choice, int) and not isinstance(choice, bool) for choice in choices):
            return _whole(name, value)
        check_choice(name, value, dict.fromkeys((*choices, *COVERED.get(name, ()))))
        return value

    def _value(self, name: str, otherwise: Any) -> Any:
        self.asked.append(name)
        return self._choices.get(name, self._typical.get(name, otherwise))


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"`{name}` must be a whole number of at least 0, got {value!r}")
    arguments.whole(name, value, 0, MOST_BLOCKS if name.startswith("depth") else MOST_SIZE)
    return value


def spec_of(space: Space, choices: Mapping[str, Any]) -> Spec:
    """The architecture of a space with these choices. ValueError: a choice that the space does not know, or a bad value."""
    trial = Given(choices, getattr(space, "typical", {}))
    spec = space(trial)
    for name in choices:
        if name not in trial.asked:
            near = "".join(f", did you mean {other}?" for other in get_close_matches(name, trial.asked, n=1))
            asked = ", ".join(dict.fromkeys(trial.asked))
            raise InputError(f"`{name}` must be an option or one of the space's choices, {asked}, got neither{near}")
    return spec


def theory(spec: Spec, stream_variance: float = 1.0, out: str | Path | None = None) -> Theory:
    """What the closed forms say of `spec`, drawn into the folder `out`/KEY unless that is None.

    `stream_variance` is the second moment per unit of the stream h_0. In the summary, which `format=json` prints, layers
    are h_0 ... h_L of the L blocks that are not pruned, and logarithms natural:

    `log_norm`          log E 𝒥 from h_0 to h_L; `forward_log_norm` to, and `backward_log_norm` from, each layer
    `growth_per_block`  mean change of log E 𝒥 from h_0 by a block of the second half, (log 𝒥_L − log 𝒥_L/2) / (L − ⌊L/2⌋):
                        0 where the norm keeps still, ln 2 where every block doubles it; null without blocks
    `log_log_exponent`  by which power of depth it grows there, (log 𝒥_L − log 𝒥_L/2) / ln(L / ⌊L/2⌋)

    InputError: the closed forms do not cover the spec, or `out` cannot be written.
    """
    if reason := uncovered(spec):
        raise InputError(reason)
    whole = spec.canonical
    summary = {**_norms(whole, stream_variance), **_paths(whole, stream_variance), **_critical(whole, stream_variance)}
    if out is None:
        return Theory(summary, {})
    folder = Path(out) / whole.key
    check_replaceable(folder)
    densities = np.linspace(0, 1, DENSITIES)
    chain = columns([whole])
    shallow = 0 < chain.depth <= DEEPEST or (chain.depth and bool(chain.homogeneous.all()))
    curves = norms_over_density(chain, densities, stream_variance) if shallow else None
    files = closed_forms.draw(summary, densities, curves)
    replace_folder(folder, files, earlier=closed_forms.FILES)
    return Theory(summary, {name: folder / name for name in files})


def _norms(spec: Spec, stream_variance: float) -> dict[str, Any]:
    chain, depth = columns([spec]), len(spec.blocks)
    means, spread = expected_norms(chain, stream_variance), fluctuations(chain, spec.width, stream_variance)
    forward, backward, exact = means.forward[0], means.backward[0], bool(means.exact[0])
    known = bool(spread.exact[0])
    half = depth // 2
    return {
        "key": spec.key,
        "spec": spec.content,
        "exact": exact,
        "model_error": float(model_error(means.exact, depth, spec.width)[0]),
        "log_norm": float(forward[-1]),
        "mean_log_norm": float(mean_of_log(forward[-1], spread.forward[0, -1])) if known else None,
        "sd_log_norm": math.sqrt(spread.forward[0, -1]) if known else None,
        "log_rank": float(spread.log_effective_rank[0]) if known else None,
        "typical_log_norm": float(means.forward_typical[0, -1]),
        "sd_log_norm_patterns": math.sqrt(means.gate_variance[0]) if spec.is_ensemble else None,
        "growth_per_block": float(forward[-1] - forward[half]) / (depth - half) if depth else None,
        "log_log_exponent": float(forward[-1] - forward[half]) / math.log(depth / half) if half else None,
        "forward_log_norm": forward.tolist(),
        "backward_log_norm": backward.tolist(),
        "forward_typical_log_norm": means.forward_typical[0].tolist(),
        "backward_typical_log_norm": means.backward_typical[0].tolist(),
    }


def _paths(spec: Spec, stream_variance: float) -> dict[str, Any]:
    share = block_energies(columns([spec]), stream_variance).share[0]
    lengths, [known] = path_lengths(share), facts([spec])
    paths: float | None
    if spec.is_ensemble:  # their expected number
        paths = 2.0**known.log2_paths if known.log2_paths < 1024 else None
    else:  # exact, as far as Python prints a whole number
        ways = count_paths([block.skip > 0 for block in spec.blocks], [True] * len(spec.blocks))
        paths = ways if known.log2_paths < MOST_LOG2_PATHS else None
    return {
        "effective_depth": lengths.effective_depth,
        "nonlinear_effective_depth": known.nonlinear_effective_depth,
        "path_length_variance": lengths.variance,
        "path_entropy": lengths.entropy,
        "paths": paths,
        "log2_paths": known.log2_paths,
        "path_length_probability": lengths.probability.tolist(),
    }


def _critical(spec: Spec, stream_variance: float) -> dict[str, Any]:
    chain = columns([spec])
    annealed, quenched = critical_densities(chain, stream_variance)
    return {
        "s_annealed": annealed.density,
        "s_annealed_reason": annealed.reason,
        "s_quenched": quenched.density,
        "s_quenched_reason": quenched.reason,
        **_critical_weights(spec, chain),
    }


def _critical_weights(spec: Spec, chain: Columns) -> dict[str, Any]:
    """The weight variance of each matrix at which the architecture's own branches in a row, without skips, have 𝒥 = 1.

    `critical_weight_variance` is weight_gain². It holds at every size of the stream for relu and linear; for others, whose
    `critical_stream_variance` is 0, as the stream's size goes to 0.
    """
    reason = None
    if not chain.depth:
        reason = "every branch is pruned: 𝒥 = 1 at any weight variance"
    elif chain.uses_norm[0]:
        reason = "with norms a chain without skips is critical at every weight variance (relu, linear) or at none"
    if reason is not None:
        return {
            "critical_weight_variance": None,
            "critical_stream_variance": None,
            "critical_weight_variance_reason": reason,
        }
    # their product counts alone: relu and linear are homogeneous, and so are the others at K* = 0
    scale = math.exp(float(np.log(chain.scale[0]).mean()))
    gain = critical_gain(spec.activation, two_matrix=spec.branch == "two_matrix", scale=scale)
    assert gain is not None  # without bias every activation has one
    return {
        "critical_weight_variance": gain.weight_variance,
        "critical_stream_variance": gain.fixed_point,
        "critical_weight_variance_reason": None,
    }


def as_text(found: Theory, points: int = 9) -> str:
    """Two tables, the architecture's figures and its norms at about `points` layers; then why a figure is missing."""
    summary = found.summary
    rows = [[name, _shown(name, summary)] for name in SHOWN if summary[name] is not None]
    layers = sorted({round(layer) for layer in np.linspace(0, len(summary["forward_log_norm"]) - 1, points)})
    names = ("forward_log_norm", "backward_log_norm", "forward_typical_log_norm", "backward_typical_log_norm")
    profile = [[f"h_{layer}", *(summary[name][layer] for name in names)] for layer in layers]
    parts = [as_table(("closed form", "value"), rows).rstrip(), as_table(("layer", *names), profile).rstrip()]
    reasons = {name: summary[f"{name}_reason"] for name in ("s_annealed", "s_quenched", "critical_weight_variance")}
    missing = [f"no {name}: {reason}" for name, reason in reasons.items() if reason]
    parts += ["\n".join(missing)] if missing else []
    parts += ["\n".join([GROWTH, *([EFFECTIVE_RANK] if summary["log_rank"] is not None else []), EFFECTIVE_DEPTH])]
    parts += [f"Figures: {', '.join(map(str, found.files.values()))}"] if found.files else []
    return "\n\n".join(parts)


#: what a table has to say of growth
GROWTH = (
    "growth_per_block: mean change of log E 𝒥 by a block of the second half, in nats; log_log_exponent: the power of depth "
    "by which it grows there."
)
#: what the table shows, in its order
SHOWN = (
    *("key", "exact", "model_error", "log_norm", "typical_log_norm", "sd_log_norm_patterns", "mean_log_norm"),
    *("sd_log_norm", "log_rank", "growth_per_block", "log_log_exponent", "effective_depth"),
    *("nonlinear_effective_depth", "paths", "log2_paths", "path_entropy", "s_annealed", "s_quenched"),
    "critical_weight_variance",
)


def _shown(name: str, summary: Mapping[str, Any]) -> str:
    value = summary[name]
    if name == "exact":
        return "at every width" if value else "for N → ∞"
    if name == "model_error" and value:
        return f"{cell(value)} (usual size at this width, no bound)"
    if name == "critical_weight_variance":
        where = "" if summary["critical_stream_variance"] is None else ", tiny stream"
        return f"{cell(value)} (each matrix, no skips{where})"
    return cell(value)
