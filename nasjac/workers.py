"""Independent work side by side: on a CPU one thread each, instead of all threads inside each small product.

That is at least as fast for products of the size here, does not stall where another process wants a core (a thread that
waits for its sisters spins), and no value depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def workers(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """A pool with as many workers as torch has threads (one on a GPU); within the block torch uses one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads if device.type == "cpu" else 1) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
