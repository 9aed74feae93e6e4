"""A model in the state in which its Jacobian is taken, and put back as it was found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

#: what BatchNorm normalizes with
BATCHNORM = ("batch", "running")


@contextmanager
def undisturbed(model: nn.Module, batchnorm: str) -> Iterator[None]:
    """Dropout off, every floating-point parameter differentiable, BatchNorm with its `batch` or `running` statistics.

    Afterwards, also after an exception: training modes, buffers, gradients, requires_grad and all random states are what
    they were. Parameters are not written.
    """
    modes = [(module, module.training) for module in model.modules()]
    needed = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    with ExitStack() as stack:
        stack.enter_context(_same_randomness(model))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device, enabled=False))
        stack.callback(_restore, modes, needed, buffers)
        model.eval()
        for parameter, *_ in needed:
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        for module in batch_norms(model) if batchnorm == "batch" else ():
            module._buffers["running_mean"] = module._buffers["running_var"] = None  # then evaluation takes the batch's
        yield


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Its BatchNorm layers."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _restore(modes: list[Any], needed: list[Any], buffers: list[Any]) -> None:
    for module, mode in modes:
        module.training = mode
    for parameter, requires_grad, gradient in needed:
        parameter.requires_grad_(requires_grad)
        parameter.grad = gradient
    with torch.no_grad():
        for module, name, buffer, content in buffers:
            module._buffers[name] = buffer
            if buffer is not None and not torch.equal(buffer, content):
                buffer.copy_(content)


@contextmanager
def _same_randomness(model: nn.Module) -> Iterator[None]:
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    states = random.getstate(), np.random.get_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # it skips modules, and with them what is watched there
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        random.setstate(states[0])
        np.random.set_state(states[1])
