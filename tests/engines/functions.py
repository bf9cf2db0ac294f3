"""What engines are given to do in these tests. Working processes import it."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any


def square(number: int) -> int:
    return number * number


def misbehave(what: Any) -> Any:
    """Do as one is told: crash, hang, fail, or give back what came."""
    if what == "crash":
        ctypes.string_at(0)
    if what == "crash once" and not _marked("crashed"):
        ctypes.string_at(0)
    if what == "hang":
        time.sleep(60)
    if what == "fail":
        raise ZeroDivisionError("nobody expected this")
    if what == "print":
        sys.stdout.write("to stdout\n")
        sys.stdout.flush()
    return what


def _marked(name: str) -> bool:
    """Return whether this was called before, in any process."""
    path = Path(os.environ["REFMAKER_TEST_MARKS"], name)
    before = path.exists()
    path.touch()
    return before


def meet(argument: tuple[str, int]) -> int:
    """Wait until so many are here together; return how many came."""
    folder, number = Path(argument[0]), argument[1]
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    until = time.monotonic() + 20
    while len(list(folder.iterdir())) < number and time.monotonic() < until:
        time.sleep(0.005)
    return len(list(folder.iterdir()))


def who(_: object) -> int:
    return os.getpid()


def linger(argument: tuple[str, str]) -> str:
    """Note that one is at work, be slow about it."""
    folder, name = argument
    Path(folder, f"{name}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(0.1)
    return name


def where(_: object) -> str:
    return os.getcwd()
