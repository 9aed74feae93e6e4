"""How much memory a device has to give, and whether an error says that it had none."""

from __future__ import annotations

import os

import torch


def free(device: torch.device) -> int:
    """Return the bytes that can be had: a GPU's free memory, otherwise what the system calls available."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except FileNotFoundError:  # not Linux: half of the machine
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an allocation failed, on a GPU or the CPU; torch has a type for the first alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
