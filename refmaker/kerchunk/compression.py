"""Packed manifests: gzip (RFC 1952) and zstd (RFC 8878).

Contract: a packed file has the size that it may unpack to looked at before memory is taken: a few bytes of either
format can stand for gigabytes. Output is the same for the same input, whatever the time and the name.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

from refmaker import limits
from refmaker.errors import ManifestError

__all__ = ["GZIP", "ZSTD", "suffix_of", "unpacked", "write_packed"]

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

_SUFFIXES = {".gz": GZIP, ".zst": ZSTD, ".zstd": ZSTD}

_LIMIT = limits.UNPACKED
_RATIO = limits.UNPACKED_RATIO
"""A file may unpack to `_LIMIT` bytes, or to so many times its size; references pack to a tenth or so."""

_FED, _STEP = 1 << 16, 1 << 24
_PADDING = re.compile(rb"\0*")  # as gzip takes it behind a member

_GZIP_LEVEL = 5
_ZSTD_LEVEL = 3

_ZSTD_BLOCK = 1 << 17
_SKIPPABLE = 0x184D2A50
_RAW, _RLE, _COMPRESSED = 0, 1, 2


def suffix_of(name: str) -> bytes | None:
    """Return the first bytes of the format that a file name asks for, None for a plain file."""
    return next((mark for suffix, mark in _SUFFIXES.items() if name.lower().endswith(suffix)), None)


def write_packed(blocks: Iterable[bytes], file: BinaryIO, mark: bytes | None) -> None:
    """Write blocks to a file, packed as `mark` from `suffix_of` says."""
    if mark is None:
        file.writelines(blocks)
    elif mark == GZIP:
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            packed.writelines(blocks)
    else:
        from numcodecs import Zstd

        # In one frame, as readers of streams stop after the first: so it cannot be done block by block.
        file.write(Zstd(_ZSTD_LEVEL).encode(b"".join(blocks)))


def unpacked(data: bytes, source: str) -> bytes:
    """Unpack data that begins as one of the formats does; give any other as it is."""
    limit = max(_LIMIT, _RATIO * len(data))
    try:
        if data.startswith(GZIP):
            return _gunzip(data, limit)
        if data.startswith(ZSTD):
            from numcodecs import Zstd

            _bound_zstd(data, limit)
            plain: bytes = Zstd().decode(data)
            return plain
    except ManifestError as error:
        error.source = source
        raise
    except (OSError, EOFError, zlib.error, RuntimeError, ValueError, struct.error, IndexError) as error:
        raise ManifestError(f"damaged compressed data: {error}", source=source) from error
    except MemoryError as error:
        raise ManifestError("compressed data that claims more than fits into memory", source=source) from error
    return data


def _too_large(limit: int, packed: int) -> ManifestError:
    return ManifestError("compressed data that unpack to too much", expected=f"at most {limit} bytes", got=packed)


def _gunzip(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    left, at = limit, 0
    while at < len(data):
        stream: Any = zlib.decompressobj(wbits=31)
        while not stream.eof:
            rest: bytes = stream.unconsumed_tail
            if not rest:
                rest = data[at : at + _FED]
                at += len(rest)
            if not rest:
                raise EOFError("the stream ends early")
            # In steps, as the library makes room for all that it may give.
            parts.append(stream.decompress(rest, min(_STEP, left + 1)))
            left -= len(parts[-1])
            if left < 0:
                raise _too_large(limit, len(data))
        at = _PADDING.match(data, at - len(stream.unused_data)).end()  # type: ignore[union-attr]
    return b"".join(parts)


def _bound_zstd(data: bytes, limit: int) -> None:
    """Make sure that zstd frames hold no more than `limit` bytes: by their blocks, not by what they claim."""
    at = 0
    while at < len(data):
        (magic,) = struct.unpack_from("<I", data, at)
        if magic & 0xFFFFFFF0 == _SKIPPABLE:
            at += 8 + struct.unpack_from("<I", data, at + 4)[0]
            continue
        if data[at : at + 4] != ZSTD:
            raise ValueError(f"no frame at byte {at}")
        at, held, claimed = _frame(data, at)
        if max(held, claimed) > limit or claimed > held:
            raise _too_large(min(limit, held), claimed)
        limit -= held


def _frame(data: bytes, at: int) -> tuple[int, int, int]:
    """Return where a frame ends, how many bytes it can hold at most, and how many it claims (0 for no claim)."""
    descriptor = data[at + 4]
    single, code = bool(descriptor & 0x20), descriptor >> 6
    size_of_size = (1 if single else 0, 2, 4, 8)[code]
    at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    claimed = int.from_bytes(data[at : at + size_of_size], "little") + (256 if size_of_size == 2 else 0)
    at += size_of_size
    held, last = 0, False
    while not last:
        header = int.from_bytes(data[at : at + 3], "little")
        if len(data) < at + 3:
            raise EOFError("the frame ends early")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _RLE else size)
        held += _ZSTD_BLOCK if kind == _COMPRESSED else size
    return at + (4 if descriptor & 4 else 0), held, claimed
