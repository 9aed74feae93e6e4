"""theory: the closed forms of one architecture, as numbers and figures, without building it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nasjac.architecture.spec import Spec
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns, facts
from nasjac.mathematics.gradient_paths import count_paths, path_lengths
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import Columns, block_energies, fluctuations
from nasjac.mathematics.meanfield.critical import DEEPEST, critical_densities, critical_gain, norms_over_density
from nasjac.mathematics.meanfield.expected import expected_norms, model_error
from nasjac.models import closed_form_figures
from nasjac.models.closed_forms import ChainNorms, Criticality, Paths, Theory
from nasjac.scores.closed_forms import uncovered

#: densities at which 𝒥(s) is drawn
DENSITIES = 41
#: Python writes whole numbers of at most 4,300 digits
MOST_LOG2_PATHS = 14_000


def theory(spec: Spec, stream_variance: float = 1.0, out: str | Path | None = None) -> Theory:
    """Return what the closed forms say of an architecture, without building it.

    Args:
        spec: The architecture.
        stream_variance: The second moment per unit of the stream h_0.
        out: A folder, in which figures go into one named by the architecture's key; nothing is written without it.

    Returns:
        Norms layer by layer, gradient paths and critical points; it prints as tables.

    Raises:
        InputError: The closed forms do not cover the architecture, or `out` cannot be written.

    Source: Doshi, He & Gromov 2023 (arXiv:2111.12143); Veit, Wilber & Belongie 2016 (paths).

    >>> from nasjac import Block
    >>> round(theory(Spec.of(width=64, blocks=(Block(),) * 2)).norms.log_norm, 4)
    0.8109
    """
    if reason := uncovered(spec):
        raise InputError(reason)
    spec = spec.canonical
    found = Theory(spec, _norms(spec, stream_variance), _paths(spec, stream_variance), _critical(spec, stream_variance))
    if out is None:
        return found
    folder = Path(out) / spec.key
    check_replaceable(folder)
    densities, chain = np.linspace(0, 1, DENSITIES), columns([spec])
    shallow = 0 < chain.depth <= DEEPEST or (chain.depth and bool(chain.homogeneous.all()))
    curves = norms_over_density(chain, densities, stream_variance) if shallow else None
    return found.written(folder, closed_form_figures.draw(found, densities, curves), earlier=closed_form_figures.FILES)


def _norms(spec: Spec, stream_variance: float) -> ChainNorms:
    chain, depth = columns([spec]), len(spec.blocks)
    means, spread = expected_norms(chain, stream_variance), fluctuations(chain, spec.width, stream_variance)
    forward, backward, exact = means.forward[0], means.backward[0], bool(means.exact[0])
    known = bool(spread.exact[0])
    half = depth // 2
    return ChainNorms(
        exact=exact,
        model_error=float(model_error(means.exact, depth, spec.width)[0]),
        log_norm=float(forward[-1]),
        mean_log_norm=float(mean_of_log(forward, spread.forward[0])[-1]) if known else None,
        sd_log_norm=math.sqrt(spread.forward[0, -1]) if known else None,
        log_rank=float(spread.log_effective_rank[0]) if known else None,
        typical_log_norm=float(means.forward_typical[0, -1]),
        sd_log_norm_patterns=math.sqrt(means.gate_variance[0]) if spec.is_ensemble else None,
        growth_per_block=float(forward[-1] - forward[half]) / (depth - half) if depth else None,
        log_log_exponent=float(forward[-1] - forward[half]) / math.log(depth / half) if half else None,
        forward_log_norm=forward.tolist(),
        backward_log_norm=backward.tolist(),
        forward_typical_log_norm=means.forward_typical[0].tolist(),
        backward_typical_log_norm=means.backward_typical[0].tolist(),
    )


def _paths(spec: Spec, stream_variance: float) -> Paths:
    share = block_energies(columns([spec]), stream_variance).share[0]
    lengths, [known] = path_lengths(share), facts([spec])
    paths: float | None
    if spec.is_ensemble:  # their expected number
        paths = 2.0**known.log2_paths if known.log2_paths < 1024 else None
    else:  # exact, as far as Python prints a whole number
        ways = count_paths([block.skip > 0 for block in spec.blocks], [True] * len(spec.blocks))
        paths = ways if known.log2_paths < MOST_LOG2_PATHS else None
    return Paths(
        effective_depth=lengths.effective_depth,
        nonlinear_effective_depth=known.nonlinear_effective_depth,
        path_length_variance=lengths.variance,
        path_entropy=lengths.entropy,
        paths=paths,
        log2_paths=known.log2_paths,
        path_length_probability=lengths.probability.tolist(),
    )


def _critical(spec: Spec, stream_variance: float) -> Criticality:
    chain = columns([spec])
    annealed, quenched = critical_densities(chain, stream_variance)
    return Criticality(*annealed, *quenched, *_critical_weights(spec, chain))  # type: ignore[arg-type]


def _critical_weights(spec: Spec, chain: Columns) -> tuple[float | None, float | None, str | None]:
    """The critical weight variance, the size of the stream at which it holds, and why there is none."""
    if not chain.depth:
        return None, None, "every branch is pruned: 𝒥 = 1 at any weight variance"
    if chain.uses_norm[0]:
        reason = "with norms a chain without skips is critical at every weight variance (relu, linear) or at none"
        return None, None, reason
    # their product counts alone: relu and linear are homogeneous, and so are the others at K* = 0
    scale = math.exp(float(np.log(chain.scale[0]).mean()))
    gain = critical_gain(chain.activation[0], two_matrix=bool(np.asarray(chain.two_matrix).item()), scale=scale)
    assert gain is not None  # without bias every activation has one
    return gain.weight_variance, gain.fixed_point, None
