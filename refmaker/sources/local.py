"""Sources on the local disk, through a memory map: no copy, no event loop.

Contract: see `refmaker.sources.source.Source`. Nothing is ever missing.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.sources.identity import Identity
from refmaker.sources.memory import MemoryWindow
from refmaker.window import MissingBytes, Window

__all__ = ["LocalSource"]

# The kernel maps pages around each that is touched, so that scattered reads make the whole file resident.
_TOUCHED_WITH_A_ROW = 1 << 16
_RESIDENT = 1 << 26


class _MappedWindow(MemoryWindow):
    """A Window over a memory map that lets go of pages after it has touched many."""

    def __init__(self, mapped: mmap.mmap) -> None:
        super().__init__(mapped)
        self._mapped = mapped
        self._touched = 0

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        found = super().rows(addresses, size)
        self._touched += len(addresses) * max(size, _TOUCHED_WITH_A_ROW)
        if self._touched > _RESIDENT:
            self._touched = 0
            # Not all systems have it. The pages stay in the system's cache.
            if hasattr(mmap, "MADV_DONTNEED"):
                self._mapped.madvise(mmap.MADV_DONTNEED)
        return found


@dataclass(slots=True)
class LocalSource:
    """A local file, mapped."""

    window: Window
    identity: Identity

    @staticmethod
    def open(url: str) -> LocalSource:
        """Map a local file.

        Raises
        ------
        SourceError
            If there is no such file, it is a directory, or it may not be read.
        FormatError
            If it is empty.
        """
        path = os.path.abspath(url.split("://", 1)[1] if "://" in url else os.path.expanduser(url))
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", source=url) from error
        try:
            window, status = _map(descriptor, url)
        finally:
            os.close(descriptor)
        return LocalSource(window, Identity(path, status.st_size, None, status.st_mtime))

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """Do nothing: a memory map has all bytes."""

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: size and modification time."""
        try:
            status = os.stat(self.identity.url)
        except OSError as error:
            raise TargetChanged(f"the file went away: {error.strerror}", source=self.identity.url) from error
        seen = (self.identity.size, self.identity.mtime)
        if (status.st_size, status.st_mtime) != seen:
            raise TargetChanged(
                "the file changed while it was scanned; scan it again",
                source=self.identity.url,
                expected=f"size and time {seen}",
                got=(status.st_size, status.st_mtime),
            )


def _map(descriptor: int, url: str) -> tuple[Window, os.stat_result]:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SourceError(f"cannot be read: it is {kind}", source=url)
    if status.st_size == 0:
        raise FormatError("the file is empty", structure="superblock", address=0, source=url)
    try:
        return _MappedWindow(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)), status
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be mapped: {error}", source=url) from error
