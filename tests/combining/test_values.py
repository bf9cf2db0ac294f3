"""Chunks to values: what Zarr reads, and nothing that a manifest of anyone could do harm with."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.values import MOST, decoded, dtype_of, encoded, sameness
from refmaker.errors import FormatError, Unsupported
from refmaker.zarr.metadata import ArrayMetadata


def form(dtype: Any = "<i4", chunks: tuple[int, ...] = (4,), **metadata: Any) -> ArrayEncoding:
    plain = {"zarr_format": 2, "dtype": dtype, "chunks": list(chunks), "compressor": None, "filters": None}
    own = ArrayMetadata.from_json({**plain, "fill_value": None, "order": "C", **metadata})
    return ArrayEncoding(own, {}, None, chunks)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_codecs_that_run_what_they_read_are_not_called(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    own = form("|O", filters=[{"id": "pickle"}])
    with pytest.raises(Unsupported, match="codec 'pickle'"):
        decoded(own, (4,), {0: pickle.dumps(Trap(mark))})
    with pytest.raises(Unsupported, match="codec 'pickle'"):
        encoded(own, np.array(["a"] * 4, object))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("filters", "compressor"),
    [
        ([], {"id": "zlib", "level": 1}),
        ([{"id": "shuffle", "elementsize": 4}, {"id": "fletcher32"}], {"id": "zstd", "level": 1}),
        ([{"id": "delta", "dtype": "<i4"}], {"id": "zlib", "level": 1}),
        ([{"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<i4"}], {"id": "gzip", "level": 1}),
        ([{"id": "crc32"}], None),
        ([], {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 1}),
    ],
)
def test_there_and_back(filters: list[Any], compressor: Any) -> None:
    own = form(filters=filters, compressor=compressor, fill_value=-7)
    values = np.arange(4, dtype="<i4") * 100
    assert decoded(own, (7,), {0: encoded(own, values)}).tolist() == [0, 100, 200, 300, -7, -7, -7]


def test_text_there_and_back() -> None:
    own = form("|O", filters=[{"id": "vlen-utf8"}], compressor={"id": "zlib", "level": 1})
    values = np.array(["a", "", "\u00fc", "long" * 100], object)
    assert decoded(own, (4,), {0: encoded(own, values)}).tolist() == values.tolist()


@pytest.mark.parametrize("compressor", ["zlib", "gzip", "bz2", "zstd", "lz4", "blosc"])
@pytest.mark.parametrize("dtype", ["<i4", "|O"])
def test_bombs(compressor: str, dtype: str) -> None:
    """A chunk does not unpack to more than its elements take, text not to more than it ever should."""
    packed = numcodecs.get_codec({"id": compressor}).encode(bytes((1 << 28) + 4096))
    own = form(dtype, compressor={"id": compressor}, filters=[{"id": "vlen-utf8"}] if dtype == "|O" else None)
    with pytest.raises(FormatError):
        decoded(own, (4,), {0: bytes(packed)})


def test_claims_of_text() -> None:
    own = form("|O", filters=[{"id": "vlen-utf8"}])
    with pytest.raises(FormatError, match="wrong number of elements in a chunk"):
        decoded(own, (4,), {0: struct.pack("<I", 0xFFFFFFFF)})
    with pytest.raises(FormatError, match="cannot decode a chunk"):
        decoded(own, (4,), {0: struct.pack("<II", 4, 0x7FFFFFFF)})


def test_shuffle_of_what_is_shorter() -> None:
    own = form("<i4", filters=[{"id": "shuffle", "elementsize": 4}], compressor={"id": "zlib"})
    with pytest.raises(FormatError, match="size"):
        decoded(own, (4,), {0: zlib.compress(b"1234567")})


def test_more_than_can_be_held() -> None:
    with pytest.raises(Unsupported, match="not looked at"):
        decoded(form(), (MOST,), {})
    with pytest.raises(Unsupported, match="not looked at"):
        decoded(form(chunks=(MOST,)), (1,), {0: b""})


@pytest.mark.parametrize("dtype", ["|V0", "|S0", [["a", "|O"]], "x", 3, [["a"]]])
def test_data_types(dtype: Any) -> None:
    with pytest.raises(Unsupported, match="data type"):
        dtype_of(form(dtype))


def test_long_sequences_that_differ_in_the_middle() -> None:
    one, other = np.arange(5000), np.arange(5000)
    other[2500] = 0
    first, second = np.empty(1, object), np.empty(1, object)
    first[0], second[0] = one, other
    assert sameness(first) != sameness(second)
    assert sameness(first) == sameness(first.copy())
    assert sameness(np.array([1, 2], ">i4")) == sameness(np.array([1, 2], "<i4"))
