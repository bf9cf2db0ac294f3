"""The numcodecs codec "refmaker_lz4_block": blocks of LZ4 that do not say how long they are decoded.

Contract: `decode` gives `size` bytes, or raises `FormatError`. numcodecs' own `lz4` expects the size in front of the
block; here the configuration has it, so that blocks of other formats (webKnossos) are read where they are. Source:
LZ4 block format description. This module is a face towards numcodecs and imports it; nothing of refmaker imports it.

    {"id": "refmaker_lz4_block", "size": 65536}
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np
from numcodecs.abc import Codec

from refmaker import limits
from refmaker.errors import FormatError, ManifestError, Unsupported

__all__ = ["Lz4BlockCodec"]

_WHAT = "LZ4 block"
_MOST = min(limits.CODEC_CHUNK, (1 << 31) - 1)


class Lz4BlockCodec(Codec):  # type: ignore[misc]
    """Decodes blocks of LZ4.

    Parameters
    ----------
    size
        Bytes of a decoded block.
    """

    codec_id = "refmaker_lz4_block"

    def __init__(self, size: Any) -> None:
        if type(size) is not int or not 0 < size <= _MOST:
            raise ManifestError("bad size", structure=_WHAT, expected=f"1 to {_MOST}", got=repr(size)[:80])
        self.size = size

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode a block."""
        from numcodecs import lz4

        data = struct.pack("<I", self.size) + bytes(memoryview(buf).cast("B"))
        try:
            found: bytes = lz4.decompress(data)
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"cannot be decoded: {error}", structure=_WHAT) from error
        if len(found) != self.size:
            raise FormatError("decoded size", structure=_WHAT, expected=self.size, got=len(found))
        if out is None:
            return found
        np.frombuffer(out, "u1")[:] = np.frombuffer(found, "u1")
        return out

    def encode(self, buf: Any) -> NoReturn:
        """Refuse: the codec only decodes."""
        raise Unsupported("the codec only decodes: it reads files in place", structure=_WHAT)
