"""Bytes that are written in place before anybody sees them, so that nothing is copied to hand them over."""

from __future__ import annotations

import contextlib
import io

__all__ = ["Buffer"]


class _File(io.BytesIO):
    """A file in memory that may go while somebody holds a view of it: the memory goes with the view."""

    __slots__ = ()

    def close(self) -> None:
        """Close it, unless there is a view: the collector of garbage closes first and drops views then."""
        with contextlib.suppress(BufferError):
            super().close()


class Buffer:
    """So many bytes of zeros, to be filled.

    Attributes
    ----------
    view
        Where they are written; not to be used after `done`.
    """

    __slots__ = ("_file", "view")

    def __init__(self, size: int) -> None:
        self._file = _File()
        if size:
            self._file.seek(size - 1)
            self._file.write(b"\0")
        self.view = self._file.getbuffer()

    def done(self) -> bytes:
        """Give the bytes as they are now: without a copy, where nothing else holds the view."""
        self.view = memoryview(b"")
        return self._file.getvalue()
