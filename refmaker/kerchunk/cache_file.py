"""A manifest as a file of columns, which is opened by mapping it into memory.

Contract: this is a form for the cache alone, not for exchange: it may change with every version. All of a manifest is
in it except its scan report. The file is checked as a whole (CRC-32) before anything of it is believed.

A head of fixed size | JSON: everything but columns and data | columns, each at a multiple of 64 bytes | inlined data.
"""

from __future__ import annotations

import base64
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.atomic import atomic_write
from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr import strict_json as strict
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["FORMAT", "read_columns", "write_columns"]

FORMAT = 3

_HEAD = struct.Struct("<16sQQI28x")
"""Magic, size of the file, size of the JSON, CRC-32 of all behind the head."""
_MAGIC = b"refmaker-cols\0\0\1"
_ALIGNMENT = 64
_NAMES = ("cell", "target", "offset", "size", "inline", "lengths", "whole", "codes")


def write_columns(manifest: Manifest, path: str | os.PathLike[str]) -> None:
    """Write a manifest, whole or not at all.

    Raises
    ------
    ManifestError
        It cannot be written without loss.
    OutputError
        The file cannot be written.
    """
    pieces: list[memoryview] = []
    at = 0

    def put(data: npt.NDArray[Any]) -> int:
        nonlocal at
        start = at
        column = np.ascontiguousarray(data, data.dtype.newbyteorder("<")).view("u1")
        pieces.extend((column.data, memoryview(bytes(-column.nbytes % _ALIGNMENT))))
        at += column.nbytes + len(pieces[-1])
        return start

    arrays = {}
    for name, array in manifest.arrays.items():
        columns = [[*_described(column), put(column)] for column in _columns(array.references)]
        data = put(np.frombuffer(b"".join(array.references.inline.values()), "u1"))
        arrays[name] = [array.metadata.to_json(), array.attributes, list(array.grid), columns, data]
    document = {
        "zarr_format": manifest.zarr_format,
        "groups": manifest.groups,
        "arrays": arrays,
        "targets": [asdict(target) for target in manifest.targets],
        "refusals": manifest.refusals,
        "history": manifest.history,
        "extra": {key: base64.b64encode(data).decode() for key, data in manifest.extra.items()},
        "sources": manifest.sources,
        "outside": manifest.outside,
        "types": manifest.types,
        "notes": manifest.notes,
    }
    text = strict.encoded(document, structure="columns")
    text += b" " * (-len(text) % _ALIGNMENT)
    checksum = zlib.crc32(text)
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    with atomic_write(path, durable=False) as file:  # damage is noticed
        file.write(_HEAD.pack(_MAGIC, _HEAD.size + len(text) + at, len(text), checksum))
        file.write(text)
        file.writelines(pieces)


def _columns(references: References) -> Iterator[npt.NDArray[Any]]:
    """Yield what is written of references, in the order of `_NAMES`; a target for all is one number."""
    target = references.target
    yield references.cell
    yield target[:1] if target.strides == (0,) else target
    yield references.offset
    yield references.size
    for values in (
        references.inline,
        map(len, references.inline.values()),
        references.whole,
        references.whole.values(),
    ):
        yield np.fromiter(values, "i8")


def _described(column: npt.NDArray[Any]) -> tuple[str, int]:
    return column.dtype.newbyteorder("<").str, len(column)


def read_columns(path: str | os.PathLike[str]) -> Manifest:
    """Open a manifest; its columns are read-only views of the file.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ManifestError
        It is damaged.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _HEAD.size:
            raise ManifestError("cut off", source=os.fspath(path))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = memoryview(mapped)
    magic, expected, text, checksum = _HEAD.unpack_from(view)
    if magic != _MAGIC or expected != size or zlib.crc32(view[_HEAD.size :]) != checksum:
        raise ManifestError("not a file of columns, or damaged", source=os.fspath(path))
    start = _HEAD.size + text
    document = strict.parse(bytes(view[_HEAD.size : start]), structure="columns", source=os.fspath(path))
    arrays = {
        name: ManifestArray(
            ArrayMetadata.from_json(metadata), attributes, tuple(grid), _references(view[start:], columns, data)
        )
        for name, (metadata, attributes, grid, columns, data) in document["arrays"].items()
    }
    return Manifest(
        document["zarr_format"],
        document["groups"],
        arrays,
        tuple(Target(**target) for target in document["targets"]),
        document["refusals"],
        [],
        document["history"],
        {key: base64.b64decode(data) for key, data in document["extra"].items()},
        {name: (target, path) for name, (target, path) in document["sources"].items()},
        document["outside"],
        document["types"],
        document["notes"],
    )


def _references(view: memoryview, columns: list[Any], data: int) -> References:
    found = [np.frombuffer(view, dtype, count, start) for dtype, count, start in columns]
    cell, target, offset, size, inline, lengths, whole, codes = found
    if len(target) != len(cell):
        target = np.broadcast_to(target, len(cell))
    stops = (data + np.cumsum(lengths)).tolist()
    starts = [data, *stops[:-1]]
    held = {key: bytes(view[first:stop]) for key, first, stop in zip(inline.tolist(), starts, stops, strict=False)}
    return References(cell, target, offset, size, held, dict(zip(whole.tolist(), codes.tolist(), strict=True)))
