"""What cases are made of: one manifest with one property, and what every reader must make of it.

A case is plain JSON. In its texts `@ROOT@` stands for the folder that it is laid out in, so that the same case can be
run anywhere. Targets are part of the case, as base64; those that are too large for it are described as sparse files.
Nothing here depends on a compressor, a library or a clock: the same script gives the same bytes everywhere.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from typing import Any

DATA = "@ROOT@/data.bin"
FIRST = 100
"""Address of the first number in `data.bin`: 1000 little-endian 16-bit integers, 1, 2, 3 and so on."""
COUNT = 1000
ZARRAY = {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [2],
    "dtype": "<i2",
    "compressor": None,
    "filters": None,
    "order": "C",
    "fill_value": -1,
}
ZARR3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4],
    "data_type": "int16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": -1,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
    "dimension_names": ["i"],
}
GROUP3 = {"zarr_format": 3, "node_type": "group", "attributes": {}}
_TYPES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}


@dataclass(frozen=True)
class Case:
    """A manifest and what is expected of whoever reads it.

    Attributes
    ----------
    name
        Name of its file.
    group
        Line of the table that it counts in.
    property
        What is special about it, for people.
    kind
        "valid": arrays have the values in `arrays`. "invalid": reading has to fail, at the latest when `broken` is
        read. "unreachable": `broken` has to fail, the other arrays have their values.
    rule
        Section of SPECIFICATION.md.
    manifest
        Text of the JSON document, or null where it is a Parquet set.
    parquet
        Files of the set: `.zmetadata` as text, shards as columns.
    arrays
        Path -> {dtype, shape, hex or values}; hex is the little-endian bytes in C order.
    keys
        Key of a chunk -> hex of its bytes, or null: absent. For readers that give keys.
    """

    name: str
    group: str
    property: str
    kind: str
    rule: str
    manifest: str | None = None
    parquet: dict[str, Any] | None = None
    arrays: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str | None] = field(default_factory=dict)
    broken: str | None = None
    targets: dict[str, str] = field(default_factory=dict)
    sparse: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".json"

    def text(self) -> str:
        """Return the case as its file has it."""
        return (
            json.dumps({k: v for k, v in asdict(self).items() if v not in (None, {})}, indent=1, allow_nan=False) + "\n"
        )


def name_of(group: str, title: str) -> str:
    """Return the name of the file of a case."""
    return re.sub(r"[^a-z0-9]+", "-", f"{group} {title}".lower()).strip("-")


def pack(dtype: str, values: list[Any]) -> bytes:
    """Return numbers as bytes; `dtype` as NumPy spells it, with the byte order."""
    return struct.pack(("<" if dtype[0] == "|" else dtype[0]) + _TYPES[dtype[1:]] * len(values), *values)


def array(values: list[Any], dtype: str = "<i2", shape: list[int] | None = None) -> dict[str, Any]:
    """Return what is expected of an array of numbers."""
    kind = dtype[1:]
    return {
        "dtype": kind,
        "shape": [len(values)] if shape is None else shape,
        "values": [value if abs(value) < float("inf") else str(value) for value in values],
        "hex": pack("<" + kind, values).hex(),
    }


def ref(first: int, count: int, url: str = DATA) -> list[Any]:
    """Return a reference to numbers of `data.bin`."""
    return [url, FIRST + 2 * (first - 1), 2 * count]


def data_file() -> bytes:
    """Return `data.bin`."""
    return b"#" * FIRST + pack("<i2", list(range(1, COUNT + 1)))


def base64(data: bytes) -> str:
    """Return data as text."""
    return b64encode(data).decode()


def inline(data: bytes) -> str:
    """Return data as manifests have it."""
    return "base64:" + base64(data)


def zarray(**changes: Any) -> str:
    """Return Zarr 2 metadata."""
    return json.dumps({**ZARRAY, **changes})


def zarr3(**changes: Any) -> str:
    """Return Zarr 3 metadata."""
    return json.dumps({**ZARR3, **changes})


def dims(*names: str) -> str:
    """Return attributes that name dimensions, as xarray needs them."""
    return json.dumps({"_ARRAY_DIMENSIONS": list(names)})


def refs(others: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the references of the plain array `x`, 1 to 4 in two chunks; a value of ... leaves a key out."""
    found = {
        ".zgroup": '{"zarr_format": 2}',
        "x/.zarray": zarray(**changes),
        "x/.zattrs": dims("i"),
        "x/0": ref(1, 2),
        "x/1": ref(3, 2),
        **(others or {}),
    }
    return {key: value for key, value in found.items() if value is not ...}


def refs3(others: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the same in Zarr 3."""
    found = {
        "zarr.json": json.dumps(GROUP3),
        "x/zarr.json": zarr3(**changes),
        "x/c/0": ref(1, 2),
        "x/c/1": ref(3, 2),
        **(others or {}),
    }
    return {key: value for key, value in found.items() if value is not ...}


def version1(references: dict[str, Any], **members: Any) -> str:
    """Return a document of version 1."""
    return json.dumps({"version": 1, **members, "refs": references}, ensure_ascii=False)


def beside(references: dict[str, Any]) -> dict[str, Any]:
    """Return references with a sound array `y` beside what they have."""
    return {**references, "y/.zarray": zarray(shape=[2]), "y/.zattrs": dims("j"), "y/0": ref(5, 2)}


def stored_zlib(data: bytes) -> bytes:
    """Return a zlib stream with one stored block: the same with every library."""
    return b"\x78\x01" + _stored(data) + struct.pack(">I", zlib.adler32(data))


def stored_gzip(data: bytes) -> bytes:
    """Return a gzip member with one stored block."""
    head = b"\x1f\x8b\x08" + b"\0" * 6 + b"\xff"
    return head + _stored(data) + struct.pack("<II", zlib.crc32(data), len(data))


def _stored(data: bytes) -> bytes:
    return b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data
