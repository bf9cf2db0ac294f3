"""Threads of our own, apart from those of event loops, which are full of what zarr decodes in them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

__all__ = ["threads"]


def threads(name: str, count: int) -> ThreadPoolExecutor:
    """Return the `count` threads of a name. A forked process has its own."""
    return _threads_of(name, count, os.getpid())


@cache
def _threads_of(name: str, count: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, f"refmaker-{name}")
