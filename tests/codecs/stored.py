"""Datasets written by libhdf5, with what their files say of them: the oracle of the codec tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t

from refmaker.model import Filter

_names = count()
FilterSpec = tuple[int, int, tuple[int, ...]]
DEFLATE: FilterSpec = (1, 0, (4,))
SHUFFLE: FilterSpec = (2, 0, ())
FLETCHER32: FilterSpec = (3, 0, ())
SZIP: FilterSpec = (4, 0, (141, 8))
NBIT: FilterSpec = (5, 0, ())
LZF: FilterSpec = (32000, 0, ())


@dataclass
class Stored:
    """A dataset; `file` keeps it open."""

    file: h5py.File
    dataset: Any  # h5py.h5d.DatasetID
    datatype: bytes
    chunk_shape: tuple[int, ...]
    filters: tuple[Filter, ...]

    def chunk(self, *offset: int) -> tuple[int, bytes]:
        """Return filter mask and bytes of a chunk as stored."""
        mask, raw = self.dataset.read_direct_chunk(offset or (0,) * len(self.chunk_shape))
        return mask, bytes(raw)

    def with_chunk(self, data: bytes, mask: int = 0) -> Stored:
        """Return the same dataset with other stored bytes in its first chunk; this one must not be used after."""
        self.dataset.write_direct_chunk((0,) * len(self.chunk_shape), data, mask)
        return reopened(self.file)

    def read(self, dtype: Any, memory: Any = None) -> np.ndarray:
        """Read all of it through libhdf5 into a dtype."""
        base, inner = np.dtype(dtype).subdtype or (np.dtype(dtype), ())
        out = np.zeros(self.dataset.shape + inner, base)
        self.dataset.read(h5s.ALL, h5s.ALL, out, memory)
        return out

    def offsets(self) -> list[tuple[int, ...]]:
        """Return the origin of every chunk."""
        axes = [range(0, extent, size) for extent, size in zip(self.dataset.shape, self.chunk_shape, strict=True)]
        return list(product(*axes))


def memory_file() -> h5py.File:
    return h5py.File(f"stored-{next(_names)}", "w", driver="core", backing_store=False)


def reopened(file: h5py.File) -> Stored:
    """Open the file anew, as libhdf5 reads values back from its caches otherwise, with no filter applied."""
    file.flush()
    image = h5f.open_file_image(file.id.get_file_image(), h5f.FILE_IMAGE_OPEN_RW)
    return describe(h5py.File(image), h5d.open(image, b"x"))


def describe(file: h5py.File, dataset: Any) -> Stored:
    """Return what the header of a dataset says."""
    plist = dataset.get_create_plist()
    filters = []
    for i in range(plist.get_nfilters()):
        number, flags, values, name = plist.get_filter(i)
        filters.append(Filter(number, name.decode(), bool(flags & 1), tuple(values)))
    return Stored(file, dataset, message(dataset.get_type()), plist.get_chunk(), tuple(filters))


def message(datatype: Any) -> bytes:
    """Return the Datatype message of an h5py datatype: H5Tencode puts a type and a version before it."""
    return datatype.encode()[2:]


def datatype_of(body: bytes) -> Any:
    """Return the h5py datatype of a Datatype message."""
    return h5t.decode(b"\x03\x00" + body)


def store(values: np.ndarray, chunk_shape: Sequence[int] | None = None, **options: Any) -> Stored:
    """Write values as h5py does."""
    file = memory_file()
    chunks = tuple(chunk_shape or values.shape)
    file.create_dataset("x", data=values, chunks=chunks, **options)
    return reopened(file)


def store_as(
    datatype: Any,
    values: np.ndarray | None,
    filters: Sequence[FilterSpec] = (),
    chunk_shape: Sequence[int] | None = None,
    memory: Any = None,
    shape: Sequence[int] | None = None,
) -> Stored:
    """Write values as a datatype of HDF5, with filters in a given order; `memory` is what `values` hold."""
    file = memory_file()
    shape = tuple(values.shape if shape is None and values is not None else shape or ())
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk(tuple(chunk_shape or shape))
    for number, flags, client_data in filters:
        if number == SZIP[0]:
            plist.set_szip(*client_data)
        else:
            plist.set_filter(number, flags, client_data)
    dataset = h5d.create(file.id, b"x", datatype, h5s.create_simple(shape), plist)
    if values is not None:
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values), memory)
    return reopened(file)


def float_type(
    size: int, precision: int, offset: int, exponent: int, mantissa: int, bias: int, byte_order: str = "<"
) -> bytes:
    """Return the message of a float with sign, exponent and mantissa side by side above `offset`."""
    sign = offset + exponent + mantissa
    flags = bytes([0x20 | (byte_order == ">"), sign, 0])
    fields = offset.to_bytes(2, "little") + precision.to_bytes(2, "little")
    fields += bytes([offset + mantissa, exponent, offset, mantissa]) + bias.to_bytes(4, "little")
    return b"\x11" + flags + size.to_bytes(4, "little") + fields


def integer_type(
    size: int, precision: int, offset: int, *, signed: bool = True, byte_order: str = "<", bits: bool = False
) -> bytes:
    """Return the message of an integer, or of a bit field."""
    flags = bytes([(byte_order == ">") | (8 * (signed and not bits)), 0, 0])
    fields = offset.to_bytes(2, "little") + precision.to_bytes(2, "little")
    return (b"\x14" if bits else b"\x10") + flags + size.to_bytes(4, "little") + fields
