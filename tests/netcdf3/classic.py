"""Netcdf classic files written field by field from the grammar, and values read back through a Tree."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.model import Chunked, Contiguous, Dataset, FixedPoint, FloatingPoint, String

STREAMING = -1
MAX_DATA = 1 << 20
CODES = {"i1": 1, "S1": 2, "i2": 3, "i4": 4, "f4": 5, "f8": 6, "u1": 7, "u2": 8, "u4": 9, "i8": 10, "u8": 11}


@dataclass
class Var:
    """A variable: `begin` None lets the writer place it; `vsize` None lets the writer compute it."""

    name: str | bytes
    dimids: Sequence[int]
    type: str | int
    attributes: Sequence[tuple[str, str | int, Any]] = ()
    begin: int | None = None
    vsize: int | None = None


class Writer:
    """Emits the primitives of one version."""

    def __init__(self, version: int) -> None:
        self.non_neg = ">q" if version == 5 else ">i"
        self.offset = ">i" if version == 1 else ">q"
        self.wide = 8 if version == 5 else 4

    def n(self, value: int) -> bytes:
        return (value & (1 << 8 * self.wide) - 1).to_bytes(self.wide, "big")

    def name(self, name: str | bytes) -> bytes:
        raw = name.encode() if isinstance(name, str) else name
        return self.n(len(raw)) + raw + bytes(-len(raw) % 4)

    def head(self, tag: int, entries: Sequence[bytes]) -> bytes:
        return struct.pack(">I", tag if entries else 0) + self.n(len(entries)) + b"".join(entries)

    def attributes(self, attributes: Sequence[tuple[str, str | int, Any]]) -> bytes:
        return self.head(12, [self.attribute(*a) for a in attributes])

    def attribute(self, name: str, kind: str | int, value: Any) -> bytes:
        if isinstance(value, bytes):
            raw, n = value, len(value)
        else:
            array = np.asarray(value, f">{kind}")
            raw, n = array.tobytes(), array.size
        return self.name(name) + struct.pack(">I", code(kind)) + self.n(n) + raw + bytes(-len(raw) % 4)


def code(kind: str | int) -> int:
    return kind if isinstance(kind, int) else CODES[kind]


def slab_size(dims: Sequence[tuple[str, int]], var: Var) -> int:
    size = np.dtype(var.type if isinstance(var.type, str) else "i4").itemsize
    for dimid in var.dimids:
        size *= dims[dimid][1] or 1 if dimid < len(dims) else 1
    return size


def build(
    version: int = 1,
    *,
    dims: Sequence[tuple[str, int]] = (),
    attributes: Sequence[tuple[str, str | int, Any]] = (),
    variables: Sequence[Var] = (),
    records: int = 0,
    tail: int | None = None,
) -> bytes:
    """Write a file whose data bytes count up, so that every position is recognisable.

    `records` goes into numrecs; `tail` is the number of records written (default: `records`).
    """
    w = Writer(version)
    front = b"CDF" + bytes([version]) + w.n(records)
    front += w.head(10, [w.name(n) + w.n(length) for n, length in dims]) + w.attributes(attributes)

    def var_list(begins: Sequence[int]) -> bytes:
        entries = []
        for var, begin in zip(variables, begins, strict=True):
            size = slab_size(dims, var)
            vsize = size + -size % 4 if var.vsize is None else var.vsize
            dimids = b"".join(w.n(d) for d in var.dimids)
            entry = w.name(var.name) + w.n(len(var.dimids)) + dimids + w.attributes(var.attributes)
            entry += struct.pack(">I", code(var.type)) + w.n(vsize)
            entries.append(entry + struct.pack(w.offset, begin if var.begin is None else var.begin))
        return w.head(11, entries)

    position = len(front) + len(var_list([0] * len(variables)))
    begins = [0] * len(variables)
    record = [bool(v.dimids) and v.dimids[0] < len(dims) and dims[v.dimids[0]][1] == 0 for v in variables]
    for wanted in (False, True):
        start = position
        for i, var in enumerate(variables):
            if record[i] == wanted:
                size = slab_size(dims, var)
                begins[i] = position
                position += size if record.count(True) == 1 and wanted else size + -size % 4
    record_size = position - start if any(record) else 0
    written = (records if tail is None else tail) if any(record) else 0
    header = front + var_list(begins)
    size = start + written * record_size if any(record) else position
    data = (np.arange(min(size - len(header), MAX_DATA)) % 251).astype("u1")
    return header + data.tobytes()


def dtype_of(dataset: Dataset) -> np.dtype[Any]:
    kind = dataset.datatype
    if isinstance(kind, String):
        return np.dtype(f"S{kind.size}")
    if isinstance(kind, FixedPoint):
        return np.dtype(f"{kind.byte_order}{'i' if kind.signed else 'u'}{kind.size}")
    if not isinstance(kind, FloatingPoint):
        raise TypeError(kind)
    return np.dtype(f"{kind.byte_order}f{kind.size}")


def values(dataset: Dataset, data: bytes) -> np.ndarray:
    """Read a dataset from the bytes of its file as a Zarr reader would: chunk by chunk, at the mapped offsets."""
    dtype, shape, storage = dtype_of(dataset), dataset.dataspace.shape, dataset.storage
    if isinstance(storage, Contiguous):
        if storage.offset is None:
            raise ValueError("nothing allocated")
        block = data[storage.offset : storage.offset + storage.size]
        return np.frombuffer(block, dtype).reshape(shape)
    if not isinstance(storage, Chunked):
        raise TypeError(storage)
    out = np.zeros(shape, dtype)
    seen = np.zeros(shape[0], bool)
    index = storage.index
    for cell, offset, size in zip(index.cell.tolist(), index.offset.tolist(), index.size.tolist(), strict=True):
        out[cell] = np.frombuffer(data[offset : offset + size], dtype).reshape(storage.chunk_shape)[0]
        seen[cell] = True
    if not seen.all():
        raise ValueError("a chunk is absent")
    return out
