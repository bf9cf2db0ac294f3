"""A key as a file: opened for reading, or copied to a local one.

Contract: read-only for the key.
"""

from __future__ import annotations

from typing import Any

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

__all__ = ["KeyFile", "write_out"]


class KeyFile(AbstractBufferedFile):  # type: ignore[misc]
    """A key, opened for reading."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = sync(self.fs.loop, self.fs._cat_file, self.path, start, end)
        return data


def write_out(data: bytes, lpath: Any, callback: Any) -> None:
    """Write the bytes of a key to a path or a file object, and tell `callback` (fsspec's) how far it is."""
    callback.set_size(len(data))
    if hasattr(lpath, "write"):
        lpath.write(data)
    else:
        with open(lpath, "wb") as file:
            file.write(data)
    callback.absolute_update(len(data))
