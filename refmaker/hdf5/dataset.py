"""A dataset: what its object header says, where its values are stored, variable-length values themselves.

Contract: `decode_dataset` reads only what shared messages need; `read_storage` reads the chunk index, `read_values` the
variable-length values; both through the Window of a `File`. Specification 4.0, IV.A.2 and V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from refmaker.codecs.pipeline import decode_chunk
from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.chunk_index import read_chunk_index
from refmaker.hdf5.compound_values import decode_members, has_pointing_members, pointing
from refmaker.hdf5.data_layout import (
    BTREE_V1,
    BTREE_V2,
    EXTENSIBLE_ARRAY,
    FIXED_ARRAY,
    ChunkedLayout,
    CompactLayout,
    ContiguousLayout,
    Layout,
    VirtualLayout,
    decode_data_layout,
)
from refmaker.hdf5.dataspace import decode_dataspace
from refmaker.hdf5.datatype import decode_datatype
from refmaker.hdf5.external_files import decode_external_files
from refmaker.hdf5.file import File, read_heap_objects, shared_body
from refmaker.hdf5.fill_value import decode_fill_value, decode_old_fill_value
from refmaker.hdf5.filter_pipeline import decode_filter_pipeline
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.symbol_table import decode_local_heap, local_heap_size
from refmaker.hdf5.values import MAX_ARRAY_RANK, decode_values, heap_references, is_variable
from refmaker.hdf5.virtual import decode_mappings
from refmaker.model import (
    Chunked,
    Compact,
    Compound,
    Contiguous,
    Dataspace,
    Datatype,
    External,
    ExternalSegment,
    FillValue,
    Filter,
    ObjectReference,
    Storage,
    VariableLength,
    Virtual,
)

__all__ = ["DATASPACE", "DATATYPE", "DatasetHeader", "announce_index", "decode_dataset", "read_storage", "read_values"]

DATASPACE, DATATYPE, OLD_FILL, FILL, EXTERNAL, LAYOUT, FILTERS = 0x01, 0x03, 0x04, 0x05, 0x07, 0x08, 0x0B


@dataclass(slots=True)
class DatasetHeader:
    """The messages of a dataset, decoded. `external` is the local heap and the slots of external data files."""

    dataspace: Dataspace
    datatype: Datatype
    fill: FillValue
    filters: tuple[Filter, ...]
    layout: Layout
    external: tuple[int, tuple[tuple[int, int, int | None], ...]] | None
    datatype_message: bytes


def decode_dataset(file: File, messages: list[Message]) -> DatasetHeader:
    """Decode the messages that make a dataset."""
    bodies: dict[int, bytes] = {}
    for message in messages:
        if message.kind in _WANTED and message.kind not in bodies:
            bodies[message.kind] = shared_body(file, message)
    for kind, name in ((LAYOUT, "data layout"), (DATASPACE, "dataspace")):
        if kind not in bodies:
            raise FormatError(f"no {name} message", structure="dataset")
    if FILL in bodies:
        fill = decode_fill_value(bodies[FILL])
    elif OLD_FILL in bodies:
        fill = decode_old_fill_value(bodies[OLD_FILL])
    else:
        fill = FillValue()
    datatype = decode_datatype(bodies[DATATYPE])
    if fill.value and len(fill.value) != datatype.size:
        raise FormatError(
            "size of the fill value", structure="fill value message", expected=datatype.size, got=len(fill.value)
        )
    return DatasetHeader(
        decode_dataspace(bodies[DATASPACE], file.sizes),
        datatype,
        fill,
        decode_filter_pipeline(bodies[FILTERS]) if FILTERS in bodies else (),
        decode_data_layout(bodies[LAYOUT], file.sizes),
        decode_external_files(bodies[EXTERNAL], file.sizes) if EXTERNAL in bodies else None,
        bodies[DATATYPE],
    )


# The others have no structure of their own.
_INDEX_GUESS = {BTREE_V1: 4096, FIXED_ARRAY: 512, EXTENSIBLE_ARRAY: 512, BTREE_V2: 512}
_WANTED = frozenset({DATASPACE, DATATYPE, OLD_FILL, FILL, EXTERNAL, LAYOUT, FILTERS})


def announce_index(file: File, header: DatasetHeader) -> None:
    """Announce where a chunk index begins: a node of a version 1 B-tree, or a header."""
    layout = header.layout
    if isinstance(layout, ChunkedLayout) and layout.address is not None and layout.index in _INDEX_GUESS:
        file.window.want((layout.address,), _INDEX_GUESS[layout.index])


def read_storage(file: File, header: DatasetHeader) -> Storage:
    """Find where the values of a dataset are stored."""
    layout = header.layout
    if isinstance(layout, CompactLayout):
        return _compact(header, layout)
    if isinstance(layout, VirtualLayout):
        return _virtual(file, layout)
    if isinstance(layout, ContiguousLayout):
        return _external(file, header) if header.external is not None else _contiguous(file, header, layout)
    if layout.element_size != header.datatype.size:
        raise FormatError(
            "element size of the chunks",
            structure="data layout message",
            expected=header.datatype.size,
            got=layout.element_size,
        )
    filtered = bool(header.filters)
    index = read_chunk_index(file.metered, layout, header.dataspace, filtered, file.chunk_k, file.base, file.sizes)
    return Chunked(layout.chunk_shape, index, layout.unfiltered_edges)


def _virtual(file: File, layout: VirtualLayout) -> Virtual:
    if layout.collection is None:
        return Virtual(0, layout.index)
    (block,) = read_heap_objects(file, [layout.collection], [layout.index])
    return Virtual(layout.collection + file.base, layout.index, decode_mappings(block, file.sizes))


def _compact(header: DatasetHeader, layout: CompactLayout) -> Compact:
    size = header.dataspace.size * header.datatype.size
    if len(layout.data) != size:
        raise FormatError("size of compact data", structure="data layout message", expected=size, got=len(layout.data))
    return Compact(layout.data)


def _contiguous(file: File, header: DatasetHeader, layout: ContiguousLayout) -> Contiguous:
    # Like libhdf5, which takes no notice of the size in the message: old versions could leave a wrong one there.
    size = header.dataspace.size * header.datatype.size
    if layout.address is None or size == 0:
        return Contiguous(None, size)
    if layout.address + size > file.window.size:
        raise TruncatedError(
            "contiguous data reach beyond the end of the file",
            structure="contiguous storage",
            address=layout.address + file.base,
            expected=f"{size} bytes",
            got=f"a file of {file.window.size + file.base}",
        )
    return Contiguous(layout.address + file.base, size)


def _external(file: File, header: DatasetHeader) -> External:
    """Resolve the names of external data files, kept in a local heap."""
    heap, slots = header.external or (0, ())
    buf, pos = file.window.at(heap, local_heap_size(file.sizes))
    segment, size = decode_local_heap(buf, pos, file.sizes, heap)
    buf, pos = file.metered.at(segment, size)
    names = bytes(buf[pos : pos + size])
    segments = []
    for name_at, offset, length in slots:
        stop = names.find(b"\0", name_at)
        if stop < 0:
            raise FormatError("name", structure="external data files message", got=name_at)
        file.reading.spend(stop - name_at)
        segments.append(ExternalSegment(names[name_at:stop].decode("utf-8", "surrogateescape"), offset, length))
    return External(tuple(segments))


def read_values(file: File, header: DatasetHeader, storage: Storage, limit: int) -> np.ndarray | None:
    """Read the values of a dataset that only the file can resolve: variable-length data, object references.

    Gives None for other datatypes, and for ones that are never resolved.

    Raises `Unsupported` when they would take more than `limit` bytes.
    """
    datatype, space = header.datatype, header.dataspace
    if isinstance(datatype, ObjectReference) and not datatype.revised and space.size:
        if space.size * datatype.size > limit:
            raise Unsupported(f"{space.size} object references are larger than the inline limit of {limit} bytes")
        raw = _raw(file, header, storage)
        return decode_values(datatype, raw, space.shape, file.base, file.sizes, partial(read_heap_objects, file))
    if isinstance(datatype, Compound) and has_pointing_members(datatype) and space.kind != "null":
        if max(space.size, 1) * datatype.size > limit or max(space.shape, default=0) > limit:
            raise Unsupported(
                f"compound with strings or references, of {space.size} elements: larger than the inline limit of "
                f"{limit} bytes"
            )
        raw = _raw(file, header, storage) if space.size else b""
        read = partial(read_heap_objects, file, nested=False)
        return decode_members(datatype, raw, space.shape, file.base, file.sizes, limit, read)
    there, inner, axes = pointing(datatype)
    if not isinstance(inner, VariableLength) or space.kind == "null":
        if axes and (there or is_variable(datatype)):
            raise Unsupported(f"an array datatype of {type(inner).__name__}")
        return None
    if len(axes) > MAX_ARRAY_RANK:
        raise Unsupported(f"array datatype of more than {MAX_ARRAY_RANK} dimensions")
    count = space.size * math.prod(axes)
    if space.size * datatype.size > limit or max(space.shape + axes, default=0) > limit:
        raise Unsupported(f"variable-length data of {count} elements are larger than the inline limit of {limit} bytes")
    raw = _raw(file, header, storage)
    references = heap_references(raw, count, file.sizes)
    element = 1 if inner.is_string else inner.base.size
    total = int(references["length"].astype("u8").sum()) * element
    if total > limit:
        raise Unsupported(f"variable-length data of {total} bytes are larger than the inline limit of {limit} bytes")
    read = partial(read_heap_objects, file, nested=is_variable(inner.base))
    return decode_values(inner, raw, space.shape + axes, file.base, file.sizes, read)


def _raw(file: File, header: DatasetHeader, storage: Storage) -> bytes:
    """Read all elements of a dataset as stored, the fill value (or nulls) where there is no storage."""
    if isinstance(storage, Compact):
        return storage.data
    if isinstance(storage, Contiguous):
        if storage.offset is None:
            return _filled(file, header).tobytes()
        return _bytes(file, storage.offset, storage.size)
    if isinstance(storage, Chunked):
        return _assemble(file, header, storage)
    raise Unsupported("variable-length data in external or virtual storage")


def _bytes(file: File, offset: int, size: int) -> bytes:
    buf, pos = file.metered.at(offset - file.base, size)
    return bytes(buf[pos : pos + size])


def _filled(file: File, header: DatasetHeader) -> np.ndarray:
    """Return the elements of a dataset without storage: uint8 of shape (*shape, element size)."""
    element = header.datatype.size
    file.decoding.spend(header.dataspace.size * element)
    whole = np.zeros((*header.dataspace.shape, element), "u1")
    if header.fill.value:
        whole[...] = np.frombuffer(header.fill.value, "u1")
    return whole


def _assemble(file: File, header: DatasetHeader, storage: Chunked) -> bytes:
    """Put chunks together to the whole array of elements."""
    space, element = header.dataspace, header.datatype.size
    grid = tuple(-(-n // c) for n, c in zip(space.shape, storage.chunk_shape, strict=True))
    chunk_size = element
    for n in storage.chunk_shape:
        chunk_size *= n
    whole, index = _filled(file, header), storage.index
    for offset, size in zip(index.offset.tolist(), index.size.tolist(), strict=True):
        file.window.want((offset - file.base,), size)
    columns = zip(
        index.cell.tolist(), index.offset.tolist(), index.size.tolist(), index.filter_mask.tolist(), strict=True
    )
    for cell, offset, size, mask in columns:
        position = np.unravel_index(cell, grid) if grid else ()
        start = [int(p) * c for p, c in zip(position, storage.chunk_shape, strict=True)]
        region = tuple(slice(s, s + c) for s, c in zip(start, storage.chunk_shape, strict=True))
        stored = _bytes(file, offset, size)
        partial_chunk = any(s + c > n for s, c, n in zip(start, storage.chunk_shape, space.shape, strict=True))
        filters = () if storage.edge_unfiltered and partial_chunk else header.filters
        file.decoding.spend(chunk_size)
        data = decode_chunk(stored, filters, mask, chunk_size)
        target = whole[region]
        chunk = np.frombuffer(data, "u1").reshape(*storage.chunk_shape, element)
        target[...] = chunk[tuple(slice(0, n) for n in target.shape[:-1])]
    return whole.tobytes()
