"""The closed forms of one Spec: its expected Jacobian norms layer by layer, without a network."""

from __future__ import annotations

from typing import Any, Literal

from nasjac.architecture.measurement import Layer, Profile
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import instance, number
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns
from nasjac.kinds.table import TABLE, kind_of
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import expected_norms as expected
from nasjac.mathematics.meanfield import fluctuations
from nasjac.mathematics.meanfield.moments import Array

#: the kinds that have closed forms, and what these cover, by field of their Specs
COVERED: dict[str, tuple[Any, ...]] = {"kind": tuple(name for name, kind in TABLE.items() if kind.closed_form is not None)}
COVERED |= {
    name: values for kind in TABLE.values() if kind.closed_form for name, values in kind.closed_form.covered.items()
}


def uncovered(spec: Spec) -> str | None:
    """The field of `spec` that the closed forms do not cover, as a sentence; None where they cover it."""
    closed_form = kind_of(instance("spec", spec, Spec, "a Spec")).closed_form
    if closed_form is None:
        return f"`kind` must be one of {', '.join(COVERED['kind'])} for a closed form, got {spec.kind!r}"
    return closed_form.refusal(spec)


def expected_norms(spec: Spec, stream_variance: float = 1.0) -> Profile:
    """Compute the expected squared Jacobian norms of an architecture in closed form, layer by layer.

    𝒥 = ‖∂h_k/∂h_j‖_F² / N_k of the residual stream h_0 ... h_L. `log_mean` is log E 𝒥 over weights, and over skip patterns
    if the Spec is an ensemble. `mean_log` is there where the second moments are exact too: log E 𝒥 − ½ ln(1 + cv²), under
    the log-normal law (Hanin & Nica, Communications in Mathematical Physics 376, 2020).

    Args:
        spec: Of a kind with closed forms (residual_mlp), within what these cover.
        stream_variance: The second moment per unit of h_0, above 0.

    Returns:
        The norms from h_0 to each layer (forward) and from each layer to h_L (backward), L + 1 each; standard errors are 0.
        `exact` says whether they hold at this very width, or for N → ∞.

    Raises:
        InputError: the closed forms do not cover the Spec; the sentence names the field.

    >>> from nasjac import Block
    >>> [round(layer.log_mean, 4) for layer in expected_norms(Spec.of(width=8, blocks=(Block(),) * 2)).layers]
    [0.0, 0.4055, 0.8109, 0.8109, 0.4055, 0.0]
    """
    if reason := uncovered(spec):
        raise InputError(reason)
    stream_variance = number("stream_variance", stream_variance, 0.0, open_low=True)
    chain = columns([spec])
    means, spread = expected(chain, stream_variance), fluctuations(chain, spec.width, stream_variance)
    layers = (
        *_layers("forward", means.forward[0], spread.forward[0], bool(spread.exact[0])),
        *_layers("backward", means.backward[0], spread.backward[0], bool(spread.exact[0])),
    )
    return Profile(layers, bool(means.exact[0]))


def log_relative_square(spec: Spec) -> float | None:
    """Return ln(1 + cv²) of 𝒥 of a covered Spec over draws, the variance of log 𝒥 under the log-normal law; else None.

    None where the second moments are not exact at this width.
    """
    spread = fluctuations(columns([spec]), spec.width, 1.0)
    return float(spread.forward[0][-1]) if bool(spread.exact[0]) else None


def _layers(direction: Literal["forward", "backward"], log_mean: Array, spread: Array, exact: bool) -> list[Layer]:
    return [
        Layer(f"h_{number}", direction, float(mean), float(mean_of_log(mean, gap)) if exact else None, 0.0)
        for number, (mean, gap) in enumerate(zip(log_mean, spread, strict=True))
    ]
