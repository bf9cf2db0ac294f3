"""The process that `refmaker.codecs.child` starts: it decodes one chunk after the other, within limits.

Contract: `main` answers every chunk that comes through the socket until that is closed. Before each, the limits of the
process are set to what the chunk may take: going beyond ends the process, which is what it is for.
"""

from __future__ import annotations

import json
import os
import socket
import time
from functools import lru_cache
from types import ModuleType
from typing import Any

from refmaker.codecs.child import ANSWER, HEAD, cpu_limit
from refmaker.codecs.config import plan_from_json
from refmaker.codecs.decode import ChunkDecoder
from refmaker.errors import FormatError, RefmakerError

__all__ = ["main"]

_KEPT = 16
_LONGEST = 1000


def main(descriptor: int) -> None:
    """Answer what comes through the socket `descriptor`."""
    connection = socket.socket(fileno=descriptor)
    import h5py  # noqa: F401  before memory is limited

    while True:
        head = _received(connection, HEAD.size)
        if head is None:
            return
        plan_size, size, seconds, memory = HEAD.unpack(head)
        _limit(seconds, memory)
        text, data = _received(connection, plan_size), _received(connection, size)
        if text is None or data is None:
            return
        try:
            out = _decoder(bytes(text)).decode(data)
            connection.sendall(ANSWER.pack(0, len(out)))
            connection.sendall(out.data)
            continue
        except MemoryError:
            error: RefmakerError = FormatError("its decoder needs too much memory", got=f"{size} bytes")
        except RefmakerError as raised:
            error = raised
        answer = json.dumps(_told(error)).encode()
        connection.sendall(ANSWER.pack(1, len(answer)) + answer)


def _told(error: RefmakerError) -> dict[str, Any]:
    kind = "FormatError" if isinstance(error, FormatError) else "Unsupported"
    told: dict[str, Any] = {"kind": kind, "message": error.message[:_LONGEST]}
    for name in ("expected", "got"):
        value = getattr(error, name)
        if value is not None:
            told[name] = value if isinstance(value, int) else str(value)[:_LONGEST]
    return told


@lru_cache(_KEPT)
def _decoder(text: bytes) -> ChunkDecoder:
    return ChunkDecoder(plan_from_json(json.loads(text)), apart=False)


def _received(connection: socket.socket, size: int) -> memoryview | None:
    whole = memoryview(bytearray(size))
    done = 0
    while done < size:
        count = connection.recv_into(whole[done:])
        if not count:
            return None
        done += count
    return whole


def _limit(seconds: float, memory: int) -> None:
    """Let the process take so much more time and memory than it has taken."""
    limits = _resource()
    if limits is None:
        return
    for kind, most in (
        (limits.RLIMIT_CPU, cpu_limit(time.process_time(), seconds)),
        (limits.RLIMIT_AS, _memory_in_use() + memory),
    ):
        hard = limits.getrlimit(kind)[1]
        limits.setrlimit(kind, (most if hard == limits.RLIM_INFINITY else min(most, hard), hard))


def _resource() -> ModuleType | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource


def _memory_in_use() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1 << 34  # what libraries map of addresses without using it
