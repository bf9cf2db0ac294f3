"""Zarr stores in zip files.

Contract: see `zarr_stores.store.Store`. Members that are stored as they are have a place in the zip file; compressed
and encrypted ones have none, which their entries say. The zip file is read through a Window, so that any read may
raise `MissingBytes`. The central directory is read by the standard library's `zipfile`. Source: APPNOTE.TXT 6.3.10,
4.3.7.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import FormatError, TruncatedError
from refmaker.file_version import Target
from refmaker.window import Window
from refmaker.zarr_stores.store import NODE_LEAVES, Entry, Range, check_count

__all__ = ["WindowFile", "ZipStore", "is_zip_store"]

SIGNATURE = b"PK\x03\x04"
_HEAD = 30
"""Bytes of a local file header before the name: signature 4 | … | 26 length of the name 2 | of the extra field 2."""


class WindowFile(io.RawIOBase):
    """A Window as a file to be read."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._window.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what the buffer has room for, and the file has."""
        view = memoryview(buffer).cast("B")
        size = max(min(len(view), self._window.size - self._at), 0)
        buf, pos = self._window.at(self._at, size)
        view[:size] = buf[pos : pos + size]
        self._at += size
        return size


def is_zip_store(head: bytes, window: Window) -> bool:
    """Return whether a file is a zip file with metadata of Zarr in it."""
    if not head.startswith(SIGNATURE):
        return False
    try:
        with zipfile.ZipFile(WindowFile(window)) as archive:
            return any(name.rpartition("/")[2] in NODE_LEAVES for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # of no format that is known here


@dataclass(slots=True)
class ZipStore:
    """A zip file, as its Window shows it."""

    url: str
    window: Window
    targets: list[Target]
    entries: dict[str, Entry]
    listed: bool = True

    @staticmethod
    def open(window: Window, target: Target) -> ZipStore:
        """List the members of a zip file."""
        try:
            with zipfile.ZipFile(WindowFile(window)) as archive:
                members = list(archive.NameToInfo.values())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise FormatError(f"not a zip file: {error}", structure="zip") from error
        check_count(len(members), target.url)
        members = [one for one in members if not one.filename.endswith("/")]
        store = ZipStore(target.url, window, [target], {})
        for one, offset in zip(members, _places(window, members), strict=True):
            size, problem = one.file_size, None
            if one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1:
                what = "encrypted" if one.flag_bits & 1 else "compressed"
                size, problem = one.compress_size, f"it is {what} in its zip file: store it as it is"
            if offset + size > window.size:
                raise TruncatedError("a member reaches beyond the zip file", structure="zip", address=offset, got=size)
            store.entries[one.filename] = Entry(0, offset, size, problem)
        return store

    def look_up(self, keys: Iterable[str]) -> None:
        """See `Store.look_up`: all are listed."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Store.read`."""
        places = []
        for key, start, size in ranges:
            entry = self.entries[key]
            places.append((entry.offset + start, max(min(size, entry.size - start), 0)))
        for address, size in places:
            self.window.want([address], size)
        found = []
        for address, size in places:
            buf, pos = self.window.at(address, size)
            found.append(bytes(buf[pos : pos + size]))
        return found

    def check_unchanged(self) -> None:
        """See `Store.check_unchanged`: the scan looks after the one file itself."""


def _places(window: Window, members: Sequence[zipfile.ZipInfo]) -> list[int]:
    """Return where the bytes of members begin, by their local file headers."""
    addresses = np.array([one.header_offset for one in members], "i8")
    outside = (addresses < 0) | (addresses > window.size - _HEAD)
    if outside.any():
        address = int(addresses[outside][0])
        raise TruncatedError("a local file header beyond the zip file", structure="zip", address=address)
    rows = window.rows(addresses.astype("u8"), _HEAD)
    wrong = (rows[:, :4] != np.frombuffer(SIGNATURE, "u1")).any(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        got = rows[at, :4].tobytes()
        raise FormatError("local file header", structure="zip", address=int(addresses[at]), got=got)
    lengths = rows[:, 26:30].copy().view("<u2").astype("i8").sum(axis=1)
    starts: list[int] = (addresses + _HEAD + lengths).tolist()
    return starts
