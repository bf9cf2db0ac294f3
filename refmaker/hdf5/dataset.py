"""A dataset: what its object header says, where its values are stored, variable-length values themselves.

Contract: `decode_dataset` reads only what shared messages need; `read_storage` reads the chunk index, `read_values` the
variable-length values; both through the Window of a `File`. Specification 4.0, IV.A.2 and V.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.chunk_index import read_chunk_index
from refmaker.hdf5.data_layout import (
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
from refmaker.hdf5.pipeline import decode_chunk
from refmaker.hdf5.symbol_table import decode_local_heap, local_heap_size
from refmaker.hdf5.values import decode_values, heap_references, is_variable
from refmaker.model import (
    Chunked,
    Compact,
    Contiguous,
    Dataspace,
    Datatype,
    External,
    ExternalSegment,
    FillValue,
    Filter,
    Storage,
    VariableLength,
    Virtual,
)

__all__ = ["DATASPACE", "DATATYPE", "DatasetHeader", "decode_dataset", "read_storage", "read_values"]

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
        if message.kind in _WANTED:
            bodies[message.kind] = shared_body(file, message)
    if LAYOUT not in bodies:
        raise FormatError("no data layout message", structure="dataset")
    if FILL in bodies:
        fill = decode_fill_value(bodies[FILL])
    elif OLD_FILL in bodies:
        fill = decode_old_fill_value(bodies[OLD_FILL])
    else:
        fill = FillValue()
    return DatasetHeader(
        decode_dataspace(bodies[DATASPACE], file.sizes),
        decode_datatype(bodies[DATATYPE]),
        fill,
        decode_filter_pipeline(bodies[FILTERS]) if FILTERS in bodies else (),
        decode_data_layout(bodies[LAYOUT], file.sizes),
        decode_external_files(bodies[EXTERNAL], file.sizes) if EXTERNAL in bodies else None,
        bodies[DATATYPE],
    )


_WANTED = frozenset({DATASPACE, DATATYPE, OLD_FILL, FILL, EXTERNAL, LAYOUT, FILTERS})


def read_storage(file: File, header: DatasetHeader) -> Storage:
    """Find where the values of a dataset are stored."""
    layout = header.layout
    if isinstance(layout, CompactLayout):
        return Compact(layout.data)
    if isinstance(layout, VirtualLayout):
        return Virtual((layout.collection or 0) + file.base, layout.index)
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
    index = read_chunk_index(file.window, layout, header.dataspace, filtered, file.chunk_k, file.base, file.sizes)
    return Chunked(layout.chunk_shape, index, layout.unfiltered_edges)


def _contiguous(file: File, header: DatasetHeader, layout: ContiguousLayout) -> Contiguous:
    size = header.dataspace.size * header.datatype.size
    if layout.size is not None:
        # HDF5 1.4 could leave a wrong size behind; libhdf5 takes the size from the dataspace, as long as it fits.
        size = min(size, layout.size) if layout.size else size
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
    buf, pos = file.window.at(segment, size)
    names = bytes(buf[pos : pos + size])
    segments = []
    for name_at, offset, length in slots:
        stop = names.find(b"\0", name_at)
        if stop < 0:
            raise FormatError("name", structure="external data files message", got=name_at)
        segments.append(ExternalSegment(names[name_at:stop].decode("utf-8", "surrogateescape"), offset, length))
    return External(tuple(segments))


def read_values(file: File, header: DatasetHeader, storage: Storage, limit: int) -> np.ndarray | None:
    """Read the values of a variable-length dataset; None for other datatypes, and for ones that are never resolved.

    Raises `Unsupported` when they would take more than `limit` bytes.
    """
    datatype, space = header.datatype, header.dataspace
    if not isinstance(datatype, VariableLength) or space.kind == "null":
        if is_variable(datatype):
            raise Unsupported("variable-length data inside a compound or array datatype")
        return None
    if space.size * datatype.size > limit:
        raise Unsupported(
            f"variable-length data of {space.size} elements are larger than the inline limit of {limit} bytes"
        )
    raw = _raw(file, header, storage)
    references = heap_references(raw, space.size, file.sizes)
    element = 1 if datatype.is_string else datatype.base.size
    total = int(references["length"].astype("u8").sum()) * element
    if total > limit:
        raise Unsupported(f"variable-length data of {total} bytes are larger than the inline limit of {limit} bytes")
    return decode_values(datatype, raw, space.shape, file.base, file.sizes, partial(read_heap_objects, file))


def _raw(file: File, header: DatasetHeader, storage: Storage) -> bytes:
    """Read all elements of a dataset as stored, absent ones as zeros (variable-length: null)."""
    size = header.dataspace.size * header.datatype.size
    if isinstance(storage, Compact):
        return storage.data
    if isinstance(storage, Contiguous):
        return b"\0" * size if storage.offset is None else _bytes(file, storage.offset, storage.size)
    if isinstance(storage, Chunked):
        return _assemble(file, header, storage)
    raise Unsupported("variable-length data in external or virtual storage")


def _bytes(file: File, offset: int, size: int) -> bytes:
    buf, pos = file.window.at(offset - file.base, size)
    return bytes(buf[pos : pos + size])


def _assemble(file: File, header: DatasetHeader, storage: Chunked) -> bytes:
    """Put chunks together to the whole array of elements."""
    space, element = header.dataspace, header.datatype.size
    grid = tuple(-(-n // c) for n, c in zip(space.shape, storage.chunk_shape, strict=True))
    chunk_size = element
    for n in storage.chunk_shape:
        chunk_size *= n
    whole = np.zeros((*space.shape, element), "u1")
    index = storage.index
    _check_total(file, index.size, chunk_size)
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
        data = decode_chunk(stored, filters, mask, chunk_size)
        target = whole[region]
        chunk = np.frombuffer(data, "u1").reshape(*storage.chunk_shape, element)
        target[...] = chunk[tuple(slice(0, n) for n in target.shape[:-1])]
    return whole.tobytes()


def _check_total(file: File, sizes: np.ndarray, chunk_size: int) -> None:
    """Bound the memory that chunks decode to by what deflate could make of the file."""
    if len(sizes) * chunk_size > 1100 * file.window.size + chunk_size:
        raise Unsupported("chunks decode to more than the file can hold")
