"""The numcodecs codec "refmaker_b2nd": chunks of Caterva and b2nd arrays, found by the group `numcodecs.codecs`.

Contract: `decode` gives the elements of a chunk in C order. A chunk of b2nd is a chunk of Blosc2 that holds blocks one
after the other, each padded to its full shape; python-blosc2 undoes the compression, and the blocks are put in their
places here. What a chunk decodes to is held to what the configuration says before memory is taken. Source: C-Blosc2,
README_CHUNK_FORMAT.rst, README_B2ND_METALAYER.rst.

    {"id": "refmaker_b2nd", "chunk_shape": [4, 5], "block_shape": [3, 2], "itemsize": 4}

This module is a face towards numcodecs and imports it; of refmaker only its twin for Zarr 3 imports it.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NoReturn

import numpy as np
from numcodecs.abc import Codec

from refmaker import limits
from refmaker.errors import FormatError, ManifestError, Unsupported
from refmaker.extras import install_command

__all__ = ["B2ndCodec"]

# Chunk header: version 1 | version of the codec 1 | flags 1 | typesize 1 | nbytes 4 | blocksize 4 | cbytes 4 | … 16
_HEAD = struct.Struct("<4xiii")
_HEAD_SIZE = 32
_WHAT = "b2nd chunk"
_MOST_RANK = 16
"""Dimensions of a b2nd array; its own limit."""


class B2ndCodec(Codec):  # type: ignore[misc]
    """Decodes chunks of b2nd.

    Parameters
    ----------
    chunk_shape, block_shape
        Elements of a chunk, and of a block, along each dimension.
    itemsize
        Bytes of an element.
    """

    codec_id = "refmaker_b2nd"

    def __init__(self, chunk_shape: Any, block_shape: Any, itemsize: Any) -> None:
        for name, shape in (("chunk_shape", chunk_shape), ("block_shape", block_shape)):
            if not isinstance(shape, list | tuple) or len(shape) > _MOST_RANK or len(shape) != len(chunk_shape):
                raise ManifestError(f"bad {name}", structure=_WHAT, got=repr(shape)[:80])
            if not all(type(extent) is int and extent > 0 for extent in shape):
                raise ManifestError(f"bad {name}", structure=_WHAT, expected="positive extents", got=repr(shape)[:80])
        if type(itemsize) is not int or itemsize < 1:
            raise ManifestError("bad itemsize", structure=_WHAT, got=repr(itemsize)[:80])
        self.chunk_shape, self.block_shape, self.itemsize = list(chunk_shape), list(block_shape), itemsize
        if self._size > limits.CODEC_CHUNK:
            raise ManifestError("chunk", structure=_WHAT, expected=f"<= {limits.CODEC_CHUNK} bytes", got=self._size)

    @property
    def _blocks(self) -> list[int]:
        """Blocks of a chunk along each dimension."""
        return [-(-chunk // block) for chunk, block in zip(self.chunk_shape, self.block_shape, strict=True)]

    @property
    def _size(self) -> int:
        """Bytes of a chunk with its blocks padded."""
        return int(math.prod(self._blocks) * math.prod(self.block_shape) * self.itemsize)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode a chunk."""
        data = bytes(memoryview(buf).cast("B"))
        if len(data) < _HEAD_SIZE:
            raise FormatError("too few bytes for a header", structure=_WHAT, expected=_HEAD_SIZE, got=len(data))
        size, _, stored = _HEAD.unpack_from(data)
        short = len(self.chunk_shape) == 1 and self.chunk_shape == self.block_shape
        if size != self._size and not (short and 0 < size < self._size):
            raise FormatError("decoded size", structure=_WHAT, expected=self._size, got=size)
        if stored != len(data):
            raise FormatError("stored size", structure=_WHAT, expected=len(data), got=stored)
        found = self._placed(_decompressed(data, size))
        if out is None:
            return found
        np.frombuffer(out, "u1")[:] = np.frombuffer(found, "u1")
        return out

    def _placed(self, data: bytes) -> bytes:
        """Put blocks in their places, and leave out what pads them."""
        rank = len(self.chunk_shape)
        blocks = np.frombuffer(data.ljust(self._size, b"\0"), f"V{self.itemsize}")
        grid = blocks.reshape((*self._blocks, *self.block_shape))
        order = [axis for pair in zip(range(rank), range(rank, 2 * rank), strict=True) for axis in pair]
        padded = [n * block for n, block in zip(self._blocks, self.block_shape, strict=True)]
        whole = grid.transpose(order).reshape(padded)
        return whole[tuple(slice(extent) for extent in self.chunk_shape)].tobytes()

    def encode(self, buf: Any) -> NoReturn:
        """Refuse: the codec only decodes."""
        raise Unsupported("the codec only decodes: it reads b2nd files in place", structure=_WHAT)


def _decompressed(data: bytes, size: int) -> bytes:
    try:
        import blosc2
    except ImportError as error:
        how = install_command("b2nd")
        raise Unsupported(f"chunks of b2nd are decoded by python-blosc2: {how}", structure=_WHAT) from error
    try:
        found: bytes = blosc2.decompress2(data)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise FormatError(f"Blosc2 cannot decode it: {error}", structure=_WHAT) from error
    if len(found) != size:
        raise FormatError("decoded size", structure=_WHAT, expected=size, got=len(found))
    return found
