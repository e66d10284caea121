"""One thread per silo: keep the thread pools of BLAS and torch out of each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_per_silo() -> Iterator[None]:
    """Give every matrix product one thread for the time of a run.

    The matrices of a silo are small: two pools of spinning threads made one forward pass up to
    fifty times slower than a single thread does it, and silos run beside each other anyway.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
