"""What public functions take, checked at the door: whole numbers, numbers, flags, sequences, arrays.

Each function returns the value in Python's own type, so that NumPy's scalars work wherever Python's do. InputError: it is
something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.foundation.errors import InputError

T = TypeVar("T")
Kind = type[T] | tuple[type[T], ...]

#: the largest whole number of 64 bits with a sign
MOST = 2**63 - 1
#: seeds are 32 bits
LARGEST_SEED = 2**32 - 1
#: the largest width, number of tokens, of channels or of pixels in a row
LARGEST = 2**31 - 1
#: most characters of a value that an error shows
LONGEST = 120
#: NumPy's codes of whole numbers, and of all real numbers: booleans, whole numbers, floating-point numbers
WHOLE_CODES = np.typecodes["AllInteger"]
REAL_CODES = f"?{WHOLE_CODES}{np.typecodes['Float']}"
#: a number with a unit behind it; exponents of more digits are beyond every bound
_COUNT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e\+?[0-9]{1,2})?) ?([kmgb]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
#: how an array, a conversion or a nesting that cannot be read announces itself
UNREADABLE = (TypeError, ValueError, OverflowError, RuntimeError)


def shown(value: object) -> str:
    """Return the value as Python writes it, on one line and cut where it is long; its type where Python cannot."""
    if isinstance(value, int) and value.bit_length() > 8 * LONGEST:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a stranger's __repr__, or numbers and nesting inside that Python does not write
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def whole(name: str, value: object, low: int = 0, high: int = MOST) -> int:
    """Return a whole number from `low` to `high`; True and False are none."""
    if type(value) is int and low <= value <= high:  # most are
        return value
    fits = isinstance(value, Integral) and not isinstance(value, bool)
    if not fits or not low <= int(value) <= high:  # type: ignore[call-overload]
        most = f" and at most {high}" if fits and int(value) > high else ""  # type: ignore[call-overload]
        raise InputError(f"`{name}` must be a whole number of at least {low}{most}, got {shown(value)}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def count(name: str, value: object, low: int = 0, high: int = MOST) -> int:
    """Return a number of things, which may be written as people do: 100000, 1e5, "100k", "2.5M" or "1B" (10^9).

    Raises:
        InputError: It is no whole number, or is not from `low` to `high`.

    >>> count("params", "2.5M"), count("params", 2e8)
    (2500000, 200000000)
    """
    found = _COUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    exact = Fraction(found[1]) * _UNITS[found[2].lower()] if found else value
    if isinstance(exact, float | Fraction) and math.isfinite(exact) and exact == int(exact):
        exact = int(exact)
    if type(exact) is not int:
        if isinstance(value, Integral) and not isinstance(value, bool):
            return whole(name, value, low, high)
        rule = f"a whole number of at least {low}, as 100000, 1e5, 100k, 2.5M or 1B"
        raise InputError(f"`{name}` must be {rule}, got {shown(value)}")
    return whole(name, exact, low, high)


def seed(name: str, value: object) -> int:
    """Return a seed: a whole number of 32 bits, as everywhere in NumPy and Optuna."""
    return whole(name, value, 0, LARGEST_SEED)


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf, open_low: bool = False) -> float:
    """Return a finite number from `low` to `high`, without `low` where that end is open; True and False are none."""
    found = value if type(value) in (int, float) else _real(value)
    try:
        fits = found is not None and math.isfinite(found)  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond floating point
        fits = False
    if not fits or not low <= found <= high or (open_low and found == low):  # type: ignore[operator]
        raise InputError(f"`{name}` must be {_rule(low, high, open_low)}, got {shown(value)}")
    return found  # type: ignore[return-value]


def _real(value: object) -> float | None:
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a fraction beyond floating point
        return None


def _rule(low: float, high: float, open_low: bool) -> str:
    if high < math.inf:
        return f"a number in {'(' if open_low else '['}{low:g}, {high:g}]"
    if low == -math.inf:
        return "a finite number"
    return f"a finite number {'greater than' if open_low else 'of at least'} {low:g}"


def flag(name: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"`{name}` must be true or false, got {shown(value)}")
    return bool(value)


def instance(name: str, value: object, kind: Kind[T], what: str) -> T:
    """Return the value, which is of a `kind`; `what` is its name in the error."""
    if not isinstance(value, kind):
        raise InputError(f"`{name}` must be {what}, got {shown(value)}")
    return value


def items(name: str, value: object, kind: Kind[T], what: str) -> list[T]:
    """Return the items of a sequence, all of a `kind`, which the error calls `what`. A text or a mapping is no sequence."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"`{name}` must be a sequence of {what}, got {shown(value)}")
    try:
        found = list(value)
    except TypeError as error:  # an array or tensor without dimensions
        raise InputError(f"`{name}` must be a sequence of {what}, got {shown(value)}") from error
    for item in found:
        if not isinstance(item, kind):
            raise InputError(f"`{name}` must be a sequence of {what}, got {shown(item)} in it")
    return found


def array(name: str, value: Any) -> NDArray[np.float64]:
    """Return real numbers, in lists, arrays or a tensor, as an array in float64."""
    return real(name, value).astype(np.float64, copy=False)


def real(name: str, value: Any) -> NDArray[Any]:
    """Return real numbers or booleans, in lists, arrays or a tensor, as an array of their own type."""
    try:
        found = np.asarray(_plain(value))
    except UNREADABLE as error:  # rows of different lengths, too deep a nesting
        raise InputError(f"`{name}` must be real numbers in an array, got {shown(value)}") from error
    if found.dtype.char not in REAL_CODES:
        raise InputError(f"`{name}` must be real numbers in an array, got {shown(value)}")
    return found


def _plain(value: Any) -> Any:
    """What NumPy can read of a tensor: on the CPU, without a graph, in a precision that NumPy has."""
    if not isinstance(value, Tensor):
        return value
    whole = value.detach().to("cpu")
    return (whole.double() if whole.is_floating_point() else whole).numpy()


def tensor(name: str, value: Any) -> Tensor:
    """Return real numbers as a tensor in float64 on the CPU: a tensor itself where it is one already, with its graph."""
    if isinstance(value, Tensor) and value.dtype == torch.float64 and value.device.type == "cpu" and not value.is_sparse:
        return value
    return torch.from_numpy(np.array(array(name, value)))


def dense(name: str, value: object) -> Tensor:
    """Return a plain tensor, whose numbers are in memory: neither sparse nor quantized nor on the device meta."""
    found = instance(name, value, Tensor, "a tensor")
    if found.layout != torch.strided or found.is_quantized or found.is_nested or found.device.type == "meta":
        kind = "on the device meta" if found.device.type == "meta" else f"of layout {found.layout} and dtype {found.dtype}"
        raise InputError(f"`{name}` must be a tensor whose numbers are in memory one by one, got one {kind}")
    return found


def device(name: str, value: object) -> torch.device:
    """Return a device that torch can use here."""
    try:
        found = torch.device(value)  # type: ignore[call-overload]
        torch.empty(1, device=found)
    except (*UNREADABLE, AssertionError, NotImplementedError) as error:  # each backend has its own
        said = str(error).strip().splitlines()
        raise InputError(f"`{name}` must be a device that torch has here, got {shown(value)}: {said[0]}") from error
    return found  # type: ignore[no-any-return]
