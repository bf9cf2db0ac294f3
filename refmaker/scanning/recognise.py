"""Whether a file is a source: by its name, or by its first bytes.

Contract: asks the table of formats (`scanning.formats`), of which those count whose packages are installed. Reads the
few bytes of a local file that tell; the scan itself says what is wrong with one that is taken.
"""

from __future__ import annotations

import io
import os
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from refmaker.hdf5.superblock import SIGNATURE
from refmaker.scanning.formats import FORMATS, HEAD_SIZE
from refmaker.window import Addresses, Window

__all__ = ["MIN_SIZE", "REMOTE_HEAD", "FileWindow", "has_known_suffix", "head_is_recognised", "is_recognised"]

MIN_SIZE: Final = 4
"""No format is told by fewer bytes."""
REMOTE_HEAD: Final = 4096 + len(SIGNATURE)
"""Bytes of a remote file that are looked at: a signature behind a user block of 4096 bytes is among them."""


class FileWindow:
    """A Window of an open file, or of its beginning: for the few bytes that tell a format.

    What ends early gives fewer bytes and is no error: then it is of no format.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._size

    def at(self, address: int, size: int) -> tuple[bytes, int]:
        """See `Window.at`."""
        self._file.seek(address)
        return self._file.read(size), 0

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`: all is at hand."""

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        data = b"".join(self.at(address, size)[0].ljust(size, b"\0") for address in addresses.tolist())
        return np.frombuffer(data, "u1").reshape(len(addresses), size)


def has_known_suffix(name: str) -> bool:
    """Return whether a file is named as sources are."""
    name = name.lower()
    return any(name.endswith(known.suffixes) and known.is_installed() for known in FORMATS)


def is_recognised(path: str) -> bool:
    """Return whether a local file is a source: by its content, or by its name."""
    if has_known_suffix(path):
        return True
    with open(path, "rb") as file:
        return _is_source(FileWindow(file, os.fstat(file.fileno()).st_size))


def head_is_recognised(head: bytes) -> bool:
    """Return whether a file of which these are the first bytes is a source."""
    return _is_source(FileWindow(io.BytesIO(head), len(head)))


def _is_source(window: Window) -> bool:
    head = bytes(window.at(0, min(HEAD_SIZE, window.size))[0])
    return any(known.is_installed() and known.detect(head, window) for known in FORMATS)
