"""What becomes of a pipeline when a chunk is decoded: which filters are undone here, how much each may give.

Contract: pure, and bounded: no stage is given more memory than `most_bytes` of a chunk, whatever the bytes claim. A
deflate or bzip2 filter that decodes first is undone here, as Python's decoders stop where they are told to, which
libhdf5's do not; what those hand on, and all other filters, are libhdf5's. `needs_child` says for which of these
nobody can tell beforehand how much they will put out: such a pipeline is decoded in a process that may be lost
(`refmaker.codecs.child`).
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from refmaker.codecs.hdf5_filters import (
    DEFLATE,
    FLETCHER32,
    IDENTITIES,
    SHUFFLE,
    check_fletcher32,
    most_bytes,
    unshuffle,
)
from refmaker.codecs.parameters import SELF_BOUNDED
from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["needs_child", "split", "undo"]

_BZIP2, _LZF = 307, 32000
_GUARDED = frozenset({32001, 32004, 32008, 32015})
"""Blosc, LZ4, Bitshuffle, Zstandard: they say how much they hold, and `guards` compares it."""
_WHAT = "HDF5 chunk"
_LZF_AT_ONCE = 1 << 16
"""Stored bytes of LZF, up to which its decoder, which tries larger and larger buffers, cannot take long or much."""


def split(filters: Sequence[Filter]) -> tuple[tuple[Filter, ...], tuple[Filter, ...]]:
    """Split a pipeline, in the order of writing, into libhdf5's part and the one that is undone here before it."""
    kept = [f for f in filters if f.id not in IDENTITIES]
    first = len(kept)
    for position in range(len(kept) - 1, -1, -1):
        if kept[position].id in (DEFLATE, _BZIP2):
            first = position
        elif kept[position].id not in (SHUFFLE, FLETCHER32):
            break
    return tuple(kept[:first]), tuple(kept[first:])


def undo(data: memoryview, filters: Sequence[Filter], size: int) -> memoryview:
    """Undo the filters that `split` put last; `size` is that of the chunk before all filters."""
    for one in reversed(filters):
        if one.id == FLETCHER32:
            data = memoryview(check_fletcher32(bytes(data)))
        elif one.id == SHUFFLE:
            data = memoryview(unshuffle(bytes(data), one.client_data[0] if one.client_data else 1))
        else:
            data = memoryview(_DECOMPRESS[one.id](data, most_bytes(size)))
    return data


def needs_child(filters: Sequence[Filter], stored: int) -> bool:
    """Return whether it is unknown what libhdf5's part of a pipeline takes to decode so many bytes."""
    left = list(filters)
    while left and left[-1].id == FLETCHER32:
        left.pop()
    if left and (left[-1].id in _GUARDED or (left[-1].id == _LZF and stored <= _LZF_AT_ONCE)):
        left.pop()
    return any(f.id not in SELF_BOUNDED for f in left)


def _bunzip2(data: memoryview, most: int) -> bytes:
    return _decompressed("bzip2", bz2.BZ2Decompressor(), data, most)


def _inflate(data: memoryview, most: int) -> bytes:
    return _decompressed("deflate", zlib.decompressobj(), data, most)


def _decompressed(name: str, stream: Any, data: memoryview, most: int) -> bytes:
    """Decode a stream; what follows its end does no harm."""
    try:
        out: bytes = stream.decompress(data, most + 1)
        if len(out) <= most and not stream.eof:
            # The end of the stream may lie behind the last byte that fits into the output.
            out += stream.decompress(getattr(stream, "unconsumed_tail", b""), 1)
    except (OSError, ValueError, zlib.error) as error:
        raise FormatError(f"{name}: {error}", structure=_WHAT) from error
    if len(out) > most:
        raise FormatError(f"{name}: more bytes than a chunk has", structure=_WHAT, expected=f"<= {most}", got="more")
    if not stream.eof:
        raise FormatError(f"{name} stream without an end", structure=_WHAT, got=f"{len(data)} bytes")
    return out


_DECOMPRESS: dict[int, Callable[[memoryview, int], bytes]] = {DEFLATE: _inflate, _BZIP2: _bunzip2}
