"""Independent work side by side: on a CPU one thread each, instead of all threads inside each small product.

That is at least as fast for products of the size here, does not stall where another process wants a core (a thread that
waits for its sisters spins), and no value depends on the number of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import torch

_TURN = Lock()
#: numbers of a tensor that one thread deals with as fast as several
SMALL = 2**16


@contextmanager
def workers(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Give a pool with as many workers as torch has threads (one on a GPU), in which torch uses one thread each.

    Torch's number of threads belongs to the process, so one block at a time has its turn. Where a block ends with an
    exception, work that has not begun is dropped.
    """
    with _TURN:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        # OpenMP keeps the number by thread: each worker has to be told
        count = threads if device.type == "cpu" else 1
        pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=sys.exc_info()[0] is not None)
            torch.set_num_threads(threads)


@contextmanager
def one_thread(numbers: int) -> Iterator[None]:
    """Let torch use one thread within the block if tensors have at most `SMALL` numbers.

    Where another process wants the cores, threads that wait for each other cost far more than such products take.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if numbers <= SMALL else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
