"""Where the chunks of an array are: storage as a chunk grid with codecs and references.

Contract: every stored chunk becomes a reference that Zarr decodes to exactly its values, or is re-encoded into the
manifest, or the whole dataset is refused. A chunk whose filter mask, size or layout does not fit the codecs of its
array never becomes a plain reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported
from refmaker.hdf5.pipeline import decode_chunk
from refmaker.model import Chunked, Compact, Contiguous, Dataset, External, Filter, Virtual
from refmaker.zarr.chunks import Read, as_zarr, encode_chunk, read_ranges
from refmaker.zarr.codecs import Codecs, zarr_codecs
from refmaker.zarr.dtypes import ZarrDtype

__all__ = ["Layout", "grid_of", "lay_out", "split_rows"]

# A contiguous block is not split into pieces smaller than this part of what is asked for.
_SMALLEST_PART = 64

# The filters of `refmaker.hdf5.pipeline`, and what chunks are encoded with when their own pipeline has no codec.
DECODABLE = frozenset({1, 2, 3})
_RECODED = Codecs(({"id": "zlib", "level": 6},))

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
NOTHING: Columns = (np.empty(0, "i8"), np.empty(0, "u8"), np.empty(0, "u8"))


@dataclass(slots=True)
class Layout:
    """The chunks of an array.

    Attributes
    ----------
    chunks
        Chunk shape, no extent of it 0.
    codecs
        What all chunks are encoded with.
    columns
        `cell`, `offset`, `size` of the references, sorted by cell.
    inline
        Cell -> encoded bytes.
    """

    chunks: tuple[int, ...]
    codecs: Codecs = field(default_factory=Codecs)
    columns: Columns = NOTHING
    inline: dict[int, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def lay_out(
    dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...], *, read: Read, inline_limit: int, subchunk_size: int
) -> Layout:
    """Give the chunks of a dataset on the grid of its own shape.

    Parameters
    ----------
    shape
        That of the dataspace, and the axes that an array datatype adds.
    read
        Gives `size` bytes from `offset` in the source.
    inline_limit
        Bytes that may be re-encoded into the manifest.
    subchunk_size
        Larger contiguous blocks are split.

    Raises
    ------
    Unsupported
        Zarr cannot address these chunks, and they are more than may be inlined.
    """
    layout = _lay_out(dataset, dtype, shape, read, inline_limit, subchunk_size)
    if dtype.terminated and len(layout.columns[0]):
        _terminate(layout, dtype, read, inline_limit)
    return layout


def _lay_out(
    dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...], read: Read, inline_limit: int, subchunk_size: int
) -> Layout:
    storage = dataset.storage
    if isinstance(storage, Chunked):
        return _chunked(dataset, storage, dtype, shape, read, inline_limit)
    if dataset.filters:
        raise Unsupported("filters on a dataset that is not chunked")
    if isinstance(storage, Contiguous):
        return _contiguous(storage, dtype, shape, read, inline_limit, subchunk_size)
    if isinstance(storage, Compact):
        whole = _whole(shape)
        size = _element_size(dtype) * math.prod(shape)
        if len(storage.data) != size:
            raise Unsupported(f"compact data of {len(storage.data)} bytes where the dataspace has {size}")
        return Layout(whole, inline={0: as_zarr(storage.data, dtype)} if size else {})
    if isinstance(storage, External):
        raise Unsupported("raw data in external files are not mapped yet")
    if isinstance(storage, Virtual):
        raise Unsupported("virtual datasets are not mapped yet")
    raise Unsupported(f"storage of kind {type(storage).__name__}")


def grid_of(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """Give the number of chunks along each axis."""
    return tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))


def split_rows(shape: tuple[int, ...], item: int, limit: int) -> tuple[int, ...]:
    """Choose a chunk shape for a contiguous array: whole rows of the first axis that is too long, up to `limit` bytes.

    Zarr wants the last chunk as long as the others, so that only a divisor of the extent will do. Where all of them
    make pieces that are too small, the block stays whole along that axis.
    """
    chunks = list(_whole(shape))
    for axis in range(len(chunks)):
        inner = item * math.prod(chunks[axis + 1 :])
        if inner * chunks[axis] <= limit:
            break
        if inner >= limit:
            chunks[axis] = 1
            continue
        rows = _largest_divisor(chunks[axis], limit // inner)
        if rows * inner * _SMALLEST_PART >= limit:
            chunks[axis] = rows
        break
    return tuple(chunks)


def _largest_divisor(extent: int, limit: int) -> int:
    """Give the largest divisor of `extent` up to `limit`, looked for among those that have a factor below 2**16."""
    factors = np.arange(1, min(math.isqrt(extent), 1 << 16) + 1)
    small = factors[extent % factors == 0].tolist()
    return max((d for f in small for d in (f, extent // f) if d <= limit), default=1)


def _whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give a chunk shape that covers all, an empty axis with one element."""
    return tuple(max(extent, 1) for extent in shape)


def _element_size(dtype: ZarrDtype) -> int:
    return dtype.dtype.itemsize if dtype.stored is None else dtype.stored.itemsize


def _contiguous(
    storage: Contiguous, dtype: ZarrDtype, shape: tuple[int, ...], read: Read, inline_limit: int, subchunk_size: int
) -> Layout:
    size = _element_size(dtype) * math.prod(shape)
    if storage.offset is None or size == 0:
        return Layout(split_rows(shape, dtype.dtype.itemsize, subchunk_size))
    if storage.size < size:
        raise Unsupported(f"contiguous data of {storage.size} bytes where the dataspace has {size}")
    if dtype.stored is not None:
        if size > inline_limit:
            raise Unsupported(f"compound elements with padding: more than the inline limit of {inline_limit} bytes")
        (data,) = read_ranges(read, [storage.offset], [size])
        return Layout(_whole(shape), inline={0: as_zarr(data, dtype)})
    chunks = split_rows(shape, dtype.dtype.itemsize, subchunk_size)
    part = dtype.dtype.itemsize * math.prod(chunks)
    count = size // part
    offset = np.arange(count, dtype="u8") * np.uint64(part) + np.uint64(storage.offset)
    return Layout(chunks, columns=(np.arange(count), offset, np.full(count, part, "u8")))


def _chunked(
    dataset: Dataset, storage: Chunked, dtype: ZarrDtype, shape: tuple[int, ...], read: Read, inline_limit: int
) -> Layout:
    chunks = storage.chunk_shape + dtype.extra
    if len(chunks) != len(shape) or 0 in chunks:
        raise Unsupported(f"chunks of shape {chunks} for an array of shape {shape}")
    index = storage.index
    if len(index) == 0 or 0 in shape:
        return Layout(chunks)
    size = _element_size(dtype) * math.prod(chunks)
    masks, mask, odd = _masks(storage, dataset.filters, grid_of(shape, chunks), shape)
    chosen, codecs, why = odd, _RECODED, f"{int(odd.sum())} chunks that are filtered otherwise than the others"
    applied = tuple(f for position, f in enumerate(dataset.filters) if not mask >> position & 1)
    if dtype.stored is not None:
        chosen, why = np.ones(len(index), bool), "compound elements with padding"
    else:
        try:
            codecs = zarr_codecs(applied, size)
        except Unsupported as error:
            if not all(f.id in DECODABLE for f in applied):
                raise
            chosen, why = np.ones(len(index), bool), error.message
    layout = Layout(chunks, codecs)
    if not chosen.all():
        layout.columns = _references(storage, codecs, size, ~chosen)
    if chosen.any():
        if size * int(chosen.sum()) > inline_limit or int(index.size[chosen].sum()) > 4 * inline_limit:
            raise Unsupported(f"{why}: more than the inline limit of {inline_limit} bytes")
        for cell, data in _decode(dataset.filters, storage, chosen, masks, size, read):
            layout.inline[cell] = encode_chunk(as_zarr(data, dtype), codecs.configs)
    return layout


def _terminate(layout: Layout, dtype: ZarrDtype, read: Read, inline_limit: int) -> None:
    """Look for chunks whose null-terminated strings have something behind the NUL, and write them out without it."""
    cell, offset, stored = layout.columns
    size = dtype.dtype.itemsize * math.prod(layout.chunks)
    filters = layout.codecs.pipeline
    within = size * len(cell) <= inline_limit and int(stored.sum()) <= 4 * inline_limit
    if not within or any(f.id not in DECODABLE for f in filters):
        layout.notes.append("null-terminated strings: bytes behind the NUL, if there are any, are shown")
        return
    plain = np.ones(len(cell), bool)
    for row, block in enumerate(read_ranges(read, offset.tolist(), stored.tolist())):
        data = decode_chunk(block, filters, 0, size)
        clean = as_zarr(data, dtype)
        if clean != data:
            plain[row] = False
            layout.inline[int(cell[row])] = encode_chunk(clean, layout.codecs.configs)
    if not plain.all():
        layout.columns = cell[plain], offset[plain], stored[plain]


def _masks(
    storage: Chunked, filters: tuple[Filter, ...], grid: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint32], int, npt.NDArray[np.bool_]]:
    """Give the filter mask of every chunk, that of most chunks, and which chunks have another."""
    every = np.uint32((1 << min(len(filters), 32)) - 1)
    masks = storage.index.filter_mask & every
    if storage.edge_unfiltered and every:
        masks = np.where(_partial(storage.index.cell, grid, shape, storage.chunk_shape), every, masks)
    if not masks.any():
        return masks, 0, np.zeros(len(masks), bool)
    values, counts = np.unique(masks, return_counts=True)
    mask = int(values[counts.argmax()])
    return masks, mask, masks != mask


def _partial(
    cell: npt.NDArray[np.int64], grid: tuple[int, ...], shape: tuple[int, ...], chunks: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Say which chunks reach beyond the extent of the dataset."""
    found = np.zeros(len(cell), bool)
    if grid:
        for position, extent, chunk in zip(np.unravel_index(cell, grid), shape, chunks, strict=False):
            found |= (position + 1) * chunk > extent
    return found


def _references(storage: Chunked, codecs: Codecs, size: int, plain: npt.NDArray[np.bool_]) -> Columns:
    """Give the references of the chunks in `plain`, checked against what the codecs ask for."""
    index = storage.index
    cell, offset, stored = index.cell, index.offset, index.size
    if not plain.all():
        cell, offset, stored = cell[plain], offset[plain], stored[plain]
    if codecs.trim:
        if (stored < codecs.trim).any():
            raise Unsupported("a chunk is shorter than its checksum")
        stored = stored - np.uint64(codecs.trim)
    if not codecs.configs and (stored != size).any():
        wrong = int(stored[stored != size][0])
        raise Unsupported(f"a chunk stored without compression has {wrong} bytes instead of {size}")
    return cell, offset, stored


def _decode(
    filters: tuple[Filter, ...],
    storage: Chunked,
    chosen: npt.NDArray[np.bool_],
    masks: npt.NDArray[np.uint32],
    size: int,
    read: Read,
) -> Iterator[tuple[int, bytes]]:
    """Read chunks, and decode them one by one; `size` is that of a decoded chunk."""
    index = storage.index
    blocks = read_ranges(read, index.offset[chosen].tolist(), index.size[chosen].tolist())
    for cell, mask, block in zip(index.cell[chosen].tolist(), masks[chosen].tolist(), blocks, strict=True):
        yield cell, decode_chunk(block, filters, mask, size)
