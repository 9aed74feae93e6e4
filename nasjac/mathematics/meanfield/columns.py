"""Many residual chains as columns of arrays: what the closed forms take instead of networks.

Letters: B architectures, L blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasjac.foundation.arguments import array, instance, items, number, real, shown
from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.moments import MOMENTS, Array

Mask = NDArray[np.bool_]
PER_BLOCK = ("keep", "skip", "scale", "strength", "norm_gain")


@dataclass(frozen=True)
class Columns:
    """Chains of residual blocks x' = norm_sum(μ g x + scale · norm_branch(F(norm_input(x)))), F = W2 φ(W1 ·) or W φ(·).

    Numbers may be given as scalars or arrays that broadcast to [B] or [B, L]. Weights have variance weight_gain² / fan_in.

    `activation`   [B] names, of `nasjac.mathematics.meanfield.moments.MOMENTS`
    `two_matrix`   [B] whether F has two matrices
    `weight_gain`  [B]
    `on_input`, `on_branch`, `on_sum`   [B] which norms are there (LayerNorm and RMSNorm agree at infinite width)
    `keep`         [B, L] probability that the branch is there; without it the block is the identity, norms included
    `skip`         [B, L] probability of g = 1, that a block with a branch keeps its identity path
    `scale`        [B, L] factor on the branch output; 0 (SkipInit, ReZero) where the identity is certain
    `strength`     [B, L] μ, factor on the identity path; DeepNorm is `on_sum` with μ = α and weight_gain = β
    `norm_gain`    [B, L] gain γ of the norm on the input; LayerNorm scaling is 1/√l
    `inner_bias`, `outer_bias`   [B] variances of the biases of W1 and of W2 (or W)
    `norm_eps`     ε of the norms
    """

    activation: Sequence[str]
    two_matrix: Mask
    weight_gain: Array
    on_input: Mask
    on_branch: Mask
    on_sum: Mask
    keep: Array
    skip: Array
    scale: Array
    strength: Array = 1.0  # type: ignore[assignment]
    norm_gain: Array = 1.0  # type: ignore[assignment]
    inner_bias: Array = 0.0  # type: ignore[assignment]
    outer_bias: Array = 0.0  # type: ignore[assignment]
    norm_eps: float = 0.0

    def __post_init__(self) -> None:
        names = np.asarray(items("activation", self.activation, str, "names of activations"), dtype=np.str_)
        for name in sorted({str(name) for name in names}):
            if name not in MOMENTS:
                raise InputError(f"`activation` must be one of {', '.join(MOMENTS)}, got {shown(name)}")
        object.__setattr__(self, "activation", names)
        object.__setattr__(self, "norm_eps", number("norm_eps", self.norm_eps, 0.0))
        if real("keep", self.keep).ndim < 1:
            raise InputError(f"`keep` must be [architectures, blocks] or [blocks], got {shown(self.keep)}")
        rows, depth = len(self.activation), np.shape(real("keep", self.keep))[-1]
        for name in ("two_matrix", "on_input", "on_branch", "on_sum"):
            self._set(name, bool, (rows,))
        for name in ("weight_gain", "inner_bias", "outer_bias"):
            self._set(name, float, (rows,))
        for name in PER_BLOCK:
            self._set(name, float, (rows, depth))
        self._check("keep", low=0.0, high=1.0)
        self._check("skip", low=0.0, high=1.0)
        for name in ("scale", "strength", "inner_bias", "outer_bias", "norm_eps"):
            self._check(name, low=0.0)
        self._check("weight_gain", low=1e-9, high=1e9)  # its fourth power times any stream stays a double
        self._check("norm_gain", low=0.0, open_low=True)
        cut = (self.keep > 0) & ((self.skip < 1) | (self.strength == 0))
        if (self.scale[cut] == 0).any():
            raise InputError("`scale` must be greater than 0 where the identity path may be cut, got 0")

    def __len__(self) -> int:
        return len(self.activation)

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return int(self.keep.shape[1])

    @property
    def uses_norm(self) -> Mask:
        """[B] whether a block has any norm."""
        return self.on_input | self.on_branch | self.on_sum

    @property
    def homogeneous(self) -> Mask:
        """[B] where no block's energy depends on the size of the stream: relu or linear, no norm."""
        return np.isin(self.activation, ("relu", "linear")) & ~self.uses_norm

    @property
    def random_gates(self) -> Mask:
        """[B] where some gate is neither certain nor impossible."""
        random = ((self.keep > 0) & (self.skip > 0) & (self.skip < 1)) | ((self.keep > 0) & (self.keep < 1))
        return np.asarray(random.any(axis=1))

    @property
    def exact(self) -> Mask:
        """[B] where the expected norm holds at every finite width, and not only for N → ∞.

        linear: independent zero-mean weights. relu: flipping the sign of a row of W1 flips its gate and nothing else, so
        gates are fair coins; in W relu(x) + x the gate is the sign of x itself, which is why that one needs no skips.
        """
        gateless = self.activation == "linear"
        fair = (self.activation == "relu") & (self.two_matrix | ~((self.keep > 0) & (self.skip > 0)).any(axis=1))
        return np.asarray(((gateless | fair) & ~self.uses_norm) | ~(self.keep > 0).any(axis=1))

    def by_activation(self, law: Callable[..., Array], *values: Array) -> Array:
        """Return [..., B] what `law` gives for the name of each architecture's activation and its values [..., B]."""
        found = np.empty_like(values[0])
        for name in np.unique(self.activation):
            rows = self.activation == name
            found[..., rows] = law(str(name), *(value[..., rows] for value in values))
        return found

    def take(self, rows: NDArray[np.intp] | Mask, depth: int | None = None) -> Columns:
        """The chosen rows, with the first `depth` blocks (all unless given)."""
        names = [entry.name for entry in fields(self) if entry.name != "norm_eps"]
        taken: dict[str, Any] = {name: np.asarray(getattr(self, name))[rows] for name in names}
        taken |= {name: taken[name][:, :depth] for name in PER_BLOCK}
        return replace(self, **taken)

    def _set(self, name: str, kind: type, shape: tuple[int, ...]) -> None:
        value: NDArray[Any] = real(name, getattr(self, name)).astype(kind)
        if value.ndim == 1 and len(shape) == 2 and value.shape == shape[:1]:
            value = value[:, None]
        try:
            object.__setattr__(self, name, np.broadcast_to(value, shape))
        except ValueError as error:
            raise InputError(f"`{name}` must have a shape that fits {list(shape)}, got {list(value.shape)}") from error

    def _check(self, name: str, low: float, high: float = np.inf, open_low: bool = False) -> None:
        value = np.asarray(getattr(self, name))
        wrong = ~np.isfinite(value) | (value < low) | (value > high) | (open_low & (value == low))
        if wrong.any():
            least = f"greater than {low:g}" if open_low else f"of at least {low:g}"
            rule = f"numbers in [{low:g}, {high:g}]" if high < np.inf else f"finite numbers {least}"
            raise InputError(f"`{name}` must hold {rule}, got {float(value[wrong].flat[0])!r}")


def positive(name: str, value: ArrayLike, columns: Columns) -> Array:
    """[B] finite numbers above 0, one or one an architecture. InputError: they are not, or `columns` are no Columns."""
    instance("columns", columns, Columns, "nasjac.mathematics.meanfield.Columns")
    found = array(name, value)
    if found.shape not in ((), (1,), (len(columns),)):
        raise InputError(f"`{name}` must be one number or one for each of {len(columns)} chains, got shape {found.shape}")
    wrong = ~(np.isfinite(found) & (found > 0))
    if wrong.any():
        raise InputError(f"`{name}` must hold finite numbers greater than 0, got {float(found[wrong][0])!r}")
    return np.broadcast_to(found, (len(columns),))
