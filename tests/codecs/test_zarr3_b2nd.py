"""The codec of b2nd chunks as zarr-python finds it."""

from __future__ import annotations

import pytest

pytest.importorskip("blosc2")

from zarr.registry import get_codec_class

from refmaker.codecs.zarr3_b2nd import B2ndBytesCodec
from refmaker.errors import ManifestError


def test_found_by_name() -> None:
    assert get_codec_class("refmaker.b2nd") is B2ndBytesCodec


def test_metadata() -> None:
    settings = {"chunk_shape": [4, 5], "block_shape": [3, 2], "itemsize": 4}
    data = {"name": "refmaker.b2nd", "configuration": settings}
    assert B2ndBytesCodec.from_dict(data).to_dict() == data
    for bad in ({"name": "refmaker.b2nd"}, {**data, "configuration": {**settings, "more": 1}}):
        with pytest.raises(ManifestError):
            B2ndBytesCodec.from_dict(bad)
