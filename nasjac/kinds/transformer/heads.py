"""How many heads the attention of a searched transformer has."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nasjac.architecture.space import Trial


def number_of_heads(
    heads: Sequence[int] | None, usual: Sequence[int], sizes: Sequence[int], trial: Trial, is_large: bool, sharing: int
) -> tuple[Callable[[int], int], int]:
    """Return a trial's number of heads, of the width, and a number that divides it at every width.

    Args:
        heads: Numbers to choose from; None for those of `usual`, or for heads of about one of `sizes` units where a large
            size is asked for.
        usual: Numbers of heads of small architectures.
        sizes: Units of a head of large ones.
        trial: What chooses.
        is_large: Whether a large size is asked for.
        sharing: How many heads are to share keys and values; where heads follow the width they are a multiple of it.
    """
    if heads is None and is_large:
        size: int = trial.suggest_categorical("head_size", sizes)
        return lambda width: _near(width, width / size, sharing), 1
    number: int = trial.suggest_categorical("heads", heads or usual)
    return lambda _: number, number


def _near(width: int, wanted: float, sharing: int) -> int:
    """The divisor of half an even width that is nearest in ratio to what is wanted, the larger of two.

    It is a multiple of `sharing` where some divisor is.
    """
    half = width // 2
    divisors = {other for small in range(1, math.isqrt(half) + 1) if half % small == 0 for other in (small, half // small)}
    divisors = {heads for heads in divisors if heads % sharing == 0} or divisors
    return min(divisors, key=lambda heads: (abs(math.log(heads / wanted)), -heads))
