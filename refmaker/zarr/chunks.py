"""Bytes of chunks that go into the manifest: read, decoded, repacked, encoded.

Contract: nothing here decides what is inlined. Reads that miss bytes are missed together, so that a scan over the
network fetches them in one round.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmaker.errors import Unsupported
from refmaker.window import MissingBytes
from refmaker.zarr.dtypes import ZarrDtype

__all__ = ["Read", "as_zarr", "encode_chunk", "encode_text", "fill_chunk", "read_ranges"]

Read = Callable[[int, int], bytes]


def read_ranges(read: Read, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    """Read several ranges of a source.

    Parameters
    ----------
    read
        Gives `size` bytes from `offset`.

    Raises
    ------
    MissingBytes
        With all the ranges that are missing.
    """
    blocks: list[bytes] = []
    missed: list[MissingBytes] = []
    for offset, size in zip(offsets, sizes, strict=True):
        try:
            blocks.append(read(offset, size))
        except MissingBytes as missing:
            missed.append(missing)
    if missed:
        addresses = np.concatenate([np.asarray(m.addresses, "i8") for m in missed])
        raise MissingBytes(addresses, np.concatenate([np.asarray(m.sizes, "i8") for m in missed]))
    return blocks


def as_zarr(data: bytes, dtype: ZarrDtype) -> bytes:
    """Bring stored elements into the form of their Zarr dtype.

    What lies between the members of a compound goes, and what follows the NUL of a null-terminated string becomes NUL.
    """
    if dtype.stored is not None:
        data = np.frombuffer(data, dtype.stored).astype(dtype.dtype).tobytes()
    if not dtype.terminated:
        return data
    rows = np.frombuffer(bytearray(data), "u1").reshape(-1, dtype.dtype.itemsize)
    for offset, size in dtype.terminated:
        text = rows[:, offset : offset + size]
        text[np.logical_or.accumulate(text == 0, axis=1)] = 0
    return rows.tobytes()


def encode_chunk(data: bytes, configs: Sequence[dict[str, Any]]) -> bytes:
    """Run a chunk's bytes through codecs, in the order they are applied when writing."""
    if not configs:
        return data
    import numcodecs

    for config in configs:
        data = bytes(numcodecs.get_codec(dict(config)).encode(data))
    return data


def fill_chunk(element: np.generic | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Give the bytes of a chunk that holds nothing but a fill value; None is the empty string."""
    count = 1
    for extent in shape:
        count *= extent
    if element is None:
        return encode_text([b""] * count)
    return np.array(element, dtype).tobytes() * count


def encode_text(items: Sequence[bytes | None]) -> bytes:
    """Encode strings as numcodecs' `vlen-utf8`: their number, then each with its length, in 32 bits.

    Raises
    ------
    Unsupported
        A string is not valid UTF-8, or too long.
    """
    if len(items) >= 1 << 32 or any(item is not None and len(item) >= 1 << 32 for item in items):
        raise Unsupported("more than 2**32 strings, or bytes in one of them")
    parts = [struct.pack("<I", len(items))]
    for position, item in enumerate(items):
        text = item or b""
        try:
            text.decode()
        except UnicodeDecodeError:
            raise Unsupported(f"string {position} is not valid UTF-8: {text[:40]!r}") from None
        parts.append(struct.pack("<I", len(text)))
        parts.append(text)
    return b"".join(parts)
