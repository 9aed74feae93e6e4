"""Checks of what is asked of a model: where the derivative starts, which layers are watched, which output counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nasjac.foundation.arguments import dense, instance, shown
from nasjac.foundation.errors import InputError
from nasjac.models.hooks import Origin, Pass
from nasjac.models.nested import floating, mapped, tensors
from nasjac.models.trace import Call, chosen, near, stream, trace
from nasjac.models.undisturbed import batch_norms

#: types of parameters in which squared norms can be told from rounding
DTYPES = (torch.float32, torch.float64)


def arguments(inputs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return positional and named arguments: a tensor is one argument, a tuple or list several, a mapping those by name."""
    if isinstance(inputs, Mapping):
        args, kwargs = (), {str(name): value for name, value in inputs.items()}
    else:
        args, kwargs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), {}
    try:
        found = [tensor for _, tensor in tensors((args, kwargs))]
    except RecursionError as error:
        raise InputError("`inputs` must be nested less deeply, got a structure without an end") from error
    if not found:
        raise InputError(f"`inputs` must be a tensor, or hold tensors (torch.as_tensor makes one), got {shown(inputs)}")
    if any(tensor.numel() == 0 for tensor in found):
        raise InputError("`inputs` must hold tensors that are not empty, got an empty one")
    if any(dense("inputs", tensor).isnan().any() for tensor in found):
        raise InputError("`inputs` must hold numbers, got NaN in them")
    return args, kwargs


def fitted(model: nn.Module, args: Any, kwargs: Any, notes: list[str]) -> tuple[Any, Any]:
    """Return the inputs in the precision of the model.

    Raises:
        InputError: They are on another device, or the model's precision is too low.
    """
    if uninitialized := [name for name, p in model.named_parameters() if is_lazy(p)]:
        raise InputError(f"`model` must have its parameters (call it once on a batch), got none yet in {uninitialized[0]}")
    weights = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    low = {name: p.dtype for name, p in weights.items() if p.dtype not in DTYPES}
    if low:
        name, dtype = next(iter(low.items()))
        raise InputError(
            f"`model` must have float32 or float64 parameters (call model.float()), got {dtype} in {name} "
            f"and {len(low) - 1} others"
        )
    given = [tensor for _, tensor in tensors((args, kwargs))]
    devices = {str(tensor.device) for tensor in given} | {str(p.device) for p in weights.values()}
    if len(devices) > 1:
        raise InputError(f"`inputs` must be on the device of the model, got {' and '.join(sorted(devices))}")
    dtype = next(iter(weights.values())).dtype if weights else torch.float32
    other = sorted({str(t.dtype) for t in given if t.is_floating_point() and t.dtype != dtype})
    if other:
        notes.append(f"inputs taken as {dtype}, the model's precision, from {' and '.join(other)}")

    def same(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype)

    return mapped(args, same), mapped(kwargs, same)


def prepared(
    model: nn.Module, args: Any, kwargs: Any, layers: str | Sequence[str] | None, origin: str | None, output: str | None
) -> Pass:
    """Return the pass to probe.

    Raises:
        InputError: A layer, origin or output does not exist, or activations are not finite.
    """
    calls, whole = trace(model, args, kwargs)
    start = _origin(calls, args, kwargs, origin)
    names = stream(calls) if layers is None else chosen(calls, layers)
    made = floating(whole)
    if not made:
        raise InputError(f"`model` must give a floating-point tensor, got {type(whole).__name__}")
    if output is not None and (not isinstance(output, str) or output not in made):
        raise InputError(f"`output` must be one of {', '.join(map(repr, made))}, got {shown(output)}")
    return Pass(model, args, kwargs, start, names, next(iter(made)) if output is None else output)


def _origin(calls: Sequence[Call], args: Any, kwargs: Any, name: str | None) -> Origin:
    """A floating-point input; or, where inputs are token ids, the output of the embedding that takes them."""
    # an input's name is its place without the first part: `0.1` is the second positional one, `1.pixel_values` one by name
    given = {place.partition(".")[2]: tensor for place, tensor in tensors((args, kwargs))}
    real = {place: tensor for place, tensor in given.items() if tensor.is_floating_point()}
    made = {call.name: call.output for call in reversed(calls) if call.name and call.output is not None}
    if name is not None:
        instance("origin", name, str, "the name of a real input or a called module")
        if name in real:
            return Origin(name, real[name], in_module=False)
        if name in made:
            return Origin(name, made[name], in_module=True)
        choices = ", ".join([*real, *near(name, list(made))])
        raise InputError(f"`origin` must be a real input or a called module, got {name!r}; near are {choices}")
    if len(real) > 1:
        raise InputError(f"`origin` must say which input is varied, one of {', '.join(real)}, got none")
    if real:
        return Origin(*next(iter(real.items())), in_module=False)
    for call in calls:
        if isinstance(call.module, nn.Embedding) and any(
            torch.equal(t, ids) for t in call.inputs for ids in given.values()
        ):
            return Origin(call.name, made[call.name], in_module=True)
    raise InputError(
        "`origin` must name the module whose output is varied, for the inputs are whole numbers and no nn.Embedding takes "
        "them as they are"
    )


def depends_on_batch(model: nn.Module, batchnorm: str) -> bool:
    """Return whether some BatchNorm of the model uses the statistics of the batch."""
    return any(batchnorm == "batch" or not norm.track_running_stats for norm in batch_norms(model))
