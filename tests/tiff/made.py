"""TIFF files made for tests, and walks over them without a scan around them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from refmaker.driver import Step
from refmaker.window import MissingBytes
from tests.windows import PagedWindow

__all__ = ["directory", "run", "run_paged"]


def directory(fields: Sequence[tuple[int, int, Sequence[int]]], at: int, following: int = 0) -> bytes:
    """Make a little-endian directory at an address, with the values that do not fit behind it."""
    forms = {1: "B", 2: "B", 3: "H", 4: "I"}
    behind = at + 2 + 12 * len(fields) + 4
    rows, values = b"", b""
    for tag, kind, numbers in fields:
        data = struct.pack(f"<{len(numbers)}{forms[kind]}", *numbers)
        if len(data) > 4:
            rows += struct.pack("<HHII", tag, kind, len(numbers), behind + len(values))
            values += data
        else:
            rows += struct.pack("<HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
    return struct.pack("<H", len(fields)) + rows + struct.pack("<I", following) + values


def run(steps: Sequence[Step]) -> None:
    """Run steps of which none misses bytes."""
    ready = list(steps)
    while ready:
        ready.extend(ready.pop(0)())


def run_paged(window: PagedWindow) -> tuple[Callable[[Sequence[Step]], None], list[int]]:
    """Return what runs steps over a window that fetches, and the number of rounds as it grows."""
    rounds: list[int] = []

    def running(steps: Sequence[Step]) -> None:
        ready: list[Any] = list(steps)
        while ready:
            blocked, missed = [], []
            while ready:
                step = ready.pop(0)
                try:
                    ready.extend(step())
                except MissingBytes as missing:
                    blocked.append(step)
                    missed.append(missing)
            for one in missed:
                window.fetch(one)
            if missed:
                rounds.append(len(missed))
            ready = blocked

    return running, rounds
