"""Any chunk index to one `ChunkIndex`: columns sorted by cell of the current chunk grid.

Contract: `read_chunk_index` reads through a Window; all five index types of layout version 4 and the version 1 B-tree.
Specification 4.0, IV.A.2.i and Appendix C. Addresses in the result count from the start of the file.

Where chunks lie in a fixed or extensible array, or in implicit storage, follows from the *maximum* dimensions, not the
current ones; in an extensible array the unlimited dimension comes first. Chunks beyond the current extent are
left out, as libhdf5 leaves them out when it reads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5 import btree_v1, btree_v2, data_layout, extensible_array, fixed_array
from refmaker.hdf5.budget import MeteredWindow
from refmaker.hdf5.chunk_columns import (
    MAX_CELLS,
    Chunks,
    allocated,
    chunk_size,
    decode_elements,
    decode_records,
    max_grid,
    scaled_offsets,
    unravel,
)
from refmaker.hdf5.data_layout import ChunkedLayout
from refmaker.hdf5.sizes import Sizes
from refmaker.model import ChunkIndex, Dataspace

__all__ = ["read_chunk_index"]

WHAT = "chunk index"
_BTREE_UNFILTERED, _BTREE_FILTERED = 10, 11


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
    if cells > MAX_CELLS:
        raise Unsupported("more chunks than can be numbered", structure=WHAT, expected=f"<= {MAX_CELLS}", got=cells)
    if layout.address is None or cells == 0:
        return ChunkIndex.empty()
    if layout.index == data_layout.BTREE_V1:
        few = _few(window, layout, grid, k, base, sizes)
        return _from_btree_v1(window, layout, grid, k, base, sizes) if few is None else few
    if layout.index == data_layout.BTREE_V2:
        return _from_btree_v2(window, layout, grid, filtered, base, sizes)
    parts = _READERS[layout.index](window, layout, space, filtered, sizes)
    return _joined([_columns(part, grid, base, window.size, sizes) for part in parts])


def _columns(chunks: Chunks, grid: tuple[int, ...], base: int, file_size: int, sizes: Sizes) -> ChunkIndex:
    """Keep what lies in the grid and is allocated, check that it lies in the file; in the order that it came in."""
    return _settled(chunks, _inside(chunks, grid, sizes), grid, base, file_size)


def _settled(
    chunks: Chunks, inside: npt.NDArray[np.bool_], grid: tuple[int, ...], base: int, file_size: int
) -> ChunkIndex:
    """Keep what is inside; see `_columns`."""
    if not inside.all():
        chunks = Chunks(chunks.scaled[inside], chunks.address[inside], chunks.size[inside], chunks.mask[inside])
    cell = np.zeros(len(chunks.address), "i8")
    for axis, n in enumerate(grid):
        cell = cell * n + chunks.scaled[:, axis] if n > 1 or axis == 0 else cell
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


def _inside(chunks: Chunks, grid: tuple[int, ...], sizes: Sizes) -> npt.NDArray[np.bool_]:
    """Return which chunks are allocated and lie in the grid."""
    inside: npt.NDArray[np.bool_] = chunks.address != np.uint64(sizes.undefined)
    for axis, n in enumerate(grid):
        # As unsigned numbers, negative positions lie beyond every grid.
        inside &= chunks.scaled[:, axis].view("u8") < np.uint64(n)
    return inside


def _joined(parts: list[ChunkIndex]) -> ChunkIndex:
    """Join parts of an index in which libhdf5 finds chunks by their number, and sort it by cell."""
    found = _concatenated(parts)
    if not _increasing(found.cell):
        order = np.argsort(found.cell, kind="stable")
        found = ChunkIndex(found.cell[order], found.offset[order], found.size[order], found.filter_mask[order])
        if (found.cell[1:] == found.cell[:-1]).any():
            raise FormatError("the same chunk twice", structure=WHAT)
    return found


def _concatenated(parts: list[ChunkIndex]) -> ChunkIndex:
    if len(parts) < 2:
        return parts[0] if parts else ChunkIndex.empty()
    return ChunkIndex(
        np.concatenate([part.cell for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.size for part in parts]),
        np.concatenate([part.filter_mask for part in parts]),
    )


def _increasing(cell: npt.NDArray[np.int64]) -> bool:
    return bool((cell[1:] > cell[:-1]).all())


def _increases(scaled: npt.NDArray[np.int64]) -> bool:
    """Return whether positions increase, the first axis counting most, as unsigned numbers."""
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
        chunks = Chunks(
            scaled, records["child"].astype("u8"), records["size"].astype("u8"), records["mask"].astype("u4")
        )
        part = _columns(chunks, grid, base, window.size, sizes)
        if len(part.cell) < len(scaled) and not _increases(scaled):
            raise FormatError("keys that are out of order", structure=WHAT)
        if not _increasing(part.cell):
            raise FormatError("keys that are out of order, or the same chunk twice", structure=WHAT)
        parts.append(part)
    return _concatenated(parts)


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
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, sizes: Sizes
) -> Iterator[Chunks]:
    if filtered and not layout.parameters:
        raise FormatError("single chunk without its stored size", structure=WHAT)
    size, mask = layout.parameters if filtered else (chunk_size(layout), 0)
    rank = len(layout.chunk_shape)
    yield Chunks(
        np.zeros((1, rank), "i8"), np.array([layout.address], "u8"), np.array([size], "u8"), np.array([mask], "u4")
    )


def _implicit(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, sizes: Sizes
) -> Iterator[Chunks]:
    grid, size = max_grid(layout, space), chunk_size(layout)
    count = _count(grid)
    # All chunks were allocated together when the dataset was made, so the file must hold every one.
    if count * size > window.size:
        raise TruncatedError(
            "implicit chunks reach beyond the end of the file", structure=WHAT, expected=count * size, got=window.size
        )
    window.budget.spend(count * size)
    index = np.arange(count, dtype="i8")
    address = np.uint64(layout.address or 0) + index.astype("u8") * np.uint64(size)
    scaled = unravel(index, grid, list(range(len(grid))))
    yield Chunks(scaled, address, np.full(count, size, "u8"), np.zeros(count, "u4"))


def _count(grid: list[int | None]) -> int:
    count = 1
    for n in grid:
        if n is None:
            raise FormatError("unlimited dimension", structure=WHAT, expected="limited dimensions", got=grid)
        count *= n
    return count


def _from_fixed_array(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, sizes: Sizes
) -> Iterator[Chunks]:
    grid = max_grid(layout, space)
    for found in fixed_array.read_elements(window, int(layout.address or 0), int(filtered), _count(grid), sizes):
        index, rows = allocated(*found, sizes)
        yield decode_elements(unravel(index, grid, list(range(len(grid)))), rows, filtered, layout, sizes)


def _from_extensible_array(
    window: MeteredWindow, layout: ChunkedLayout, space: Dataspace, filtered: bool, sizes: Sizes
) -> Iterator[Chunks]:
    grid = max_grid(layout, space)
    unlimited = [axis for axis, n in enumerate(grid) if n is None]
    if len(unlimited) != 1:
        raise FormatError("unlimited dimensions", structure=WHAT, expected=1, got=len(unlimited))
    order = unlimited + [axis for axis, n in enumerate(grid) if n is not None]
    for found in extensible_array.read_elements(window, int(layout.address or 0), int(filtered), sizes):
        index, rows = allocated(*found, sizes)
        yield decode_elements(unravel(index, grid, order), rows, filtered, layout, sizes)


def _from_btree_v2(
    window: MeteredWindow, layout: ChunkedLayout, grid: tuple[int, ...], filtered: bool, base: int, sizes: Sizes
) -> ChunkIndex:
    """Read a version 2 B-tree, each record to its place in the order of the tree, which must be that of the cells."""
    address, kind = int(layout.address or 0), _BTREE_FILTERED if filtered else _BTREE_UNFILTERED
    tree = btree_v2.read_header(window, address, kind, sizes)
    if tree.root is None:
        return ChunkIndex.empty()
    places = btree_v2.Places(tree, address)
    whole = ChunkIndex(*(np.empty(tree.total_records, kind) for kind in ("i8", "u8", "u8", "u4")))
    inside = np.empty(tree.total_records, bool)
    for records, where in btree_v2.records_in_parts(window, tree, address, sizes):
        chunks = decode_records(records, len(grid), filtered, layout, sizes)
        place = places.taken(where)
        inside[place] = here = _inside(chunks, grid, sizes)
        part = _settled(chunks, here, grid, base, window.size)
        place = place if len(part.cell) == len(place) else place[here]
        whole.cell[place], whole.offset[place] = part.cell, part.offset
        whole.size[place], whole.filter_mask[place] = part.size, part.filter_mask
    places.complete()
    if not inside.all():
        _check_order(btree_v2.read_records(window, address, kind, sizes), len(grid))
        whole = ChunkIndex(whole.cell[inside], whole.offset[inside], whole.size[inside], whole.filter_mask[inside])
    if not _increasing(whole.cell):
        raise FormatError("keys that are out of order, or the same chunk twice", structure=WHAT)
    return whole


def _check_order(records: np.ndarray, rank: int) -> None:
    if not _increases(scaled_offsets(records, rank).view("i8")):
        raise FormatError("keys that are out of order", structure=WHAT)


_READERS = {
    data_layout.SINGLE: _single,
    data_layout.IMPLICIT: _implicit,
    data_layout.FIXED_ARRAY: _from_fixed_array,
    data_layout.EXTENSIBLE_ARRAY: _from_extensible_array,
}
