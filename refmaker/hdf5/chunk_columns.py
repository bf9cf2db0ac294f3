"""What chunk indexes of layout version 4 hold of each chunk, as columns: elements of arrays, records of B-trees.

Contract: pure; many rows of bytes at once. Sizes of chunks without filters follow from the layout.
Specification 4.0, IV.A.2.i and Appendix C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.data_layout import ChunkedLayout
from refmaker.hdf5.sizes import Sizes
from refmaker.model import Dataspace

__all__ = [
    "MAX_CELLS",
    "Chunks",
    "allocated",
    "chunk_size",
    "decode_elements",
    "decode_records",
    "max_grid",
    "scaled_offsets",
    "unravel",
]

WHAT = "chunk index"
MAX_CELLS = 1 << 62
_MAX_SIZE = 1 << 62


@dataclass(slots=True)
class Chunks:
    """Chunks as an index gives them: `scaled` int64[n, rank] (offset / chunk extent), addresses not yet shifted."""

    scaled: npt.NDArray[np.int64]
    address: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    mask: npt.NDArray[np.uint32]


def chunk_size(layout: ChunkedLayout) -> int:
    """Return the bytes of a chunk before filters."""
    size = layout.element_size
    for n in layout.chunk_shape:
        size *= n
    if size > _MAX_SIZE:
        raise FormatError("size of a chunk", structure=WHAT, expected=f"<= {_MAX_SIZE} bytes", got=size)
    return size


def max_grid(layout: ChunkedLayout, space: Dataspace) -> list[int | None]:
    """Return the number of chunks along each of the maximum dimensions, None where they are unlimited."""
    return [None if m is None else -(-m // c) for m, c in zip(space.max_shape, layout.chunk_shape, strict=True)]


def unravel(index: npt.NDArray[np.int64], grid: list[int | None], order: list[int]) -> npt.NDArray[np.int64]:
    """Unravel positions in an array over the maximum chunk grid, its dimensions taken in `order`."""
    scaled = np.empty((len(grid), len(index)), "i8").T
    beyond = int(index.max(initial=0)) + 1  # dimensions that no position reaches the end of may be of any size
    # Half the width is divided in a fourth of the time.
    narrow: Any = np.uint32 if beyond < 1 << 32 else np.int64
    rest: Any = index.astype(narrow)
    for axis in reversed(order[1:]):
        n = grid[axis]
        if n is None or n == 0:
            raise FormatError("maximum dimensions", structure=WHAT, expected="limited and > 0", got=grid)
        extent = narrow(min(n, beyond))
        quotient = rest // extent
        scaled[:, axis] = rest - quotient * extent
        rest = quotient
    if order:
        scaled[:, order[0]] = rest
    return scaled


def decode_elements(
    scaled: npt.NDArray[np.int64], rows: np.ndarray, filtered: bool, layout: ChunkedLayout, sizes: Sizes
) -> Chunks:
    """Decode array elements: address O (| size, as many bytes as the element has room for | filter mask 4)."""
    _check_width(rows, filtered, sizes)
    width = rows.shape[1] - sizes.offsets - 4
    address = _addresses(rows, sizes).astype("u8")
    if width <= 0:
        return Chunks(scaled, address, np.full(len(rows), chunk_size(layout), "u8"), np.zeros(len(rows), "u4"))
    return Chunks(scaled, address, _sized(rows, sizes.offsets, width), _masks(rows, sizes.offsets + width))


def _sized(rows: np.ndarray, start: int, width: int) -> npt.NDArray[np.uint64]:
    if width > 8:
        raise FormatError("width of chunk sizes", structure=WHAT, expected="1 to 8", got=width)
    if width in (1, 2, 4, 8):
        return rows[:, start : start + width].view(f"<u{width}")[:, 0].astype("u8")
    padded = np.zeros((len(rows), 8), "u1")
    padded[:, :width] = rows[:, start : start + width]
    return padded.view("<u8")[:, 0]


def _masks(rows: np.ndarray, start: int) -> npt.NDArray[np.uint32]:
    return rows[:, start : start + 4].view("<u4")[:, 0].astype("u4")


def _addresses(rows: np.ndarray, sizes: Sizes) -> npt.NDArray[np.uint64]:
    """Return the addresses that rows begin with, as they stand: not aligned, of the file's width."""
    return rows[:, : sizes.offsets].view(f"<u{sizes.offsets}")[:, 0]


def allocated(index: npt.NDArray[np.int64], rows: np.ndarray, sizes: Sizes) -> tuple[npt.NDArray[np.int64], np.ndarray]:
    """Leave out elements without an address."""
    there = _addresses(rows, sizes) != sizes.undefined
    return (index, rows) if there.all() else (index[there], rows[there])


def _check_width(rows: np.ndarray, filtered: bool, sizes: Sizes) -> None:
    width = rows.shape[1]
    if (width != sizes.offsets) if not filtered else (width <= sizes.offsets + 4):
        raise FormatError("size of an element", structure=WHAT, expected="address (and size, mask)", got=width)


def decode_records(records: np.ndarray, rank: int, filtered: bool, layout: ChunkedLayout, sizes: Sizes) -> Chunks:
    """Decode records of a version 2 B-tree.

    Type 10: address O | scaled offsets 8 each. Type 11: address O | size | mask 4 | scaled offsets 8 each.
    """
    start = records.shape[1] - 8 * rank
    if start < sizes.offsets:
        raise FormatError("size of a record", structure=WHAT, got=records.shape[1])
    scaled = np.ascontiguousarray(scaled_offsets(records, rank).T)  # each axis in one run of memory
    if scaled.size and int(scaled.max()) > MAX_CELLS:
        raise FormatError("offset of a chunk", structure=WHAT, got=int(scaled.max()))
    return decode_elements(scaled.view("i8").T, records[:, :start], filtered, layout, sizes)


def scaled_offsets(records: np.ndarray, rank: int) -> npt.NDArray[np.uint64]:
    """Return the offsets, in chunks, that records end with: uint64[n, rank]."""
    return records[:, -8 * rank :].view("<u8").reshape(len(records), rank)
