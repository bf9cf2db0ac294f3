"""Files of b2nd and Blosc2 frames, read by python-blosc2.

Contract: the array of a file as `blosc2.open` shows it; a frame without metalayer as its elements. Nothing of
`refmaker.formats` or of refmaker's codec is used.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from refmaker.errors import SourceError
from refmaker.verification.other_formats import FormatFile, PlainArray
from refmaker.verification.values import MissingCounterpart

__all__ = ["is_b2nd", "open_b2nd"]

_MAGIC = b"\x9e\xa8b2frame\0"


def is_b2nd(head: bytes) -> bool:
    """Return whether a file is a frame of Blosc2, by its first bytes."""
    return head.startswith(_MAGIC)


def open_b2nd(name: str) -> FormatFile:
    """Open a local file."""
    try:
        import blosc2
    except ImportError as error:
        raise SourceError("b2nd files are compared with what blosc2 reads, which is not installed") from error
    opened: Any = blosc2.open(name, mode="r")

    def find(path: str, shown: np.dtype[Any]) -> PlainArray:
        if path.strip("/") != "0":
            raise MissingCounterpart(f"there is no {path} in the file")
        if hasattr(opened, "shape"):
            return PlainArray.of(opened)
        data = np.frombuffer(opened[:], shown) if opened.nbytes else np.empty(0, shown)
        return PlainArray.of(data)

    return FormatFile(find, ExitStack())
