"""Bytes that are written in place before anybody sees them, so that nothing is copied to hand them over."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from typing import Any

__all__ = ["Buffer", "Unset"]


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
        """Return the bytes as they are now: without a copy, where nothing else holds the view."""
        self.view = memoryview(b"")
        return self._file.getvalue()


class Unset:
    """So many bytes of anything, every one of which is to be written before `done`.

    They are a `bytes` from the start, which Python's C interface lets those write who made it with
    `PyBytes_FromStringAndSize(NULL, size)`, as long as nobody else has it. A buffer of zeros would be written twice,
    the first time while no other thread can work.

    Attributes
    ----------
    view
        Where they are written; not to be used after `done`.
    """

    __slots__ = ("_data", "_memory", "view")

    def __init__(self, size: int) -> None:
        kind = ctypes.c_ubyte * size
        self._data: bytes = b"" if size < _SHARED else _new(None, size)
        memory: Any = kind() if size < _SHARED else kind.from_address(_at(self._data))
        memory.owner = self._data  # a view of the memory keeps this object, and this object the bytes
        self._memory = memory
        self.view = memoryview(memory).cast("B")

    def done(self) -> bytes:
        """Return the bytes as they are now: without a copy, where nothing else holds the view."""
        self.view = memoryview(b"")
        memory, self._memory = self._memory, None
        if sys.getrefcount(memory) == _ALONE and len(memory) >= _SHARED:
            return self._data
        return bytes(memory)


_SHARED = 2
"""Bytes: shorter `bytes` are objects that all share."""


def _references() -> int:
    thing = object()
    return sys.getrefcount(thing)


_ALONE = _references()
"""References that are counted of an object that one variable holds."""

_new = ctypes.pythonapi.PyBytes_FromStringAndSize
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_char_p, ctypes.c_ssize_t)
_at = ctypes.pythonapi.PyBytes_AsString
_at.restype, _at.argtypes = ctypes.c_void_p, (ctypes.py_object,)
