"""A transformer as the closed forms of token Grams have it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nasjac.foundation.arguments import array, number, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.moments import MOMENTS


@dataclass(frozen=True)
class TokenStack:
    """Blocks x' = norm_sum(strength · x + scale · norm_branch(F(norm_input(x)))), F attention and then F an FFN.

    Gains are variances (of weights times fan-in), norms have no epsilon; LayerNorm and RMSNorm agree at infinite width.

    `tokens`, `depth`   T, at least 2, and the number of blocks
    `norms`             which there are: on the branch's input, on its output, on the sum
    `activation`        of the FFN; one of `nasjac.mathematics.activations.ACTIVATIONS`
    `causal`            token t attends to the first t tokens; otherwise each attends to all
    `attention_gain`    σ_a² = σ_v² σ_o²
    `inner_gain`, `outer_gain`   σ1², σ2² of the FFN. A branch of gain 0 is not there
    `correlation`       ρ of the initial tokens: Σ_0 = variance ((1 - ρ) 1 + ρ 11ᵀ), ρ in (-1/(T - 1), 1]
    `variance`          of the initial tokens
    `strength`          factor on the stream; DeepNorm (Wang et al. 2022) is post with strength α, attention_gain β⁴ and
                        inner_gain and outer_gain β², when all weights have unit variance before
    `scale`             factor on the branches, one or one a block; 1/√L, or 0 for ReZero
    `norm_gain`         gain of the norm on the branch's input, one or one a block; LN scaling (Sun et al. 2025): 1/√l
    """

    tokens: int
    depth: int
    norms: tuple[bool, bool, bool] = (True, False, False)
    activation: str = "relu"
    causal: bool = False
    attention_gain: float = 1.0
    inner_gain: float = 1.0
    outer_gain: float = 1.0
    correlation: float = 0.0
    variance: float = 1.0
    strength: float = 1.0
    scale: float | tuple[float, ...] = 1.0
    norm_gain: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        whole("tokens", self.tokens, 2)
        whole("depth", self.depth)
        if self.activation not in MOMENTS:
            raise InputError(f"`activation` must be one of {', '.join(MOMENTS)}, got {self.activation!r}")
        on_input, on_branch, _ = self.norms
        for name in ("inner_gain", "variance", "strength"):
            number(name, getattr(self, name), 0.0, open_low=True)
        for name in ("attention_gain", "outer_gain"):
            number(name, getattr(self, name), 0.0, open_low=on_branch)
        number("correlation", self.correlation, -1 / (self.tokens - 1), 1.0, open_low=True)
        for name, positive in (("scale", False), ("norm_gain", True)):
            value = array(name, getattr(self, name))
            if value.shape not in ((), (self.depth,)):
                rule = f"one number or one for each of the {self.depth} blocks"
                raise InputError(f"`{name}` must be {rule}, got {shown(getattr(self, name))}")
            for entry in value.flat:
                number(name, float(entry), 0.0, open_low=positive)
        if not on_input and (np.asarray(self.norm_gain) != 1).any():
            raise InputError(f"`norm_gain` must be 1 without a norm on the branch's input, got {shown(self.norm_gain)}")
