"""The Window: all that parsers and I/O share.

Contract: a parser is a plain function that reads through a Window and never knows where the bytes come from. A Window
that does not hold the bytes yet raises `MissingBytes`; the driver fetches all that was missed in a round together and
runs the interrupted step again. A step has no effect until it returns, so running it again is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.file_version import FileVersion

__all__ = ["Buffer", "MissingBytes", "ShiftedWindow", "Source", "Window"]

Buffer: TypeAlias = bytes | memoryview | mmap
Addresses: TypeAlias = Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.uint64]


class MissingBytes(BaseException):
    """Bytes that the Window does not hold yet. A `BaseException`, so that no `except Exception` swallows it.

    Attributes
    ----------
    addresses, sizes
        int64 arrays of one length: the ranges wanted, `size` bytes from each address.
    """

    def __init__(self, addresses: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        super().__init__(addresses, sizes)
        self.addresses = addresses
        self.sizes = sizes


class Window(Protocol):
    """Random access to the bytes of one source file.

    All three verbs raise `TruncatedError` for ranges that reach beyond the end of the file, and may raise
    `MissingBytes`.
    """

    @property
    def size(self) -> int:
        """Size of the file in bytes."""

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """Return a buffer and the position in it where `size` bytes from `address` can be read."""

    def want(self, addresses: Addresses, size: int) -> None:
        """Announce that `size` bytes from each of `addresses` will be read next, together.

        Ranges are clipped at the end of the file: announcing never fails for what might not be there.
        """

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes from each address as a uint8 array of shape (len(addresses), size)."""


class ShiftedWindow:
    """A Window whose address 0 lies at `base` in another: HDF5 behind a user block."""

    def __init__(self, window: Window, base: int) -> None:
        self.window = window
        self.base = base

    @property
    def size(self) -> int:
        """Size of the file in bytes, counted from the base."""
        return self.window.size - self.base

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        return self.window.at(address + self.base, size)

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        starts = np.asarray(addresses, "u8")
        self.window.want(starts[starts < np.uint64(max(self.size, 0))] + np.uint64(self.base), size)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        if len(addresses) and int(addresses.max()) > self.size:
            # The sum below could wrap around; the Window underneath says what is wrong.
            self.window.at(int(addresses.max()) + self.base, size)
        return self.window.rows(addresses + np.uint64(self.base), size)


class Source(Protocol):
    """An opened source: the file at `url`, in the version that was opened."""

    url: str
    version: FileVersion

    @property
    def window(self) -> Window:
        """The bytes, as far as they are here."""

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """Fetch all that was missed, together."""

    def check_unchanged(self) -> None:
        """Raise `TargetChanged` unless the file is still the one that was opened."""
