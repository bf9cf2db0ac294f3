"""The indexes of shards: where the chunks in them are.

Contract: `expanded` gives a row for every chunk that is there, with its place in its file; a checksum that is wrong, a
chunk that lies outside its shard, an index that is larger than its shard are `FormatError`s. All indexes of a level
are read together. What is decoded is bounded by what the shards hold: shards within shards may not overlap. Source:
Zarr v3, "Sharding codec" 1.0, "Binary shard format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.sharding import Sharding, sharding_of
from refmaker.zarr_stores.crc32c import crc32c
from refmaker.zarr_stores.store import Range, Store, read_ranges

__all__ = ["Rows", "expanded"]

_MISSING = np.uint64(2**64 - 1)
_STRUCTURE = "shard index"


@dataclass(frozen=True, slots=True)
class Rows:
    """Chunks that are there.

    Attributes
    ----------
    key : int64[n]
        Which of the keys holds it.
    position : int64[n, rank]
        In the chunk grid.
    start, size : int64[n]
        Bytes from the start of the key's own.
    """

    key: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]


def expanded(store: Store, keys: list[str], rows: Rows, metadata: ArrayMetadata) -> tuple[ArrayMetadata, Rows]:
    """Return metadata with the innermost chunks as chunks, and where these are.

    Raises
    ------
    FormatError
        An index is damaged.
    Unsupported
        The chunks have no place of their own.
    """
    held = int(rows.size.sum())
    spent = 0
    for _ in range(limits.SHARD_DEPTH):
        sharding = sharding_of(metadata, structure="zarr.json")
        if sharding is None:
            return metadata, rows
        _check_long_enough(keys, rows, sharding.index_size)
        spent += sharding.index_size * len(rows.key)
        if spent > limits.READINGS * held:
            message = "indexes that are larger than their shards, or overlap"
            raise FormatError(message, structure=_STRUCTURE, expected=f"<= {limits.READINGS * held} bytes", got=spent)
        rows = _level(store, keys, rows, sharding, metadata.shape)
        metadata = sharding.inner
    raise Unsupported("shards within shards", expected=f"at most {limits.SHARD_DEPTH} levels")


def _check_long_enough(keys: list[str], rows: Rows, size: int) -> None:
    short = rows.size < size
    if short.any():
        at = int(short.argmax())
        path = keys[int(rows.key[at])]
        raise TruncatedError("a shard is shorter than its index", path=path, expected=size, got=int(rows.size[at]))


def _level(store: Store, keys: list[str], rows: Rows, sharding: Sharding, shape: tuple[int, ...]) -> Rows:
    """Read the index of every shard, and put its chunks in its place."""
    size = sharding.index_size
    begin = rows.start + (rows.size - size if sharding.at_end else 0)
    ranges = [Range(keys[key], start, size) for key, start in zip(rows.key.tolist(), begin.tolist(), strict=True)]
    blocks = read_ranges(store, ranges)
    if sharding.checksum:
        _verify(blocks, ranges)
    count = (size - 4 * sharding.checksum) // 16
    joined = b"".join(block[: 16 * count] for block in blocks)
    dtype = np.dtype(">u8" if sharding.big_endian else "<u8")
    places = np.frombuffer(joined, dtype).astype("u8").reshape(len(blocks), count, 2)
    return _placed(keys, rows, places, sharding, shape)


def _verify(blocks: list[bytes], ranges: list[Range]) -> None:
    for block, one in zip(blocks, ranges, strict=True):
        stored, computed = int.from_bytes(block[-4:], "little"), crc32c(block[:-4])
        if stored != computed:
            message = "the checksum of the index is wrong: the shard is damaged"
            raise FormatError(
                message, structure=_STRUCTURE, path=one.key, address=one.start, expected=hex(computed), got=hex(stored)
            )


def _placed(
    keys: list[str], rows: Rows, places: npt.NDArray[np.uint64], sharding: Sharding, shape: tuple[int, ...]
) -> Rows:
    """Return the chunks that are there, and within the array."""
    offset, size = places[..., 0], places[..., 1]
    there = (offset != _MISSING) | (size != _MISSING)
    room = rows.size.astype("u8")[:, None]
    wrong = there & ((size > room) | (offset > room - np.minimum(size, room)))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        got = f"{int(size[row, column])} bytes at {int(offset[row, column])}"
        path = keys[int(rows.key[row])]
        message = "a chunk lies outside its shard"
        raise FormatError(
            message, structure=_STRUCTURE, path=path, expected=f"within {int(rows.size[row])} bytes", got=got
        )
    at, inner = np.nonzero(there)
    position = rows.position[at] * np.array(sharding.per_shard, "i8") + _unravelled(inner, sharding.per_shard)
    inside = (position < np.array(grid_of(shape, sharding.inner.chunk_shape), "i8")).all(axis=1)
    at, inner, position = at[inside], inner[inside], position[inside]
    starts = rows.start[at] + offset[at, inner].astype("i8")
    return Rows(rows.key[at], position, starts, size[at, inner].astype("i8"))


def _unravelled(flat: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return positions, a row each; of a scalar's only place, a row without columns."""
    if not shape:
        return np.empty((len(flat), 0), "i8")
    return np.stack(np.unravel_index(flat, shape), axis=1).astype("i8")
