"""Many networks of NAS-Bench-Macro at once: weights shared, each kind of block evaluated once on the networks that use it.

What a network's layers are is what its own `MacroNetwork` makes of the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from nasjac.tables.nasbench_macro.network import CHOICES, HEAD, Macro, Place, places
from nasjac.tables.pullbacks import Weights
from nasjac.tables.routed import Operation, convolve, normalize, routed


def stem(images: Tensor, weights: Weights, channels: int) -> Tensor:
    """h_0 [B, C, H, W], the same for every network."""
    weight = weights("stem.0.weight", (channels, 3, 3, 3))
    return F.relu6(F.batch_norm(F.conv2d(images, weight, padding=1), None, None, training=True))


def body(h: Tensor, networks: Sequence[Macro], weights: Weights, channels: int) -> Tensor:
    """h_L of `networks`, [B, P, 8 channels, H/8, W/8], from their h_0 [B, P, channels, H, W]."""
    for number, place in enumerate(places(channels)):
        labels = [network.arch[number] for network in networks]
        parts = routed(h, labels, _operations(weights, f"body.{number}.layers", place))
        h = h.new_zeros(*h.shape[:2], *parts[0][1].shape[2:])
        for rows, out in parts:
            h = h.index_add(1, rows, out)
    return h


def features(h: Tensor, weights: Weights, channels: int) -> Tensor:
    """What the readout sees, [B, P, 40 channels], of h_L."""
    weight = weights("head.0.weight", (HEAD * channels, h.shape[2], 1, 1))
    return F.relu6(normalize(convolve(h, weight))).mean((3, 4))


def _operations(weights: Weights, name: str, place: Place) -> dict[str, Operation]:
    def identity(x: Tensor) -> Tensor:
        if place.keeps_shape:
            return x
        return normalize(convolve(x, weights(f"{name}.0.weight", (place.outputs, place.inputs, 1, 1)), place.stride))

    def inverted(kernel: int, expansion: int, x: Tensor) -> Tensor:
        hidden = expansion * place.inputs
        out = F.relu6(normalize(convolve(x, weights(f"{name}.0.weight", (hidden, place.inputs, 1, 1)))))
        depthwise = weights(f"{name}.3.weight", (hidden, 1, kernel, kernel))
        out = F.relu6(normalize(convolve(out, depthwise, place.stride, hidden)))
        out = normalize(convolve(out, weights(f"{name}.6.weight", (place.outputs, hidden, 1, 1))))
        return x + out if place.keeps_shape else out

    return {"0": identity, **{digit: partial(inverted, *choice) for digit, choice in CHOICES.items()}}
