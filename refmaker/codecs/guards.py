"""Stored bytes on which a decoder is known to crash the process, never to return, or to make up data.

Contract: `check_stored` raises `FormatError` for them and lets all else pass to libhdf5, which decides. It looks at the
plugin that decodes first, the one that sees the stored bytes, but for checksums behind them (for libhdf5's own filters
see `parameters`, for bzip2, whose plugin waits forever for the rest of a stream that does not end, `stages`). What is
guarded against was found by decoding damaged chunks:

- The plugins of LZ4, Bitshuffle, Blosc and Zstandard take memory for whatever a chunk says that it holds.
- The bitshuffle plugin trusts the sizes that a chunk states of itself and of its blocks.
- The Blosc plugin decodes a chunk that lacks its last bytes. (So does szip's where rows are padded: `size_check`.)

What stays are plugins that crash on damaged bytes (SZ, SZ3, SPERR, and bitshuffle within a block) and decoders that
notice nothing: ZFP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["check_stored"]

_FLETCHER32, _BLOSC, _LZ4, _BITSHUFFLE, _ZSTD = 3, 32001, 32004, 32008, 32015
_CHECKSUM = 4
_WHAT = "HDF5 chunk"

# Bitshuffle with compression: 0 size before compression 8 | 8 size of a block before compression 4 | 12 blocks, each
# with its size before it in 4 | the last elements, fewer than 8, as they are. All big-endian.
_BITSHUFFLE_HEAD = Struct(">QI")
_BLOCK_SIZE = Struct(">I")
# Blosc: 0 versions, flags, element size | 4 size before compression 4 | 8 size of a block 4 | 12 size after it 4
_BLOSC_HEAD = Struct("<4xIII")
# LZ4: 0 size before compression 8 | 8 size of a block before compression 4, big-endian
_LZ4_HEAD = Struct(">QI")
_MULTIPLE = 8


def check_stored(data: memoryview, filters: Sequence[Filter], most: int) -> None:
    """Refuse a chunk that must not reach its decoder.

    Parameters
    ----------
    data
        The bytes as stored.
    filters
        The pipeline in the order of writing.
    most
        Bytes that the filter which decodes first may give.
    """
    left = list(filters)
    while left and left[-1].id == _FLETCHER32:
        left.pop()
        data = data[: max(len(data) - _CHECKSUM, 0)]
    guard = _GUARDS.get(left[-1].id) if left else None
    if guard is not None:
        guard(data, left[-1], most)


def _held(name: str, size: int, most: int) -> None:
    if size > most:
        raise FormatError(f"{name}: more bytes than a chunk has", structure=_WHAT, expected=f"<= {most}", got=size)


def _blosc(data: memoryview, _: Filter, most: int) -> None:
    if len(data) < _BLOSC_HEAD.size:
        raise FormatError("Blosc chunk", structure=_WHAT, expected=f"{_BLOSC_HEAD.size} bytes", got=len(data))
    holds, block, size = _BLOSC_HEAD.unpack_from(data)
    if len(data) < size:
        raise FormatError("Blosc chunk", structure=_WHAT, expected=f"{size} bytes", got=len(data))
    _held("Blosc chunk", max(holds, block), most)


def _lz4(data: memoryview, _: Filter, most: int) -> None:
    if len(data) < _LZ4_HEAD.size:
        raise FormatError("LZ4 header", structure=_WHAT, expected=f">= {_LZ4_HEAD.size} bytes", got=len(data))
    _held("LZ4 chunk", _LZ4_HEAD.unpack_from(data)[0], most)


def _zstd(data: memoryview, _: Filter, most: int) -> None:
    """Compare the content size of the first frame (RFC 8878, 3.1.1.1), which is all that the plugin allocates."""
    head = bytes(data[:18])
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        raise FormatError("Zstandard frame", structure=_WHAT, expected=b"\x28\xb5\x2f\xfd", got=head[:4])
    single, kind = head[4] >> 5 & 1, head[4] >> 6
    width = (single, 2, 4, 8)[kind]
    at = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3]
    if not width:
        raise FormatError("Zstandard frame that does not say how much it holds", structure=_WHAT)
    _held("Zstandard frame", int.from_bytes(head[at : at + width], "little") + (256 if kind == 1 else 0), most)


def _bitshuffle(data: memoryview, one: Filter, most: int) -> None:
    if len(one.client_data) < 5 or not one.client_data[4] or not one.client_data[2]:
        return  # not compressed: the decoded size is the stored one
    pos = _BITSHUFFLE_HEAD.size
    if len(data) < pos:
        raise FormatError("bitshuffle header", structure=_WHAT, expected=f">= {pos} bytes", got=len(data))
    size, block = _BITSHUFFLE_HEAD.unpack_from(data)
    _held("bitshuffle chunk", size, most)
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


_GUARDS: dict[int, Callable[[memoryview, Filter, int], None]] = {
    _BLOSC: _blosc,
    _LZ4: _lz4,
    _BITSHUFFLE: _bitshuffle,
    _ZSTD: _zstd,
}
