"""Bytes of chunks that go into the manifest: read, decoded, repacked, encoded.

Contract: nothing here decides what is inlined. Reads that miss bytes are missed together, so that a scan over the
network fetches them in one round.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from refmaker.errors import Unsupported
from refmaker.window import MissingBytes
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = [
    "Read",
    "as_zarr",
    "encode_chunk",
    "encode_items",
    "encode_sequence",
    "encode_text",
    "fill_chunk",
    "read_ranges",
]

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


def fill_chunk(element: np.generic | np.ndarray | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the bytes of a chunk that holds nothing but a fill value; None is the empty string.

    An array fills the last axes, and again for each place on the others.
    """
    if element is None:
        return encode_text([b""] * math.prod(shape))
    whole = np.array(element, dtype)
    if whole.ndim and shape[-whole.ndim :] != whole.shape:
        raise Unsupported(f"a fill value of shape {whole.shape} for chunks of shape {shape}")
    return whole.tobytes() * math.prod(shape[: len(shape) - whole.ndim])


def encode_text(items: Sequence[bytes | None]) -> bytes:
    """Encode strings as numcodecs' `vlen-utf8`: their number, then each with its length, in 32 bits.

    Raises
    ------
    Unsupported
        A string is not valid UTF-8, or too long.
    """
    for position, item in enumerate(items):
        try:
            (item or b"").decode()
        except UnicodeDecodeError:
            raise Unsupported(f"string {position} is not valid UTF-8: {(item or b'')[:40]!r}") from None
    return encode_items(items)


def encode_sequence(values: np.ndarray, dtype: ZarrDtype, depth: int) -> bytes:
    """Return the bytes of a variable-length sequence.

    Its items, those that are sequences as `encode_items` has them.
    """
    if depth > 1:
        return encode_items([encode_sequence(value, dtype, depth - 1) for value in values.tolist()])
    items = dtype.packed_items
    data = np.ascontiguousarray(values.astype(items.base, copy=False)).tobytes()
    return as_zarr(data, replace(dtype, dtype=items)) if dtype.terminated else data


def encode_items(items: Sequence[bytes | None]) -> bytes:
    """Encode byte strings as numcodecs' `vlen-bytes`, `vlen-utf8` and `vlen-array` do.

    Raises
    ------
    Unsupported
        A string is too long, or there are too many.
    """
    if len(items) >= 1 << 32 or any(item is not None and len(item) >= 1 << 32 for item in items):
        raise Unsupported("more than 2**32 elements of variable length, or bytes in one of them")
    parts = [struct.pack("<I", len(items))]
    for item in items:
        parts += struct.pack("<I", len(item or b"")), item or b""
    return b"".join(parts)
