"""What a value's last digits depend on beside the architecture: the version of torch, the processor, its instructions."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

#: sets what the matrix products of a CPU may use, where it is set
INSTRUCTIONS = "MKL_ENABLE_INSTRUCTIONS"


def fingerprint(device: torch.device | str = "cpu") -> str:
    """Return what computes, such as "torch 2.13.0+cpu; Intel(R) Xeon(R) Processor; AVX512".

    Values of unlike fingerprints differ by rounding, by about 1e-7 in float32. Nothing in it depends on load or threads.
    """
    place = torch.device(device)
    if place.type == "cuda":
        major, minor = torch.cuda.get_device_capability(place)
        parts = [torch.cuda.get_device_name(place), f"compute capability {major}.{minor}"]
    else:
        parts = [processor(), torch.backends.cpu.get_cpu_capability()]
        if INSTRUCTIONS in os.environ:
            parts.append(f"{INSTRUCTIONS}={os.environ[INSTRUCTIONS]}")
    return "; ".join([f"torch {torch.__version__}", *parts])


def processor(cpuinfo: str | Path = "/proc/cpuinfo") -> str:
    """Return the processor's model; where the system has no file of that or it names none (ARM), what Python says."""
    path = Path(cpuinfo)
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    named = (value.strip() for name, _, value in pairs if name.strip() == "model name")
    return next(filter(None, named), platform.processor() or platform.machine())
