"""Targets on the local disk: descriptors that stay open, reads at a place, and whether the file is still the same.

Contract: a descriptor is used only while its path still names that file, and every read is followed by a look at size
and modification time, so that a file that is written to meanwhile is an error. What is in the page cache is read at
once, in the event loop (preadv with RWF_NOWAIT, Linux); all else in a thread, so that a slow disk holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Any, TypeVar

from refmaker.manifest.manifest import Target
from refmaker.replay.buffers import Buffer
from refmaker.replay.identity import Check, Seen
from refmaker.replay.read_errors import VersionMismatch
from refmaker.replay.threads import threads

__all__ = ["LocalStore"]

T = TypeVar("T")

_NOW = 256 * 1024
"""Bytes: more are copied in a thread, beside the event loop."""

_SLOW = 0.05
"""Seconds after which a read without waiting was none: the filesystem is not local after all."""

_READERS = 16
"""Threads that read what is not at hand."""

_FAR = 1 << 62
"""Bytes: farther than any file reaches, and nearer than the numbers that the system takes."""

# Without O_NONBLOCK, opening a named pipe would wait for a writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_NO_SUCH_READ = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""The filesystem, or the system, does not know reads without waiting."""


class _Descriptor:
    """An open file, closed when nobody reads from it any more: a number that is used again reads another file."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class LocalStore:
    """A target on the local disk.

    Parameters
    ----------
    path
        Absolute.
    record, check
        What the file must be, and how closely that is looked at.
    """

    gap = 4096
    block = 64 * 1024  # what is in the page cache anyway is best taken in pieces that the processor's cache holds

    def __init__(self, path: str, record: Target, check: Check) -> None:
        self.path = path
        self.record = record
        self.check = check
        self._open: tuple[_Descriptor, tuple[int, int]] | None = None
        self._slow = _NOWAIT == 0

    async def read(self, start: int, stop: int | None) -> bytes:
        """Read a range, or all from `start`; less where the file ends before.

        Raises
        ------
        OSError
            The file cannot be read.
        Differs
            It is not the one that was scanned.
        """
        return await _in_thread(self._read, start, stop)

    async def open(self) -> None:
        """Open the file, so that `read_nowait` can read it. What goes wrong is found again by `read`."""
        with contextlib.suppress(OSError):
            await _in_thread(self._opened)

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """Read a range if that takes no waiting; None where it would, or where it fails."""
        opened = self._open
        if opened is None or self._slow or stop - start > _NOW or stop > _FAR:
            return None
        descriptor, identity = opened
        began = time.perf_counter()
        buffer = Buffer(stop - start)
        try:
            if os.preadv(descriptor.number, [buffer.view], start, _NOWAIT) != stop - start:
                return None
            status = os.stat(self.path)
        except OSError as error:
            self._slow = error.errno in _NO_SUCH_READ
            return None
        if (status.st_dev, status.st_ino) != identity or self._differences(status):
            return None
        self._slow = time.perf_counter() - began > _SLOW
        return buffer.done()

    def _read(self, start: int, stop: int | None) -> bytes:
        status = os.stat(self.path)
        opened = self._open
        if opened is None or opened[1] != (status.st_dev, status.st_ino):
            opened, status = self._opened()
        self._compare(status)
        rest = max(status.st_size - start, 0)
        size = rest if stop is None else min(stop - start, rest)
        data = _pread(opened[0].number, size, start) if size else b""
        after = os.fstat(opened[0].number)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            self._compare(after)
            raise OSError(errno.EIO, "the file was written to while it was read", self.path)
        return data

    def _opened(self) -> tuple[tuple[_Descriptor, tuple[int, int]], os.stat_result]:
        descriptor = _Descriptor(os.open(self.path, _FLAGS))
        status = os.fstat(descriptor.number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", self.path)
        self._open = (descriptor, (status.st_dev, status.st_ino))
        return self._open, status

    def _compare(self, status: os.stat_result) -> None:
        if differences := self._differences(status):
            raise VersionMismatch(differences)

    def _differences(self, status: os.stat_result) -> list[str]:
        record = self.record
        if status.st_size == record.size and status.st_mtime == record.mtime:
            return []
        return Seen(status.st_size, None, status.st_mtime).differences(record, self.check)


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads("read", _READERS), function, *args)


def _pread(number: int, size: int, start: int) -> bytes:
    """Read `size` bytes, in several turns where the system gives less at a time."""
    data = os.pread(number, size, start)
    if len(data) == size or not data:
        return data
    parts = [data]
    while (got := sum(map(len, parts))) < size and (data := os.pread(number, size - got, start + got)):
        parts.append(data)
    return b"".join(parts)
