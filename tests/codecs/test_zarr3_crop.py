"""The codec `refmaker.crop` in zarr-python: found by name, decoding what zarr asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.codecs.zarr3_crop import CropCodec
from refmaker.errors import FormatError, ManifestError, Unsupported

zarr = pytest.importorskip("zarr", minversion="3")


def _array(encoded: list[int | None], shape: list[int], chunk: list[int], endian: str, held: dict[str, bytes]) -> Any:
    import json

    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "int16",
        "fill_value": -1,
        "attributes": {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [
            {"name": "refmaker.crop", "configuration": {"encoded_chunk": encoded, "endian": endian}},
            {"name": "gzip", "configuration": {"level": 1}},
        ],
    }
    import gzip

    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    make = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({key: make(gzip.compress(data)) for key, data in held.items()})
    store._store_dict["zarr.json"] = make(json.dumps(metadata).encode())
    return zarr.open_array(store, mode="r")


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("encoded", [[5, 4], [None, 4]])
def test_zarr_reads_the_leading_part(endian: str, encoded: list[int | None]) -> None:
    stored = np.arange(20, dtype="<i2" if endian == "little" else ">i2").reshape(5, 4)
    array = _array(encoded, [6, 3], [3, 3], endian, {"c/0/0": stored.tobytes()})
    got = array[:]
    assert got.dtype == np.dtype("int16")
    np.testing.assert_array_equal(got[:3], stored[:3, :3])
    assert (got[3:] == -1).all()


def test_short_chunk_is_an_error() -> None:
    with pytest.raises(FormatError):
        _array([5, 4], [3, 3], [3, 3], "little", {"c/0/0": bytes(38)})[:]


def test_metadata_go_and_come() -> None:
    document = {"name": "refmaker.crop", "configuration": {"encoded_chunk": [None, 4], "endian": "big"}}
    assert CropCodec.from_dict(document).to_dict() == document


@pytest.mark.parametrize(
    "configuration",
    [
        None,
        {},
        {"encoded_chunk": [None, None]},
        {"encoded_chunk": [0]},
        {"encoded_chunk": [True]},
        {"encoded_chunk": [2**62]},
        {"encoded_chunk": [1.0]},
        {"encoded_chunk": "4"},
        {"encoded_chunk": [1] * 65},
        {"encoded_chunk": [1], "endian": "middle"},
        {"encoded_chunk": [1], "more": 1},
    ],
)
def test_bad_configurations(configuration: Any) -> None:
    with pytest.raises(ManifestError):
        CropCodec.from_dict({"name": "refmaker.crop", "configuration": configuration})


def test_it_only_decodes() -> None:
    import asyncio

    with pytest.raises(Unsupported, match="only decodes"):
        asyncio.run(CropCodec((1,))._encode_single(None, None))  # type: ignore[arg-type]
