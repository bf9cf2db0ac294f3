"""Source datasets as one kind of thing: chunks with a pipeline, whatever their storage was.

Contract: `chunks_of` gives contiguous and compact storage as one chunk, unfiltered edge chunks with a filter mask that
says so. Offsets are addresses of the space.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np

from refmaker import limits
from refmaker.codecs.hdf5_filters import DEFLATE, FLETCHER32, IDENTITIES, OWN, SHUFFLE, fletcher32
from refmaker.codecs.pipeline import decode_chunk
from refmaker.errors import Unsupported
from refmaker.hdf5.values import is_ieee
from refmaker.linked.address_space import AddressSpace
from refmaker.model import (
    Chunked,
    ChunkIndex,
    Compact,
    Contiguous,
    Dataset,
    Datatype,
    Filter,
    FixedPoint,
    FloatingPoint,
)

__all__ = ["SourceChunks", "chunks_of", "conversion", "decoded", "encoded", "fill_element", "pipeline_key"]


# Datatype message: version 1, class 5, no tag; the size follows.
_OPAQUE = b"\x15\0\0\0"


@dataclass(frozen=True, slots=True)
class SourceChunks:
    """A dataset's chunks.

    Attributes
    ----------
    item
        Bytes of an element.
    chunks
        Chunk shape, no extent of it 0.
    filters
        () when stored as it is.
    fill
        The element that absent chunks hold.
    """

    shape: tuple[int, ...]
    item: int
    chunks: tuple[int, ...]
    index: ChunkIndex
    filters: tuple[Filter, ...]
    datatype: Datatype
    fill: bytes

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_size(self) -> int:
        """Bytes of a decoded chunk."""
        return self.item * math.prod(self.chunks)


def chunks_of(dataset: Dataset, space: AddressSpace) -> SourceChunks:
    """Return a dataset's chunks; compact values are kept in the space."""
    storage, shape, item = dataset.storage, dataset.dataspace.shape, dataset.datatype.size
    chunks = tuple(max(n, 1) for n in shape)
    index, filters = ChunkIndex.empty(), dataset.filters
    if isinstance(storage, Chunked):
        chunks = storage.chunk_shape
        if len(chunks) != len(shape) or 0 in chunks:
            raise Unsupported(f"chunks of shape {chunks} for a dataset of shape {shape}")
        index = _with_edge_masks(storage, shape) if storage.edge_unfiltered and filters else storage.index
    elif isinstance(storage, Compact):
        index = _single(space.keep(storage.data), len(storage.data))
    elif isinstance(storage, Contiguous):
        if storage.offset is not None:
            index = _single(storage.offset, storage.size)
    else:
        raise Unsupported(f"storage of kind {type(storage).__name__}")
    whole = item * math.prod(chunks)
    if not isinstance(storage, Chunked) and len(index) and int(index.size[0]) != whole:
        raise Unsupported(f"{int(index.size[0])} bytes stored where the dataspace has {whole}")
    if not isinstance(storage, Chunked):
        filters = ()
    return SourceChunks(shape, item, chunks, index, filters, dataset.datatype, fill_element(dataset))


def _single(offset: int, size: int) -> ChunkIndex:
    if size == 0:
        return ChunkIndex.empty()
    return ChunkIndex(np.zeros(1, "i8"), np.array([offset], "u8"), np.array([size], "u8"), np.zeros(1, "u4"))


def _with_edge_masks(storage: Chunked, shape: tuple[int, ...]) -> ChunkIndex:
    grid = tuple(-(-n // c) for n, c in zip(shape, storage.chunk_shape, strict=True))
    edge = np.zeros(len(storage.index), bool)
    for at, n, c in zip(np.unravel_index(storage.index.cell, grid), shape, storage.chunk_shape, strict=True):
        edge |= (at + 1) * c > n
    return replace(storage.index, filter_mask=np.where(edge, np.uint32(0xFFFFFFFF), storage.index.filter_mask))


def fill_element(dataset: Dataset) -> bytes:
    """Return the element that was never written, zeros when it is undefined or the default."""
    value, size = dataset.fill.value, dataset.datatype.size
    if size > limits.LINKED_ELEMENT:
        raise Unsupported(
            f"elements of {size} bytes in a virtual or external dataset: more than the limit linked-element of "
            f"{limits.LINKED_ELEMENT} bytes"
        )
    if not value:
        return b"\0" * size
    if len(value) != size:
        raise Unsupported(f"a fill value of {len(value)} bytes for elements of {size}")
    return value


def pipeline_key(filters: tuple[Filter, ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Return what decides how a pipeline decodes: levels of compression and names do not."""
    kept = {SHUFFLE: slice(0, 1), FLETCHER32: slice(0, 0), DEFLATE: slice(0, 0)}
    changing = (f for f in filters if f.id not in IDENTITIES)
    return tuple((f.id, f.client_data[kept.get(f.id, slice(None))]) for f in changing)


def decoded(data: bytes, source: SourceChunks, mask: int) -> bytes:
    """Undo the filters of a chunk, those that `refmaker.hdf5` lacks with libhdf5's.

    Raises
    ------
    FormatError
        The bytes do not decode to a chunk.
    Unsupported
        A filter is not available.
    """
    if all(f.id in OWN for f in source.filters):
        return decode_chunk(data, source.filters, mask, source.chunk_size)
    from refmaker.codecs import decode

    # As opaque elements, so that the bytes come out as they are stored.
    datatype = _OPAQUE + source.item.to_bytes(4, "little")
    return decode.decode_chunk(data, datatype, source.chunks, source.filters, mask, np.dtype(f"V{source.item}"))


def encoded(data: bytes, filters: tuple[Filter, ...]) -> bytes | None:
    """Run a chunk through a pipeline; None when there is a filter that cannot be applied here."""
    for found in filters:
        if found.id == DEFLATE:
            data = zlib.compress(data, 1)
        elif found.id == SHUFFLE:
            data = _shuffled(data, found.client_data[0] if found.client_data else 1)
        elif found.id == FLETCHER32:
            data += fletcher32(data).to_bytes(4, "little")
        elif found.id not in IDENTITIES:
            return None
    return data


def _shuffled(data: bytes, element: int) -> bytes:
    whole = len(data) // element * element if element > 1 else 0
    if whole == 0:
        return data
    return np.frombuffer(data, "u1", whole).reshape(-1, element).T.tobytes() + data[whole:]


def conversion(source: Datatype, virtual: Datatype) -> tuple[np.dtype[np.generic], np.dtype[np.generic]] | None:
    """Return the dtypes that elements are converted between, None when both datatypes are the same.

    Raises
    ------
    Unsupported
        The conversion is not exact, or one that libhdf5 does not have either.
    """
    if source == virtual:
        return None
    before, after = _number(source), _number(virtual)
    if before is None or after is None or not np.can_cast(before, after, "safe"):
        raise Unsupported(f"elements of {_name(source)} in a virtual dataset of {_name(virtual)}")
    return before, after


def _number(datatype: Datatype) -> np.dtype[np.generic] | None:
    if isinstance(datatype, FixedPoint) and (datatype.bit_offset, datatype.precision) == (0, 8 * datatype.size):
        kind = "i" if datatype.signed else "u"
    elif isinstance(datatype, FloatingPoint) and is_ieee(datatype):
        kind = "f"
    else:
        return None
    return np.dtype(f"{datatype.byte_order}{kind}{datatype.size}") if datatype.size in (1, 2, 4, 8) else None


def _name(datatype: Datatype) -> str:
    dtype = _number(datatype)
    return f"{type(datatype).__name__} of {datatype.size} bytes" if dtype is None else dtype.str
