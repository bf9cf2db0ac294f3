"""A Window over bytes in memory, or over anything that gives a buffer of the whole file (a memory map).

Contract: `at` returns the buffer itself, nothing is copied; ranges are checked against its size; never raises
`MissingBytes`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refmaker.errors import TruncatedError
from refmaker.window import Addresses, Buffer

__all__ = ["MemoryWindow"]


class MemoryWindow:
    """A Window over one buffer."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self._bytes = np.frombuffer(buffer, "u1")

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self._bytes)

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        if address < 0 or size < 0 or address + size > len(self._bytes):
            _beyond(address, size, len(self._bytes))
        return self.buffer, address

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`: all bytes are there already."""

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        whole = self._bytes
        if len(addresses) == 0:
            return np.empty((0, size), "u1")
        last = int(addresses.max())
        if last + size > len(whole):
            _beyond(last, size, len(whole))
        # Every start of a row as a row of its own, without a copy; the look-up below copies the rows asked for.
        strided = np.lib.stride_tricks.as_strided(
            whole, shape=(len(whole) - size + 1, size), strides=(1, 1), writeable=False
        )
        return np.ascontiguousarray(strided[addresses.astype("i8")])


def _beyond(address: int, size: int, file_size: int) -> None:
    raise TruncatedError(
        "reaches beyond the end of the file", address=address, expected=f"{size} bytes", got=f"a file of {file_size}"
    )
