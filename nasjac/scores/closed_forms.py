"""The closed forms of one Spec: its expected Jacobian norms layer by layer, without a network."""

from __future__ import annotations

from typing import Any, Literal

from nasjac.architecture.measurement import Layer, Profile
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import instance, number
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import expected_norms as expected
from nasjac.mathematics.meanfield import fluctuations
from nasjac.mathematics.meanfield.moments import MOMENTS, Array

#: what the closed forms cover, by field of a Spec
COVERED: dict[str, tuple[Any, ...]] = {
    "kind": ("residual_mlp",),
    "activation": tuple(MOMENTS),
    "ffn_ratio": (1,),
    "block": ("explicit", "leaky"),  # the Jacobian of an implicit block is an inverse
}


def uncovered(spec: Spec) -> str | None:
    """The field of `spec` that the closed forms do not cover, as a sentence; None where they cover it."""
    instance("spec", spec, Spec, "a Spec")
    for name, choices in COVERED.items():
        if getattr(spec.canonical, name) not in choices:
            return f"`{name}` must be one of {', '.join(map(str, choices))} for a closed form, got {getattr(spec, name)!r}"
    return None


def expected_norms(spec: Spec, stream_variance: float = 1.0) -> Profile:
    """Closed-form norms of a Spec, from a stream h_0 of second moment `stream_variance` per unit.

    `log_mean` is log E 𝒥 over weights, and over skip patterns if the Spec is an ensemble. `mean_log` is there where the
    second moments are exact too: log E 𝒥 − ½ ln(1 + cv²), under the log-normal law (Hanin & Nica 2020). Standard errors
    are 0. ValueError: the closed forms do not cover the Spec.

    >>> from nasjac import Block
    >>> [round(layer.log_mean, 4) for layer in expected_norms(Spec(8, (Block(),) * 2)).layers]
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


def _layers(direction: Literal["forward", "backward"], log_mean: Array, spread: Array, exact: bool) -> list[Layer]:
    return [
        Layer(f"h_{number}", direction, float(mean), float(mean_of_log(mean, gap)) if exact else None, 0.0)
        for number, (mean, gap) in enumerate(zip(log_mean, spread, strict=True))
    ]
