"""Where the chunks of an array are: storage as a chunk grid with codecs and references.

Contract: every stored chunk becomes a reference that Zarr decodes to exactly its values, or is re-encoded into the
manifest, or the whole dataset is refused. A chunk whose filter mask, size or layout does not fit the codecs of its
array never becomes a plain reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported
from refmaker.mapping.chunks import Read, as_zarr, encode_chunk, read_ranges
from refmaker.mapping.codecs import zarr_codecs
from refmaker.mapping.decoding import Decoder, decodable, hdf5_codecs
from refmaker.mapping.edges import EdgeAllowance, Edges
from refmaker.mapping.row_chunks import largest_divisor, split_rows, whole
from refmaker.mapping.stored_chunks import Columns, filter_masks, references
from refmaker.model import Chunked, Compact, Contiguous, Dataset, External, Filter, Virtual
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["RECODED", "Layout", "Rules", "lay_out", "split_rows"]

_SHORT = "edge chunks that are stored without what reaches beyond the dataset"

# What chunks are encoded with when their own pipeline has no codec.
RECODED = Codecs(({"id": "zlib", "level": 6},))

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


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be done with values that cannot be addressed as they are.

    Attributes
    ----------
    inline_limit
        Bytes that may be re-encoded into the manifest.
    subchunk_size
        Larger contiguous blocks are split.
    portable
        Readers have no codecs of refmaker's.
    keep_checksums
        Readers get the checksums behind chunks to see.
    edges
        What may be decoded in looking for short edge chunks.
    """

    inline_limit: int
    subchunk_size: int
    portable: bool = False
    keep_checksums: bool = False
    edges: EdgeAllowance = field(default_factory=EdgeAllowance, compare=False)


def lay_out(dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...], *, read: Read, rules: Rules) -> Layout:
    """Return the chunks of a dataset on the grid of its own shape.

    Parameters
    ----------
    shape
        That of the dataspace, and the axes that an array datatype adds.
    read
        Gives `size` bytes from `offset` in the source.

    Raises
    ------
    Unsupported
        Zarr cannot address these chunks, and they are more than may be inlined.
    """
    if dtype.terminated and not _within(dataset, rules.inline_limit):
        if rules.portable:
            raise Unsupported(
                f"null-terminated strings, which may have bytes behind the NUL: {_too_large(rules.inline_limit)}"
            )
        dtype = replace(dtype, stored=None, target=dtype.element, terminated=())
    storage = dataset.storage
    if isinstance(storage, Chunked):
        layout = _chunked(dataset, storage, dtype, shape, read, rules)
    elif dataset.filters:
        raise Unsupported("filters on a dataset that is not chunked")
    elif isinstance(storage, Contiguous):
        layout = _contiguous(dataset, storage, dtype, shape, read, rules)
    elif isinstance(storage, Compact):
        layout = _compact(dataset, storage, dtype, shape)
    elif isinstance(storage, External | Virtual):
        raise Unsupported("data in other files, which were not followed")
    else:
        raise Unsupported(f"storage of kind {type(storage).__name__}")
    if dtype.terminated and len(layout.columns[0]) and not layout.codecs.need_refmaker:
        _terminate(layout, Decoder(dataset, dtype), read)
    return layout


def _too_large(limit: int) -> str:
    return f"more than the inline limit of {limit} bytes"


def _within(dataset: Dataset, limit: int) -> bool:
    """Return whether all that is stored of a dataset may be decoded while scanning."""
    storage, size = dataset.storage, dataset.datatype.size
    if isinstance(storage, Chunked):
        # Stored chunks may be larger than what they decode to, within reason: what is read is bounded as well.
        decoded = size * math.prod(storage.chunk_shape) * len(storage.index)
        return decoded <= limit and int(storage.index.size.sum()) <= 4 * limit
    if isinstance(storage, Contiguous) and storage.offset is None:
        return True
    return size * dataset.dataspace.size <= limit


def _element_size(dtype: ZarrDtype) -> int:
    return dtype.dtype.itemsize if dtype.stored is None else dtype.stored.itemsize


def _own_rank(shape: tuple[int, ...], dtype: ZarrDtype) -> tuple[int, ...]:
    """Return a shape without the axes that an array datatype adds."""
    return shape[: len(shape) - len(dtype.extra)]


def _size(dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...]) -> int:
    """Return the bytes that elements take as stored; `shape` is that of the array, extra axes included."""
    if dtype.target is not None:
        return dataset.datatype.size * math.prod(_own_rank(shape, dtype))
    return _element_size(dtype) * math.prod(shape)


def _compact(dataset: Dataset, storage: Compact, dtype: ZarrDtype, shape: tuple[int, ...]) -> Layout:
    chunks = whole(shape)
    size = _size(dataset, dtype, shape)
    if len(storage.data) != size:
        raise Unsupported(f"compact data of {len(storage.data)} bytes where the dataspace has {size}")
    if not size or 0 in shape:
        return Layout(chunks)
    return Layout(chunks, inline={0: Decoder(dataset, dtype).decode(storage.data, _own_rank(shape, dtype), (), 0)})


def _contiguous(
    dataset: Dataset, storage: Contiguous, dtype: ZarrDtype, shape: tuple[int, ...], read: Read, rules: Rules
) -> Layout:
    size = _size(dataset, dtype, shape)
    if storage.offset is None or size == 0 or 0 in shape:
        return Layout(split_rows(shape, dtype.dtype.itemsize, rules.subchunk_size))
    if storage.size < size:
        raise Unsupported(f"contiguous data of {storage.size} bytes where the dataspace has {size}")
    if dtype.stored is None and dtype.target is None:
        if storage.rows is not None:
            return _by_rows(storage, storage.rows, shape, dtype.dtype.itemsize, read, rules)
        row = dtype.dtype.itemsize * math.prod(shape[1:])
        part = rules.subchunk_size if storage.part is None else min(max(storage.part, row), rules.subchunk_size)
        chunks = split_rows(shape, dtype.dtype.itemsize, part)
        return Layout(chunks, columns=_parts(storage.offset, size, dtype.dtype.itemsize * math.prod(chunks)))
    if (dtype.target is None or rules.portable) and size <= rules.inline_limit:
        (data,) = read_ranges(read, [storage.offset], [size])
        decoded = Decoder(dataset, dtype).decode(data, _own_rank(shape, dtype), (), 0)
        return Layout(whole(shape), RECODED, inline={0: encode_chunk(decoded, RECODED.configs)})
    if rules.portable:
        raise Unsupported(f"{_why(dtype)}: {_too_large(rules.inline_limit)}")
    own = split_rows(_own_rank(shape, dtype), dataset.datatype.size, rules.subchunk_size)
    columns = _parts(storage.offset, size, dataset.datatype.size * math.prod(own))
    return Layout(own + dtype.extra, hdf5_codecs(dataset, dtype, own, ()), columns=columns)


def _by_rows(storage: Contiguous, rows: int, shape: tuple[int, ...], item: int, read: Read, rules: Rules) -> Layout:
    """Cut a block into chunks of so many rows. The last chunk goes into the manifest where there are not enough rows.

    Zarr wants the last chunk as long as the others, and behind the last row there may be nothing.
    """
    rows = min(rows, shape[0])
    size = item * math.prod(shape[1:])
    tail = shape[0] % rows
    layout = Layout((rows, *whole(shape[1:])))
    if tail and rows * size > rules.inline_limit:
        asked, rows = rows, largest_divisor(shape[0], rows)
        unfit = f"the last chunk of {tail} would have to be in the manifest: {_too_large(rules.inline_limit)}"
        layout.notes.append(f"chunks of {asked} records are not possible: {unfit}; chunks have {rows}")
        layout.chunks, tail = (rows, *layout.chunks[1:]), 0
    start = int(storage.offset or 0)
    layout.columns = _parts(start, (shape[0] - tail) * size, rows * size)
    if tail:
        (block,) = read_ranges(read, [start + (shape[0] - tail) * size], [tail * size])
        layout.inline = {shape[0] // rows: bytes(block) + bytes((rows - tail) * size)}
        layout.notes.append(f"the last {tail} of {shape[0]} records are in the manifest, as they are no whole chunk")
    return layout


def _parts(offset: int, size: int, part: int) -> Columns:
    """Return the references of a block that is cut into equal parts."""
    count = size // part
    at = np.arange(count, dtype="u8") * np.uint64(part) + np.uint64(offset)
    return np.arange(count), at, np.full(count, part, "u8")


def _why(dtype: ZarrDtype) -> str:
    if dtype.target is None:
        return "compound elements with padding, or of the other byte order"
    return f"elements that have to be converted to {dtype.dtype}"


def _chunked(
    dataset: Dataset, storage: Chunked, dtype: ZarrDtype, shape: tuple[int, ...], read: Read, rules: Rules
) -> Layout:
    chunks = storage.chunk_shape + dtype.extra
    if len(chunks) != len(shape) or 0 in chunks:
        raise Unsupported(f"chunks of shape {chunks} for an array of shape {shape}")
    index = storage.index
    if len(index) == 0 or 0 in shape:
        return Layout(chunks)
    size = _size(dataset, dtype, chunks)
    # Most chunks share one filter mask, mostly 0: the codecs are those of that mask, other chunks are decoded here.
    masks, mask, odd = filter_masks(storage, dataset.filters, grid_of(shape, chunks), shape)
    applied = tuple(f for position, f in enumerate(dataset.filters) if not mask >> position & 1)
    fits = size * len(index) <= rules.inline_limit and int(index.size.sum()) <= 4 * rules.inline_limit
    codecs, why = _codecs(dataset, dtype, storage, applied, size, rules, inline=bool(odd.any()), fits=fits)
    every = np.ones(len(index), bool)
    chosen = odd if codecs is not None else every
    if odd.any():
        why += f"{', and ' if why else ''}{int(odd.sum())} chunks that are filtered otherwise than the others"
    edges = Edges(_own_rank(shape, dtype), storage.chunk_shape, dataset.datatype.size)
    if codecs is not None and edges.any:
        short = edges.short_chunks(Decoder(dataset, dtype), index, codecs, odd, mask, read, rules.edges)
        if short is not None:
            why += f"{', and ' if why else ''}{_SHORT}"
            if codecs.need_refmaker and not (fits and decodable(applied)):
                raise Unsupported(f"{_SHORT}: libhdf5 as a codec takes whole chunks only")
            codecs, chosen = (None, every) if codecs.need_refmaker else (codecs, chosen | short)
    layout = Layout(chunks, codecs or RECODED)
    if not chosen.all():
        layout.columns = references(storage, layout.codecs, size, ~chosen)
    if chosen.any():
        if size * int(chosen.sum()) > rules.inline_limit or int(index.size[chosen].sum()) > 4 * rules.inline_limit:
            raise Unsupported(f"{why}: {_too_large(rules.inline_limit)}")
        for cell, data in _decode(Decoder(dataset, dtype), storage, chosen, masks, read, edges):
            layout.inline[cell] = encode_chunk(data, layout.codecs.configs)
    return layout


def _codecs(
    dataset: Dataset,
    dtype: ZarrDtype,
    storage: Chunked,
    applied: tuple[Filter, ...],
    size: int,
    rules: Rules,
    *,
    inline: bool,
    fits: bool,
) -> tuple[Codecs | None, str]:
    """Choose what readers decode chunks with; None, and why, when all have to be written into the manifest.

    Plain codecs where they do. Else the values go into the manifest, as far as they fit and the scan can decode them by
    itself, or readers are to be portable; else libhdf5 is the codec, which cannot encode chunks that are filtered in
    another way (`inline`).
    """
    why = _why(dtype)
    if dtype.stored is None and dtype.target is None:
        try:
            return zarr_codecs(applied, size, rules.keep_checksums), ""
        except Unsupported as error:
            why = error.message
    if rules.portable or inline or (fits and dtype.target is None and decodable(applied)):
        return None, why
    return hdf5_codecs(dataset, dtype, storage.chunk_shape, applied), why


def _terminate(layout: Layout, decoder: Decoder, read: Read) -> None:
    """Look for chunks whose null-terminated strings have something behind the NUL, and write them out without it."""
    cell, offset, stored = layout.columns
    own, filters = _own_rank(layout.chunks, decoder.dtype), layout.codecs.pipeline
    plain = np.ones(len(cell), bool)
    as_stored = Decoder(decoder.dataset, replace(decoder.dtype, terminated=()))
    for row, block in enumerate(read_ranges(read, offset.tolist(), stored.tolist())):
        data = as_stored.decode(block, own, filters, 0)
        clean = as_zarr(data, decoder.dtype)
        if clean != data:
            plain[row] = False
            layout.inline[int(cell[row])] = encode_chunk(clean, layout.codecs.configs)
    if not plain.all():
        layout.columns = cell[plain], offset[plain], stored[plain]


def _decode(
    decoder: Decoder,
    storage: Chunked,
    chosen: npt.NDArray[np.bool_],
    masks: npt.NDArray[np.uint32],
    read: Read,
    edges: Edges,
) -> Iterator[tuple[int, bytes]]:
    """Read chunks, and decode them one by one; of those at the edges, what lies within the dataset will do."""
    index, filters = storage.index, decoder.dataset.filters
    blocks = read_ranges(read, index.offset[chosen].tolist(), index.size[chosen].tolist())
    columns = index.cell[chosen].tolist(), masks[chosen].tolist(), edges.needed(index.cell[chosen]).tolist()
    for cell, mask, least, block in zip(*columns, blocks, strict=True):
        yield cell, decoder.decode(block, storage.chunk_shape, filters, mask, least)
