"""Rows of references, in memory or in a temporary file: what the series of a collection are made of.

Contract: rows are added at the end and never changed. `FileRows` of one `Spill` share a file that has no name any more
and goes with the last of them; what waits to be written is bounded for all of them together, and what is read is
copied, so that memory does not grow with the number of rows. Nothing is mapped: pages of a map would count as memory.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import OutputError

__all__ = ["Columns", "FileRows", "MemoryRows", "Rows", "Spill", "joined"]

Columns: TypeAlias = tuple[
    npt.NDArray[np.int64], npt.NDArray[np.integer[Any]], npt.NDArray[np.uint64], npt.NDArray[np.uint64]
]
"""Cell, target, offset and size."""

_DTYPES = ("i8", "u4", "u8", "u8")
_STARTS = (0, 8, 12, 20)
"""Where each column of an extent starts, in bytes for each of its rows: columns are written one after the other."""
_WIDTH = 28
"""Bytes of a row in all columns."""

_BLOCK = 512
"""Pieces that are joined at a time: a small array for each of them takes more than its values."""

_WAITING = 32 << 20
"""Bytes of rows that may wait to be written."""


class Rows(Protocol):
    """References one after the other."""

    def __len__(self) -> int: ...

    def add(self, columns: Columns) -> None:
        """Add rows at the end."""

    def read(self, start: int, stop: int) -> Columns:
        """Return rows; in memory they are views."""

    def find(self, cell: int, start: int, stop: int) -> int:
        """Return the first row from `start` to before `stop`, which are in order, of this cell or a later one."""

    def empty(self) -> Rows:
        """Return new rows of the same kind."""


def joined(pieces: Sequence[Columns]) -> Columns:
    """Put columns one after the other."""
    if not pieces:
        return np.empty(0, "i8"), np.empty(0, "u4"), np.empty(0, "u8"), np.empty(0, "u8")
    if len(pieces) == 1:
        cell, target, offset, size = pieces[0]
    else:
        cell, target, offset, size = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return cell, target.astype("u4", copy=False), offset, size


class MemoryRows:
    """Rows in memory."""

    def __init__(self) -> None:
        self._pieces: list[Columns] = []
        self._blocks: list[Columns] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, columns: Columns) -> None:
        """See `Rows.add`."""
        self._count += len(columns[0])
        self._pieces.append(columns)
        if len(self._pieces) >= _BLOCK:
            self._join()

    def _join(self) -> None:
        if self._pieces:
            self._blocks.append(joined(self._pieces))
            self._pieces.clear()

    def all(self) -> Columns:
        """Return all rows."""
        self._join()
        if len(self._blocks) != 1:
            self._blocks = [joined(self._blocks)]
        return self._blocks[0]

    def read(self, start: int, stop: int) -> Columns:
        """See `Rows.read`."""
        cell, target, offset, size = self.all()
        return cell[start:stop], target[start:stop], offset[start:stop], size[start:stop]

    def find(self, cell: int, start: int, stop: int) -> int:
        """See `Rows.find`."""
        return start + int(np.searchsorted(self.all()[0][start:stop], cell))

    def empty(self) -> MemoryRows:
        """See `Rows.empty`."""
        return MemoryRows()


class Spill:
    """A temporary file that takes rows.

    Parameters
    ----------
    folder
        Where the file is to be.

    Raises
    ------
    OutputError
        It cannot be made there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        try:
            self._descriptor, name = tempfile.mkstemp(prefix=".refmaker-", suffix=".rows", dir=folder)
            self._close = weakref.finalize(self, _closed, self._descriptor, name)
            if os.name == "posix":
                # The file lives on without a name while it is open: even a killed process leaves nothing behind.
                os.unlink(name)
        except OSError as error:
            raise self._error(error) from error
        self._lock = threading.Lock()
        self._waiting: dict[int, FileRows] = {}
        self._held = 0
        self.size = 0

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"cannot keep rows in a temporary file in {self.folder!r}: {error.strerror or error}")

    def wait(self, rows: FileRows, size: int) -> None:
        """Note that so many bytes more wait to be written; write all that wait, where they are many."""
        self._waiting[id(rows)] = rows
        self._held += size
        if self._held >= _WAITING:
            for one in list(self._waiting.values()):
                one.flush()

    def written(self, rows: FileRows, size: int) -> None:
        """Note that rows, of so many bytes, wait no longer."""
        self._waiting.pop(id(rows), None)
        self._held -= size

    def write(self, data: memoryview) -> int:
        """Write bytes, and return their address."""
        address, size = self.size, len(data)
        try:
            with self._lock:
                os.lseek(self._descriptor, address, os.SEEK_SET)
                while len(data):
                    data = data[os.write(self._descriptor, data) :]
            self.size = address + size
        except OSError as error:
            raise self._error(error) from error
        return address

    def read(self, address: int, size: int) -> bytes:
        """Read bytes."""
        parts, left = [], size
        try:
            while left:
                part = self._at(address + size - left, left)
                if not part:
                    raise OutputError(
                        f"a temporary file in {self.folder!r} was truncated: was it changed by another program?"
                    )
                parts.append(part)
                left -= len(part)
        except OSError as error:
            raise self._error(error) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _at(self, address: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, size, address)
        with self._lock:
            os.lseek(self._descriptor, address, os.SEEK_SET)
            return os.read(self._descriptor, size)


def _closed(descriptor: int, name: str) -> None:
    os.close(descriptor)
    if os.name != "posix":
        os.unlink(name)


class FileRows:
    """Rows in the file of a spill, in extents of four columns each."""

    def __init__(self, spill: Spill) -> None:
        self.spill = spill
        self._pieces: list[Columns] = []
        self._firsts: list[int] = []
        self._extents: list[tuple[int, int]] = []
        self._written = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __reduce__(self) -> Any:
        raise TypeError("rows in a temporary file cannot be pickled")

    def add(self, columns: Columns) -> None:
        """See `Rows.add`."""
        count = len(columns[0])
        if count:
            self._count += count
            self._pieces.append(columns)
            self.spill.wait(self, count * _WIDTH)

    def flush(self) -> None:
        """Write what waits."""
        pieces, self._pieces = self._pieces, []
        if not pieces:
            return
        columns = joined(pieces)
        data = [np.ascontiguousarray(one, dtype).view("u1") for one, dtype in zip(columns, _DTYPES, strict=True)]
        address = self.spill.write(np.concatenate(data).data)
        self.spill.written(self, len(columns[0]) * _WIDTH)
        self._firsts.append(self._written)
        self._extents.append((address, len(columns[0])))
        self._written += len(columns[0])

    def read(self, start: int, stop: int) -> Columns:
        """See `Rows.read`."""
        self.flush()
        parts = []
        at = bisect_right(self._firsts, start) - 1
        while start < stop:
            first, (_, count) = self._firsts[at], self._extents[at]
            end = min(stop, first + count)
            cell, target, offset, size = (self._column(at, c, start - first, end - first) for c in range(4))
            parts.append((cell, target, offset, size))
            start, at = end, at + 1
        return joined(parts)

    def _column(self, extent: int, column: int, start: int, stop: int) -> npt.NDArray[Any]:
        address, count = self._extents[extent]
        dtype = np.dtype(_DTYPES[column])
        place = address + _STARTS[column] * count + start * dtype.itemsize
        return np.frombuffer(self.spill.read(place, (stop - start) * dtype.itemsize), dtype)

    def find(self, cell: int, start: int, stop: int) -> int:
        """See `Rows.find`."""
        self.flush()
        # One number is read for each halving: cheaper than the column of an extent, which may have a million rows.
        while start < stop:
            middle = (start + stop) // 2
            at = bisect_right(self._firsts, middle) - 1
            row = middle - self._firsts[at]
            if int(self._column(at, 0, row, row + 1)[0]) < cell:
                start = middle + 1
            else:
                stop = middle
        return start

    def empty(self) -> FileRows:
        """See `Rows.empty`."""
        return FileRows(self.spill)
