"""What hostile input may cost in a test: processor time and memory, both measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

resource = pytest.importorskip("resource")

MEMORY = 400 << 20
SECONDS = 10.0


@contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Let allocations beyond `memory` more bytes than now fail; fail itself where it took longer than `seconds`."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    begin = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - begin < seconds


@contextmanager
def traced(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """As `bounded`, for what maps files or starts threads: memory that Python and numpy take is counted."""
    import tracemalloc

    tracemalloc.start()
    begin = time.process_time()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < seconds
    assert peak < memory
