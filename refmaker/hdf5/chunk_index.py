"""Any chunk index to one `ChunkIndex`: columns sorted by cell of the current chunk grid.

Contract: `read_chunk_index` reads through a Window; all five index types of layout version 4 and the version 1 B-tree.
Specification 4.0, IV.A.2.i and Appendix C. Addresses in the result count from the start of the file.

Where chunks lie in a fixed or extensible array, or in implicit storage, follows from the *maximum* dimensions, not the
current ones; in an extensible array the unlimited dimension comes first. Chunks beyond the current extent are
left out, as libhdf5 leaves them out when it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5 import btree_v1, btree_v2, data_layout, extensible_array, fixed_array
from refmaker.hdf5.budget import MeteredWindow
from refmaker.hdf5.data_layout import ChunkedLayout
from refmaker.hdf5.sizes import Sizes
from refmaker.model import ChunkIndex, Dataspace

__all__ = ["read_chunk_index"]

WHAT = "chunk index"
_MAX_CELLS = 1 << 62
_MAX_SIZE = 1 << 62
_BTREE_UNFILTERED, _BTREE_FILTERED = 10, 11


@dataclass(slots=True)
class _Chunks:
    """Chunks as an index gives them: `scaled` int64[n, rank] (offset / chunk extent), addresses not yet shifted."""

    scaled: npt.NDArray[np.int64]
    address: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    mask: npt.NDArray[np.uint32]


def read_chunk_index(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, base: int, sizes: Sizes
) -> ChunkIndex:
    """Read the chunk index of a dataset.

    Parameters
    ----------
    window
        The file, address 0 at the superblock.
    layout, space, filtered
        Of the dataset; `filtered` says whether it has a filter pipeline.
    k
        Indexed storage internal node K of the file.
    base
        Added to every address.
    """
    if len(layout.chunk_shape) != len(space.shape):
        raise FormatError("rank of the chunks", structure=WHAT, expected=len(space.shape), got=len(layout.chunk_shape))
    grid = tuple(-(-n // c) for n, c in zip(space.shape, layout.chunk_shape, strict=True))
    cells = 1
    for n in grid:
        cells *= n
    if cells > _MAX_CELLS:
        raise Unsupported("more chunks than can be numbered", structure=WHAT, expected=f"<= {_MAX_CELLS}", got=cells)
    if layout.address is None or cells == 0:
        return ChunkIndex.empty()
    if layout.index == data_layout.BTREE_V1:
        few = _few(window, layout, grid, k, base, sizes)
        return _from_btree_v1(window, layout, grid, k, base, sizes) if few is None else few
    chunks = _READERS[layout.index](window, layout, space, filtered, k, sizes)
    return _columns(chunks, grid, base, window.size, sizes, searched=layout.index == data_layout.BTREE_V2)


def _chunk_size(layout: ChunkedLayout) -> int:
    size = layout.element_size
    for n in layout.chunk_shape:
        size *= n
    if size > _MAX_SIZE:
        raise FormatError("size of a chunk", structure=WHAT, expected=f"<= {_MAX_SIZE} bytes", got=size)
    return size


def _columns(
    chunks: _Chunks, grid: tuple[int, ...], base: int, file_size: int, sizes: Sizes, *, searched: bool
) -> ChunkIndex:
    """Keep what lies in the grid and is allocated, check that it lies in the file, sort it by cell.

    `searched`: libhdf5 finds chunks by a search that needs them in order.
    """
    inside = chunks.address != np.uint64(sizes.undefined)
    for axis, n in enumerate(grid):
        # As unsigned numbers, negative positions lie beyond every grid.
        inside &= chunks.scaled[:, axis].view("u8") < np.uint64(n)
    if not inside.all():
        if searched and not _increases(chunks.scaled):
            raise FormatError("keys that are out of order", structure=WHAT)
        chunks = _Chunks(chunks.scaled[inside], chunks.address[inside], chunks.size[inside], chunks.mask[inside])
    cell = np.zeros(len(chunks.address), "i8")
    for axis, n in enumerate(grid):
        cell = cell * n + chunks.scaled[:, axis]
    if len(cell) > 1 and not (cell[1:] > cell[:-1]).all():
        if searched:
            raise FormatError("keys that are out of order, or the same chunk twice", structure=WHAT)
        order = np.argsort(cell, kind="stable")
        cell = cell[order]
        chunks = _Chunks(chunks.scaled, chunks.address[order], chunks.size[order], chunks.mask[order])
        if (cell[1:] == cell[:-1]).any():
            raise FormatError("the same chunk twice", structure=WHAT)
    room = np.uint64(file_size)
    beyond = (chunks.address > room) | (chunks.size > room - np.minimum(chunks.address, room))
    if beyond.any():
        i = int(np.flatnonzero(beyond)[0])
        raise TruncatedError(
            f"{int(beyond.sum())} chunks reach beyond the end of the file",
            structure="chunk",
            address=int(chunks.address[i]),
            expected=f"{int(chunks.size[i])} bytes",
            got=f"a file of {file_size}",
        )
    return ChunkIndex(cell, chunks.address + np.uint64(base) if base else chunks.address, chunks.size, chunks.mask)


def _increases(scaled: npt.NDArray[np.int64]) -> bool:
    """Say whether positions increase, the first axis counting most, as unsigned numbers."""
    less, equal = np.zeros(max(len(scaled) - 1, 0), bool), np.ones(max(len(scaled) - 1, 0), bool)
    for axis in range(scaled.shape[1]):
        column = scaled[:, axis].astype("u8")
        less |= equal & (column[:-1] < column[1:])
        equal &= column[:-1] == column[1:]
    return bool(less.all())


def _few(
    window: MeteredWindow, layout: ChunkedLayout, grid: tuple[int, ...], k: int, base: int, sizes: Sizes
) -> ChunkIndex | None:
    """Read the few chunks of a small dataset; None where there are more, or anything is out of the ordinary."""
    shape = layout.chunk_shape
    records = btree_v1.few_chunks(window, int(layout.address or 0), len(shape), k, sizes)
    if records is None:
        return None
    cells: list[int] = []
    for size, _, *offset, last, address in records:
        if last:
            return None
        cell = 0
        for at, extent, n in zip(offset, shape, grid, strict=True):
            scaled, rest = divmod(at, extent)
            if rest or scaled >= n:
                return None
            cell = cell * n + scaled
        if address + size > window.size or (cells and cell <= cells[-1]):
            return None
        cells.append(cell)
    return ChunkIndex(
        np.array(cells, "i8"),
        np.array([record[-1] + base for record in records], "u8"),
        np.array([record[0] for record in records], "u8"),
        np.array([record[1] for record in records], "u4"),
    )


def _from_btree_v1(
    window: MeteredWindow, layout: ChunkedLayout, grid: tuple[int, ...], k: int, base: int, sizes: Sizes
) -> ChunkIndex:
    """Read a version 1 B-tree to the end, some leaves at a time: fresh memory costs more than what is done with it."""
    parts: list[ChunkIndex] = []
    last: npt.NDArray[np.int64] | None = None
    for records in btree_v1.chunk_records(window, int(layout.address or 0), len(layout.chunk_shape), k, sizes):
        if len(records) == 0:
            continue
        scaled = _divided(records["offset"], layout.chunk_shape)
        if last is not None and not _increases(np.stack([last, scaled[0]])):
            raise FormatError("keys that are out of order", structure=WHAT)
        last = scaled[-1].copy()
        chunks = _Chunks(
            scaled, records["child"].astype("u8"), records["size"].astype("u8"), records["mask"].astype("u4")
        )
        parts.append(_columns(chunks, grid, base, window.size, sizes, searched=True))
    if len(parts) < 2:
        return parts[0] if parts else ChunkIndex.empty()
    return ChunkIndex(
        np.concatenate([part.cell for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.size for part in parts]),
        np.concatenate([part.filter_mask for part in parts]),
    )


def _divided(offsets: np.ndarray, chunk_shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Divide offsets of chunks by the chunk's extent; shape (n, rank), each axis in one run of memory."""
    scaled = np.empty((len(chunk_shape), len(offsets)), "i8")
    for axis, extent in enumerate(chunk_shape):
        column = offsets[:, axis]
        quotient = column // np.uint64(extent) if extent > 1 else column
        if extent > 1 and (quotient * np.uint64(extent) != column).any():
            raise FormatError("offset of a chunk", structure=WHAT, expected=f"a multiple of {extent}")
        scaled[axis] = quotient
    return scaled.T


def _single(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, sizes: Sizes
) -> _Chunks:
    if filtered and not layout.parameters:
        raise FormatError("single chunk without its stored size", structure=WHAT)
    size, mask = layout.parameters if filtered else (_chunk_size(layout), 0)
    rank = len(layout.chunk_shape)
    return _Chunks(
        np.zeros((1, rank), "i8"), np.array([layout.address], "u8"), np.array([size], "u8"), np.array([mask], "u4")
    )


def _max_grid(layout: ChunkedLayout, space: Dataspace) -> list[int | None]:
    return [None if m is None else -(-m // c) for m, c in zip(space.max_shape, layout.chunk_shape, strict=True)]


def _scaled(index: npt.NDArray[np.int64], grid: list[int | None], order: list[int]) -> npt.NDArray[np.int64]:
    """Unravel positions in an array over the maximum chunk grid, its dimensions taken in `order`."""
    scaled = np.empty((len(grid), len(index)), "i8").T
    # Half the width is divided in a fourth of the time.
    small = len(index) == 0 or (int(index.max()) < 1 << 32 and all(n is None or n < 1 << 32 for n in grid))
    narrow: Any = np.uint32 if small else np.int64
    rest: Any = index.astype(narrow)
    for axis in reversed(order[1:]):
        n = grid[axis]
        if n is None or n == 0:
            raise FormatError("maximum dimensions", structure=WHAT, expected="limited and > 0", got=grid)
        quotient = rest // narrow(n)
        scaled[:, axis] = rest - quotient * narrow(n)
        rest = quotient
    if order:
        scaled[:, order[0]] = rest
    return scaled


def _implicit(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, sizes: Sizes
) -> _Chunks:
    grid, size = _max_grid(layout, space), _chunk_size(layout)
    count = _count(grid)
    # All chunks were allocated together when the dataset was made, so the file must hold every one.
    if count * size > window.size:
        raise TruncatedError(
            "implicit chunks reach beyond the end of the file", structure=WHAT, expected=count * size, got=window.size
        )
    window.budget.spend(count * size)
    index = np.arange(count, dtype="i8")
    address = np.uint64(layout.address or 0) + index.astype("u8") * np.uint64(size)
    scaled = _scaled(index, grid, list(range(len(grid))))
    return _Chunks(scaled, address, np.full(count, size, "u8"), np.zeros(count, "u4"))


def _count(grid: list[int | None]) -> int:
    count = 1
    for n in grid:
        if n is None:
            raise FormatError("unlimited dimension", structure=WHAT, expected="limited dimensions", got=grid)
        count *= n
    return count


def _elements(
    index: npt.NDArray[np.int64], scaled: npt.NDArray[np.int64], rows: np.ndarray, layout: ChunkedLayout, sizes: Sizes
) -> _Chunks:
    """Decode array elements: address O (| size, as many bytes as the element has room for | filter mask 4)."""
    width = rows.shape[1] - sizes.offsets - 4
    address = _addresses(rows, sizes).astype("u8")
    if width <= 0:
        return _Chunks(scaled, address, np.full(len(rows), _chunk_size(layout), "u8"), np.zeros(len(rows), "u4"))
    return _Chunks(scaled, address, _sized(rows, sizes.offsets, width), _masks(rows, sizes.offsets + width))


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
    """Give the addresses that rows begin with, as they stand: not aligned, of the file's width."""
    return rows[:, : sizes.offsets].view(f"<u{sizes.offsets}")[:, 0]


def _allocated(
    index: npt.NDArray[np.int64], rows: np.ndarray, sizes: Sizes
) -> tuple[npt.NDArray[np.int64], np.ndarray]:
    there = _addresses(rows, sizes) != sizes.undefined
    return (index, rows) if there.all() else (index[there], rows[there])


def _check_width(rows: np.ndarray, filtered: bool, sizes: Sizes) -> None:
    width = rows.shape[1]
    if (width != sizes.offsets) if not filtered else (width <= sizes.offsets + 4):
        raise FormatError("size of an element", structure=WHAT, expected="address (and size, mask)", got=width)


def _from_fixed_array(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, sizes: Sizes
) -> _Chunks:
    grid = _max_grid(layout, space)
    found = fixed_array.read_elements(window, int(layout.address or 0), int(filtered), _count(grid), sizes)
    _check_width(found[1], filtered, sizes)
    index, rows = _allocated(*found, sizes)
    return _elements(index, _scaled(index, grid, list(range(len(grid)))), rows, layout, sizes)


def _from_extensible_array(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, sizes: Sizes
) -> _Chunks:
    grid = _max_grid(layout, space)
    unlimited = [axis for axis, n in enumerate(grid) if n is None]
    if len(unlimited) != 1:
        raise FormatError("unlimited dimensions", structure=WHAT, expected=1, got=len(unlimited))
    found = extensible_array.read_elements(window, int(layout.address or 0), int(filtered), sizes)
    _check_width(found[1], filtered, sizes)
    index, rows = _allocated(*found, sizes)
    order = unlimited + [axis for axis, n in enumerate(grid) if n is not None]
    return _elements(index, _scaled(index, grid, order), rows, layout, sizes)


def _from_btree_v2(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, k: int, sizes: Sizes
) -> _Chunks:
    """Read the records of a v2 B-tree.

    Type 10: address O | scaled offsets 8 each. Type 11: address O | size | mask 4 | scaled offsets 8 each.
    """
    kind = _BTREE_FILTERED if filtered else _BTREE_UNFILTERED
    rows = btree_v2.read_records(window, int(layout.address or 0), kind, sizes)
    rank = len(layout.chunk_shape)
    start = rows.shape[1] - 8 * rank
    if start < sizes.offsets:
        raise FormatError("size of a record", structure=WHAT, got=rows.shape[1])
    scaled = rows[:, start:].view("<u8").reshape(len(rows), rank)
    if (scaled > np.uint64(_MAX_CELLS)).any():
        raise FormatError("offset of a chunk", structure=WHAT, got=int(scaled.max()))
    _check_width(rows[:, :start], filtered, sizes)
    return _elements(np.arange(len(rows)), scaled.astype("i8"), rows[:, :start], layout, sizes)


_READERS = {
    data_layout.SINGLE: _single,
    data_layout.IMPLICIT: _implicit,
    data_layout.FIXED_ARRAY: _from_fixed_array,
    data_layout.EXTENSIBLE_ARRAY: _from_extensible_array,
    data_layout.BTREE_V2: _from_btree_v2,
}
