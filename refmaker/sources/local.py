"""Sources on the local disk, through a memory map: no copy, no event loop.

Contract: see `refmaker.window.Source`. Nothing is ever missing.
"""

from __future__ import annotations

import mmap
import os
import stat
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from refmaker.descriptors import FLAGS, with_room
from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.sources.memory import MemoryWindow
from refmaker.urls import local_path
from refmaker.window import MissingBytes, Window

__all__ = ["LocalSource"]

# A read of its own costs less than the page faults of a map, which takes in pages around each that is touched, and
# keeps them: half the time for the nodes of a million chunks, and nothing resident. Below so many rows it is the same.
_MANY = 16


class _MappedWindow(MemoryWindow):
    """A Window over a memory map; many rows are read from the file instead."""

    def __init__(self, mapped: mmap.mmap, descriptor: int) -> None:
        super().__init__(mapped)
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        if len(addresses) < _MANY or size == 0 or not hasattr(os, "preadv"):
            return super().rows(addresses, size)
        self.at(int(addresses.max()), size)
        found = np.empty((len(addresses), size), "u1")
        memory_budget, descriptor = found.reshape(-1).data, self._descriptor
        try:
            for first, last, address in _runs(addresses, size):
                part = memory_budget[first * size : last * size]
                done = os.preadv(descriptor, (part,), address)
                if done < len(part):
                    self._read_on(part[done:], address + done)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from error
        return found

    def _read_on(self, memory_budget: memoryview, address: int) -> None:
        """Fill the rest of a part, in as many reads as the system takes for it."""
        while memory_budget:
            done = os.preadv(self._descriptor, (memory_budget,), address)
            if done == 0:
                raise TargetChanged("the file became shorter while it was scanned; scan it again")
            memory_budget, address = memory_budget[done:], address + done


def _runs(addresses: npt.NDArray[np.uint64], size: int) -> Iterator[tuple[int, int, int]]:
    """Return the rows that follow one another in the file as well: first, stop, address of the first."""
    starts = np.flatnonzero(np.diff(addresses, prepend=addresses[:1]) != np.uint64(size))
    stops = np.append(starts[1:], len(addresses))
    return zip(starts.tolist(), stops.tolist(), addresses[starts].tolist(), strict=True)


@dataclass(slots=True)
class LocalSource:
    """A local file, mapped."""

    window: Window
    url: str
    version: FileVersion

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
        path = os.path.abspath(os.path.expanduser(local_path(url)))
        try:
            descriptor = with_room(os.open, path, FLAGS)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", source=url) from error
        try:
            window, status = _map(descriptor, url)
        finally:
            os.close(descriptor)
        return LocalSource(window, path, FileVersion.of_status(status))

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """Do nothing: a memory map has all bytes."""

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: size and modification time."""
        try:
            status = os.stat(self.url)
        except OSError as error:
            raise TargetChanged(f"the file went away: {error.strerror}", source=self.url) from error
        check_unchanged(self.url, self.version, FileVersion.of_status(status))


def _map(descriptor: int, url: str) -> tuple[Window, os.stat_result]:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SourceError(f"cannot be read: it is {kind}", source=url)
    if status.st_size == 0:
        raise FormatError("the file is empty", structure="superblock", address=0, source=url)
    try:
        mapped = with_room(partial(mmap.mmap, descriptor, 0, access=mmap.ACCESS_READ))
        return _MappedWindow(mapped, with_room(os.dup, descriptor)), status
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be mapped: {error}", source=url) from error
