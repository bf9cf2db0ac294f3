from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numcodecs import VLenBytes, get_codec
from numcodecs.registry import codec_registry

from refmaker.codecs.sequences import MAX_DEPTH, SequencesCodec
from refmaker.errors import FormatError, ManifestError, RefmakerError, Unsupported


def objects(*items: Any) -> np.ndarray:
    whole: np.ndarray = np.empty(len(items), object)
    for i, item in enumerate(items):
        whole[i] = item
    return whole


def encoded(*items: bytes) -> bytes:
    return bytes(VLenBytes().encode(objects(*items)))


@pytest.mark.parametrize("dtype", ["<i4", ">f8", "|b1", "|S3", [["a", "<i2"], ["b", ">f4", [2]]]])
def test_items(dtype: Any) -> None:
    codec = SequencesCodec(dtype)
    values = [np.zeros(n, codec.dtype) for n in (3, 0, 1)]
    got = codec.decode(objects(*(v.tobytes() for v in values)))
    for a, b in zip(got, values, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_items_that_are_arrays() -> None:
    codec = SequencesCodec({"base": "<i2", "shape": [2]})
    (got,) = codec.decode(objects(np.arange(6, dtype="<i2").tobytes()))
    np.testing.assert_array_equal(got, [[0, 1], [2, 3], [4, 5]])


def test_nested() -> None:
    codec = SequencesCodec("<i2", 2)
    got = codec.decode(objects(encoded(b"\1\0", b"", b"\2\0\3\0"), b"", encoded()))
    assert [[item.tolist() for item in element] for element in got] == [[[1], [], [2, 3]], [], []]


def test_into_a_buffer() -> None:
    out = np.empty(2, object)
    assert SequencesCodec("|u1").decode(objects(b"ab", b""), out) is out
    assert [item.tolist() for item in out] == [[97, 98], []]


def test_behind_vlen_bytes_in_a_pipeline() -> None:
    stored = encoded(b"\1\0\0\0", b"")
    got = SequencesCodec("<i4").decode(VLenBytes().decode(stored))
    assert [item.tolist() for item in got] == [[1], []]


@pytest.mark.parametrize(
    ("codec", "element"),
    [
        (SequencesCodec("<i4"), b"abc"),
        (SequencesCodec("<i4"), "abcd"),
        (SequencesCodec("<i4"), None),
        (SequencesCodec("<i4", 2), b"\1\0"),
        (SequencesCodec("<i4", 2), b"\xff\xff\xff\xff"),
        (SequencesCodec("<i4", 2), b"\1\0\0\0\5\0\0\0abcd"),
        (SequencesCodec("<i4", 2), encoded(b"abcd") + b"x"),
    ],
)
def test_damaged(codec: SequencesCodec, element: Any) -> None:
    with pytest.raises(FormatError):
        codec.decode(objects(element))


def test_encodes_nothing() -> None:
    with pytest.raises(Unsupported):
        SequencesCodec("<i4").encode(objects(np.zeros(2)))


def test_configuration() -> None:
    config = SequencesCodec([["a", "<i2"], ["b", "<f4", [2]]], 3).get_config()
    codec_registry[SequencesCodec.codec_id] = SequencesCodec
    assert get_codec(json.loads(json.dumps(config))).get_config() == config


@pytest.mark.parametrize("config", [{"dtype": "|O"}, {"dtype": 3}, {"dtype": "<i4", "depth": MAX_DEPTH + 1}])
@pytest.mark.parametrize("depth", [0, -1, True, "2", None])
def test_bad_configurations(config: dict[str, Any], depth: Any) -> None:
    with pytest.raises(ManifestError):
        SequencesCodec(**config)
    with pytest.raises(RefmakerError):
        SequencesCodec("<i4", depth)
