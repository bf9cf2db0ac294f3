"""Stored bytes on which a decoder is known to crash the process, never to return, or to make up data.

Contract: `check_stored` raises `FormatError` for them and lets all else pass to libhdf5, which decides. It looks at the
plugin that decodes first, the one that sees the stored bytes (for libhdf5's own filters see `parameters`). What is
guarded against was found by decoding damaged chunks:

- The bzip2 plugin waits forever for the rest of a stream that does not end. Hence bzip2 is decoded twice; it is the
  slowest of codecs, but numcodecs has it, so that it stands here only beside filters that numcodecs has not.
- The bitshuffle plugin trusts the sizes that a chunk states of itself and of its blocks.
- The Blosc plugin decodes a chunk that lacks its last bytes.

What stays are plugins that crash on damaged bytes (SZ, SZ3, SPERR, and bitshuffle within a block) and decoders that
notice nothing: ZFP, and szip where the rows of a chunk are no multiple of its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["check_stored"]

_BZIP2, _BLOSC, _BITSHUFFLE = 307, 32001, 32008
_WHAT = "HDF5 chunk"

_AT_ONCE = 1 << 20

# Bitshuffle with compression: 0 size before compression 8 | 8 size of a block before compression 4 | 12 blocks, each
# with its size before it in 4 | the last elements, fewer than 8, as they are. All big-endian.
_BITSHUFFLE_HEAD = Struct(">QI")
_BLOCK_SIZE = Struct(">I")
# Blosc: 0 versions, flags, element size | 4 size before compression 4 | 8 size of a block 4 | 12 size after it 4
_BLOSC_HEAD = Struct("<12xI")
_MULTIPLE = 8


def check_stored(data: memoryview, filters: Sequence[Filter]) -> None:
    """Refuse a chunk that must not reach its decoder.

    Parameters
    ----------
    data
        The bytes as stored.
    filters
        The pipeline in the order of writing.
    """
    if not filters:
        return
    guard = _GUARDS.get(filters[-1].id)
    if guard is not None:
        guard(data, filters[-1])


def _bzip2(data: memoryview, _: Filter) -> None:
    import bz2

    # Only decoding it tells whether a stream ends. What follows the stream does no harm.
    stream = bz2.BZ2Decompressor()
    try:
        stream.decompress(data, _AT_ONCE)
        while not stream.eof and not stream.needs_input:
            stream.decompress(b"", _AT_ONCE)
    except (OSError, ValueError) as error:
        raise FormatError(f"bzip2: {error}", structure=_WHAT) from error
    if not stream.eof:
        raise FormatError("bzip2 stream without an end", structure=_WHAT, got=f"{len(data)} bytes")


def _blosc(data: memoryview, _: Filter) -> None:
    size = _BLOSC_HEAD.unpack_from(data)[0] if len(data) >= _BLOSC_HEAD.size else _BLOSC_HEAD.size
    if len(data) < size:
        raise FormatError("Blosc chunk", structure=_WHAT, expected=f"{size} bytes", got=len(data))


def _bitshuffle(data: memoryview, one: Filter) -> None:
    if len(one.client_data) < 5 or not one.client_data[4] or not one.client_data[2]:
        return  # not compressed: the decoded size is the stored one
    pos = _BITSHUFFLE_HEAD.size
    if len(data) < pos:
        raise FormatError("bitshuffle header", structure=_WHAT, expected=f">= {pos} bytes", got=len(data))
    size, block = _BITSHUFFLE_HEAD.unpack_from(data)
    element = one.client_data[2]
    elements, in_block = size // element, block // element
    if not in_block:
        return  # the plugin refuses it
    blocks = elements // in_block + (elements % in_block >= _MULTIPLE)
    for done in range(blocks):
        if pos + _BLOCK_SIZE.size > len(data):
            raise FormatError("bitshuffle blocks", structure=_WHAT, expected=blocks, got=done)
        pos += _BLOCK_SIZE.size + _BLOCK_SIZE.unpack_from(data, pos)[0]
    pos += elements % _MULTIPLE * element
    if pos > len(data):
        raise FormatError("bitshuffle blocks", structure=_WHAT, expected=f"{pos} bytes", got=len(data))


_GUARDS: dict[int, Callable[[memoryview, Filter], None]] = {
    _BZIP2: _bzip2,
    _BLOSC: _blosc,
    _BITSHUFFLE: _bitshuffle,
}
