"""Targets on the local disk: descriptors that stay open, reads at a place, and whether the file is still the same.

Contract: a descriptor is used only while its path still names that file (`refmaker.descriptors` closes it when others
need one more), and every read is followed by a look at size and modification time, so that a file that is written to
meanwhile is an error. What is in the page cache is read at once, in the event loop (preadv with RWF_NOWAIT, Linux); all
else in a thread, so that a slow disk holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from refmaker.descriptors import local_file, pread
from refmaker.file_version import Check, FileVersion, Target
from refmaker.replay.buffers import Buffer
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

_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_NO_SUCH_READ = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""The filesystem, or the system, does not know reads without waiting."""


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
        self._as_recorded = (record.size, record.mtime)
        self._file = local_file(path)
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
            await _in_thread(self._file.open)

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """Read a range if that takes no waiting; None where it would, or where it fails."""
        opened = self._file.opened
        if opened is None or self._slow or stop - start > _NOW or stop > _FAR:
            return None
        opened.used = True
        began = time.perf_counter()
        buffer = Buffer(stop - start)
        try:
            if os.preadv(opened.number, [buffer.view], start, _NOWAIT) != stop - start:
                return None
            status = os.stat(self.path)
        except OSError as error:
            self._slow = error.errno in _NO_SUCH_READ
            return None
        if (status.st_dev, status.st_ino) != opened.identity or self._differences(status):
            return None
        self._slow = time.perf_counter() - began > _SLOW
        return buffer.done()

    def _read(self, start: int, stop: int | None) -> bytes:
        status = os.stat(self.path)
        opened = self._file.opened
        if opened is None or opened.identity != (status.st_dev, status.st_ino):
            opened, status = self._file.open()
        opened.used = True
        self._compare(status)
        rest = max(status.st_size - start, 0)
        size = rest if stop is None else min(stop - start, rest)
        data = _pread(opened.number, size, start) if size else b""
        after = os.fstat(opened.number)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            self._compare(after)
            raise OSError(errno.EIO, "the file was written to while it was read", self.path)
        return data

    def _compare(self, status: os.stat_result) -> None:
        if differences := self._differences(status):
            raise VersionMismatch(differences)

    def _differences(self, status: os.stat_result) -> list[str]:
        if (status.st_size, status.st_mtime) == self._as_recorded:
            return []
        return self.record.version.differences(FileVersion.of_status(status), self.check)


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads("read", _READERS), function, *args)


def _pread(number: int, size: int, start: int) -> bytes:
    """Read `size` bytes, in several turns where the system gives less at a time."""
    data = pread(number, size, start)
    if len(data) == size or not data:
        return data
    parts = [data]
    while (got := sum(map(len, parts))) < size and (data := pread(number, size - got, start + got)):
        parts.append(data)
    return b"".join(parts)
