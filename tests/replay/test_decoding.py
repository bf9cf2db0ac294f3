"""Codecs, backwards: what they give, and what they refuse."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import FormatError
from refmaker.replay import decoding
from refmaker.replay.decoding import pipeline

RAW = np.arange(1000, dtype="i4").tobytes()
NAMES = ["zlib", "gzip", "bz2", "zstd", "lz4", "blosc", "fletcher32", "shuffle"]


def encoded(configs: list[dict[str, Any]], raw: bytes = RAW) -> bytes:
    data: Any = np.frombuffer(raw, "u1")
    for config in configs:
        data = np.frombuffer(numcodecs.get_codec(config).encode(data), "u1")
    return bytes(data)


def decoded(configs: list[dict[str, Any]], data: bytes, size: int = len(RAW)) -> bytes:
    found = pipeline(configs, size)
    assert found is not None
    return bytes(found.decode(data))


@pytest.mark.parametrize("name", NAMES)
def test_each(name: str) -> None:
    config = {"id": name}
    data = encoded([config])
    assert decoded([config], data) == RAW
    for size in (8, 3996, 4004):
        with pytest.raises(FormatError):
            decoded([config], data, size)
    for cut in (0, 3, 10, 17, len(data) // 2, len(data) - 1):
        with pytest.raises(FormatError):
            decoded([config], data[:cut])


@pytest.mark.parametrize("name", ["zlib", "gzip", "bz2", "fletcher32"])
def test_checksums(name: str) -> None:
    data = bytearray(encoded([{"id": name}]))
    data[len(data) // 2] ^= 1
    with pytest.raises(FormatError):
        decoded([{"id": name}], bytes(data))


@pytest.mark.parametrize("library", ["deflate", "isal.isal_zlib", "zlib"])
def test_deflate_by_each_library(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = pytest.importorskip(library)
    monkeypatch.setattr(decoding, "_libdeflate", lambda: module if library == "deflate" else None)
    monkeypatch.setattr(decoding, "_zlib", lambda: zlib if library == "deflate" else module)
    for name in ("zlib", "gzip"):
        data = encoded([{"id": name}])
        assert decoded([{"id": name}], data) == RAW
        assert decoded([{"id": name}], data + b"behind the end") == RAW  # libhdf5 takes no notice of it either
        for bad in (data[:-1], data[:-4] + b"1234", b"1" + data):
            with pytest.raises(FormatError):
                decoded([{"id": name}], bad)
    assert decoded([{"id": "zlib"}], zlib.compress(b""), 0) == b""
    with pytest.raises(FormatError):
        decoded([{"id": "zlib"}], zlib.compress(b"1"), 0)


def test_no_memory_for_what_cannot_come() -> None:
    data = zlib.compress(bytes(1000))
    tracemalloc.start()
    with pytest.raises(FormatError):
        decoded([{"id": "zlib"}], data, 1 << 30)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@settings(max_examples=50)
@given(
    st.binary(min_size=8, max_size=4000),
    st.lists(st.sampled_from(["shuffle", "fletcher32"]), max_size=3),
    st.sampled_from(["zlib", "zstd", "lz4", "blosc", "bz2", None]),
)
def test_pipelines(raw: bytes, filters: list[str], compressor: str | None) -> None:
    raw = raw[: len(raw) // 8 * 8]
    configs = [{"id": name} for name in filters if name == "fletcher32" or len(raw) % 4 == 0]
    configs += [{"id": compressor}] if compressor else []
    assert decoded(configs, encoded(configs, raw), len(raw)) == raw


@pytest.mark.parametrize(
    "configs",
    [
        [{"id": "vlen-utf8"}],
        [{"id": "pickle"}],
        [{"id": "delta", "dtype": "<i4"}],
        [{"id": "nothing"}],
        [{}],
        [{"id": "shuffle", "elementsize": 3}],
        [{"id": "shuffle", "elementsize": 0}],
        [{"id": "shuffle", "elementsize": "4"}],
        [{"id": "zlib"}, {"id": "shuffle"}],
        [{"id": "zlib"}, {"id": "zlib"}],
    ],
)
def test_what_is_not_known_or_not_bounded(configs: list[dict[str, Any]]) -> None:
    assert pipeline(configs, 4000) is None


@pytest.mark.parametrize("name", ["zlib", "bz2", "zstd", "lz4", "blosc"])
def test_bombs(name: str) -> None:
    data = encoded([{"id": name}], bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(FormatError):
        decoded([{"id": name}], data, 4000)
    assert tracemalloc.get_traced_memory()[1] < len(data) + (1 << 20)
    tracemalloc.stop()
