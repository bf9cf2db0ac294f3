"""The codec of b2nd chunks, on chunks that python-blosc2 makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("blosc2")

import blosc2
import numcodecs

from refmaker.codecs.b2nd import B2ndCodec
from refmaker.errors import FormatError, ManifestError, Unsupported


def chunk(number: int = 0) -> tuple[bytes, np.ndarray]:
    values = np.arange(70, dtype="<i4").reshape(10, 7)
    array = blosc2.asarray(values, chunks=(4, 5), blocks=(3, 2))
    return array.schunk.get_chunk(number), values


def test_blocks_in_their_places() -> None:
    data, values = chunk()
    codec = numcodecs.get_codec({"id": "refmaker_b2nd", "chunk_shape": [4, 5], "block_shape": [3, 2], "itemsize": 4})
    found = np.frombuffer(codec.decode(data), "<i4").reshape(4, 5)
    np.testing.assert_array_equal(found, values[:4, :5])
    out = np.empty((4, 5), "<i4")
    codec.decode(data, out)
    np.testing.assert_array_equal(out, values[:4, :5])


def test_edges_are_padded() -> None:
    data, values = chunk(1)
    found = np.frombuffer(B2ndCodec([4, 5], [3, 2], 4).decode(data), "<i4").reshape(4, 5)
    np.testing.assert_array_equal(found[:, :2], values[:4, 5:])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (([4], [4], 0), ManifestError),
        (([4], [0], 1), ManifestError),
        (([4], [4, 4], 1), ManifestError),
        (([4] * 17, [4] * 17, 1), ManifestError),
        (([1 << 20, 1 << 20], [1, 1], 8), ManifestError),
        (("4", "4", 1), ManifestError),
    ],
)
def test_configurations(settings: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        B2ndCodec(*settings)


def test_damage() -> None:
    data, _ = chunk()
    codec = B2ndCodec([4, 5], [3, 2], 4)
    for bad in (b"", data[:-1], data + b"x", data[:4] + b"\xff\xff\xff\x7f" + data[8:]):
        with pytest.raises(FormatError):
            codec.decode(bad)
    array = blosc2.asarray(np.arange(10_000), chunks=(10_000,), blocks=(1_000,))  # its chunks go with it
    whole = array.schunk.get_chunk(0)
    with pytest.raises(FormatError, match="cannot decode"):
        B2ndCodec([10_000], [1_000], 8).decode(whole[:40] + b"\xff" * (len(whole) - 40))
    with pytest.raises(FormatError, match="decoded size"):
        B2ndCodec([4, 5], [4, 5], 8).decode(data)
    with pytest.raises(Unsupported, match="only decodes"):
        codec.encode(data)
