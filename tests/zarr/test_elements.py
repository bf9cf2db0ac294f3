"""Metadata of arrays, read as zarr reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.zarr.elements import elements_of
from refmaker.zarr.metadata import ArrayMetadata2, ArrayMetadata3

ZLIB = {"id": "zlib", "level": 4}


def v2(dtype: Any, fill: Any, **rest: Any) -> dict[str, Any]:
    return {"dtype": dtype, "fill_value": fill, "compressor": None, "filters": None, "order": "C", **rest}


def v3(data_type: Any, fill: Any, *codecs: Any, endian: str | None = "little") -> dict[str, Any]:
    first = {"name": "bytes", **({"configuration": {"endian": endian}} if endian else {})}
    return {"data_type": data_type, "fill_value": fill, "codecs": [first, *codecs]}


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [
        ("<i4", 7, np.int32(7).tobytes()),
        (">i4", -7, b"\xff\xff\xff\xf9"),
        ("<i4", None, bytes(4)),
        ("|b1", True, b"\1"),
        ("<f4", "NaN", np.float32("nan").tobytes()),
        (">f8", "-Infinity", np.array(-np.inf, ">f8").tobytes()),
        ("<f4", 0.1, np.float32(0.1).tobytes()),
        ("<c8", [1.0, "NaN"], np.array(complex(1, np.nan), "<c8").tobytes()),
        ("|S4", "YWI=", b"ab\0\0"),
        ("|S4", "", bytes(4)),
        ("|V3", "AQID", b"\1\2\3"),
        ([["a", "<i2"], ["b", "<f4"]], "AQAAAIA/", b"\1\0\0\0\x80\x3f"),
        ("<M8[s]", 5, np.int64(5).tobytes()),
        ("<M8[s]", "NaT", np.int64(-(2**63)).tobytes()),
    ],
)
def test_zarr_2(dtype: Any, fill: Any, expected: bytes) -> None:
    found = elements_of(ArrayMetadata2(v2(dtype, fill)))
    assert found is not None
    assert (found.size, found.fill) == (len(expected), expected)


@pytest.mark.parametrize(
    ("data_type", "fill", "endian", "expected"),
    [
        ("int32", 7, "little", np.int32(7).tobytes()),
        ("int32", 7, "big", b"\0\0\0\7"),
        ("uint8", 7, None, b"\7"),
        ("bool", True, None, b"\1"),
        ("float32", "NaN", "little", np.float32("nan").tobytes()),
        ("float32", "0x7fc00001", "big", b"\x7f\xc0\0\1"),
        ("complex64", [1, "Infinity"], "little", np.array(complex(1, np.inf), "<c8").tobytes()),
        ({"name": "null_terminated_bytes", "configuration": {"length_bytes": 4}}, "YWI=", None, b"ab\0\0"),
        ({"name": "raw_bytes", "configuration": {"length_bytes": 3}}, "AQID", None, b"\1\2\3"),
        ("r16", [1, 2], None, b"\1\2"),
        (
            {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}},
            5,
            "little",
            np.int64(5).tobytes(),
        ),
        (
            {"name": "structured", "configuration": {"fields": [["a", "int16"], ["b", "float32"]]}},
            "AQAAAIA/",
            "little",
            b"\1\0\0\0\x80\x3f",
        ),
    ],
)
def test_zarr_3(data_type: Any, fill: Any, endian: str | None, expected: bytes) -> None:
    found = elements_of(ArrayMetadata3(v3(data_type, fill, endian=endian)))
    assert found is not None
    assert (found.size, found.fill) == (len(expected), expected)


def test_codecs() -> None:
    found = elements_of(ArrayMetadata2(v2("<i4", 0, filters=[{"id": "shuffle"}], compressor=ZLIB, order="F")))
    assert found is not None
    assert ([codec["id"] for codec in found.codecs], found.order) == (["shuffle", "zlib"], "F")
    codecs = [{"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}}, {"name": "gzip"}]
    found = elements_of(ArrayMetadata3(v3("int32", 0, *codecs)))
    assert found is not None
    assert [dict(codec) for codec in found.codecs] == [{"id": "shuffle", "elementsize": 4}, {"id": "gzip"}]


@pytest.mark.parametrize(
    "metadata",
    [
        v2("|O", None),
        v2("nonsense", 0),
        v2("<i4", "text"),
        v2("<i4", 2**40),
        v2("|S2", "YWJjZA=="),
        v2("|S2", "%%"),
        v2("|S0", None),
        v2("<i4", 0, order="X"),
        v2("<i4", 0, filters=["zlib"]),
        v2("<i4", 0, filters=7),
        {},
        v2([["a"]], 0),
    ],
)
def test_not_known_in_zarr_2(metadata: dict[str, Any]) -> None:
    assert elements_of(ArrayMetadata2(metadata)) is None


@pytest.mark.parametrize(
    "metadata",
    [
        v3("string", ""),
        v3("r9", 0),
        v3("int32", 0, {"name": "crc32c"}),
        v3("int32", 0, {"name": 5}),
        {**v3("int32", 0), "codecs": [{"name": "transpose"}]},
        {**v3("int32", 0), "codecs": []},
        {**v3("int32", 0), "storage_transformers": [1]},
        v3({"name": "struct", "configuration": {"fields": [["a", "string"]]}}, 0),
        v3({"name": "raw_bytes", "configuration": {"length_bytes": 2**60}}, 0),
        {},
    ],
)
def test_not_known_in_zarr_3(metadata: dict[str, Any]) -> None:
    assert elements_of(ArrayMetadata3(metadata)) is None
