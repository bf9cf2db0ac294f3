"""Decoding in a process of its own, where a decoder may take whatever it wants without harm.

Contract: `decode_apart` gives what `ChunkDecoder.decode` gives, or raises a `RefmakerError`: of a decoder that takes
too much memory or time too, or that crashes. Processes are started when they are needed, kept for the next chunk, and
never more than `MOST`; one that was lost is replaced. They end with whoever started them. On systems without
`resource`, only crashes and time are bounded.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import struct
import subprocess
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.codecs.config import Plan, plan_to_json
from refmaker.errors import FormatError, Unsupported
from refmaker.processes import start

__all__ = ["HEAD", "decode_apart", "most_memory", "most_seconds"]

MOST = 4
"""Processes at a time."""
HEAD = struct.Struct("<QQdQ")
"""Before a chunk: bytes of the plan and of the chunk, seconds and bytes of memory that it may take."""
ANSWER = struct.Struct("<BQ")
"""Before an answer: 0 for a decoded chunk, 1 for an error that follows as JSON; and the bytes of either."""
_WHAT = "HDF5 chunk"
_SLOWEST = 1 << 22  # bytes a second
_PATIENCE = 15.0  # a machine with other things to do
_GRACE = 5.0


def most_seconds(plan: Plan) -> float:
    """Return the time that a chunk may take."""
    return limits.DECODER_TIME + (plan.stored_size + plan.decoded_size) / _SLOWEST


def most_memory(plan: Plan, stored: int) -> int:
    """Return the memory that a chunk of so many stored bytes may take."""
    return limits.DECODER_MEMORY + 4 * (plan.stored_size + plan.decoded_size + stored)


def decode_apart(plan: Plan, data: memoryview, out: npt.NDArray[np.uint8]) -> None:
    """Decode one chunk in another process.

    Parameters
    ----------
    data, out
        As of `ChunkDecoder.decode`.

    Raises
    ------
    FormatError
        The bytes do not decode to a chunk, or not with the memory and the time that a chunk may take.
    Unsupported
        A filter is not available to the process, or no process can be started.
    """
    child = _pool.take()
    try:
        child.decode(plan, data, out)
    except _Lost as lost:
        child.close()
        reason = f"its decoder needs too much memory or time, or fails ({lost})"
        raise FormatError(reason, structure=_WHAT, got=f"{len(data)} bytes") from None
    except (FormatError, Unsupported):
        _pool.give_back(child)
        raise
    except BaseException:  # in the middle of an answer, as Ctrl-C may be
        child.close()
        raise
    else:
        _pool.give_back(child)
    finally:
        _pool.places.release()


class _Lost(Exception):
    """A process did not answer."""


class _Child:
    """A process and the connection to it."""

    def __init__(self) -> None:
        # Threads of the decoders would each reserve memory of their own.
        single = dict.fromkeys(("OMP_NUM_THREADS", "BLOSC_NTHREADS", "MALLOC_ARENA_MAX", "OPENBLAS_NUM_THREADS"), "1")
        try:
            self.process, self.connection = start("refmaker.codecs.child_main", quiet=True, environment=single)
        except (OSError, ValueError) as error:
            raise Unsupported(f"a process to decode chunks in cannot be started: {error}", structure=_WHAT) from error

    def decode(self, plan: Plan, data: memoryview, out: npt.NDArray[np.uint8]) -> None:
        """Send a chunk, and wait for the answer."""
        text = json.dumps(plan_to_json(plan)).encode()
        seconds = most_seconds(plan)
        self.connection.settimeout(seconds * _PATIENCE)
        try:
            self.connection.sendall(HEAD.pack(len(text), len(data), seconds, most_memory(plan, len(data))) + text)
            self.connection.sendall(data)
            status, size = ANSWER.unpack(self._received(bytearray(ANSWER.size)))
            if status == 0 and size == len(out):
                self._received(out.data)
                return
            if status != 1 or size > 1 << 16:
                raise _Lost("no answer")
            answer = json.loads(self._received(bytearray(size)))
        except (OSError, ValueError) as error:  # TimeoutError among them
            raise _Lost(self._end(error)) from None
        kind = {"FormatError": FormatError, "Unsupported": Unsupported}[answer.pop("kind")]
        raise kind(answer.pop("message"), structure=_WHAT, **answer)

    def _received(self, target: Any) -> Any:
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view):
            count = self.connection.recv_into(view[done:])
            if not count:
                raise ConnectionResetError
            done += count
        return target

    def _end(self, error: Exception) -> str:
        """Return how the process ended, after an error of the connection."""
        if isinstance(error, TimeoutError):
            return "no answer in time"
        with suppress(subprocess.TimeoutExpired):
            status = self.process.wait(_GRACE)
            names = {number.value: number.name for number in signal.Signals}
            return f"status {status}" if status >= 0 else f"ended by {names.get(-status, -status)}"
        return str(error)

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Leave the process to the one that this one was forked from."""
        self.connection.close()
        self.process.returncode = 0  # so that nobody waits for it


class _Pool:
    """Processes that wait for a chunk."""

    def __init__(self) -> None:
        self.idle: list[_Child] = []
        self.places = threading.BoundedSemaphore(MOST)

    def take(self) -> _Child:
        """Take a process, once one may be taken."""
        self.places.acquire()
        try:
            while True:
                try:
                    child = self.idle.pop()
                except IndexError:
                    return _Child()
                if child.process.poll() is None:
                    return child
                child.close()
        except BaseException:
            self.places.release()
            raise

    def give_back(self, child: _Child) -> None:
        """Keep a process for the next chunk."""
        self.idle.append(child)

    def close(self) -> None:
        """End all."""
        while self.idle:
            self.idle.pop().close()

    def start_over(self) -> None:
        """Forget the processes of the one that this one was forked from."""
        for child in self.idle:
            child.forget()
        self.__init__()  # type: ignore[misc]


_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.start_over)


def cpu_limit(used: float, seconds: float) -> int:
    """Return the limit of processor time, in whole seconds, for a process that has used some."""
    return math.ceil(used + seconds)
