from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs.config import encode_config
from refmaker.errors import ManifestError, RefmakerError, Unsupported

from .stored import Stored, datatype_of, integer_type, store, store_as

zarr = pytest.importorskip("zarr", minversion="3")

from refmaker.codecs.zarr3 import Hdf5BytesCodec  # noqa: E402

WALK = (np.cumsum(np.random.default_rng(3).integers(-3, 4, (30, 45)), 1) + 500).astype("<i4")


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    """As the entry point does, for a tree that is not installed."""
    zarr.registry.register_codec("refmaker.hdf5", Hdf5BytesCodec)


def metadata_of(stored: Stored, dtype: Any = "<i4") -> dict[str, Any]:
    configuration = encode_config(stored.datatype, stored.chunk_shape, stored.filters, dtype)
    return {"name": "refmaker.hdf5", "configuration": configuration}


def zarr_3_array(stored: Stored, data_type: str, codec: dict[str, Any], endian: str = "little") -> Any:
    from zarr.core.buffer import cpu
    from zarr.storage import MemoryStore

    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(stored.dataset.shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(stored.chunk_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": endian}}, codec],
        "attributes": {},
    }
    files = {"zarr.json": json.dumps(metadata).encode()}
    for offset in stored.offsets():
        cell = [str(start // size) for start, size in zip(offset, stored.chunk_shape, strict=True)]
        files["/".join(["c", *cell])] = stored.chunk(*offset)[1]
    memory = MemoryStore({key: cpu.Buffer.from_bytes(value) for key, value in files.items()})
    return zarr.open_array(memory, mode="r"), memory


def test_reads() -> None:
    stored = store(WALK, (16, 16), compression="lzf", shuffle=True)
    array, _ = zarr_3_array(stored, "int32", metadata_of(stored))
    assert np.array_equal(array[...], WALK)
    assert isinstance(array.metadata.codecs[-1], Hdf5BytesCodec)


def test_reads_big_endian() -> None:
    datatype = datatype_of(integer_type(3, 24, 0, byte_order=">"))
    stored = store_as(datatype, WALK, [(1, 0, (5,))], (16, 16), h5t.STD_I32LE)
    array, _ = zarr_3_array(stored, "int32", metadata_of(stored, ">i4"), "big")
    assert np.array_equal(array[...], WALK)


def test_does_not_take_damage_for_a_missing_chunk() -> None:
    stored = store(WALK, (16, 16), compression="gzip")
    array, memory = zarr_3_array(stored, "int32", metadata_of(stored))
    memory._store_dict["c/1/1"] = memory._store_dict["c/1/1"][:10]
    with pytest.raises(RefmakerError):
        array[...]


def test_metadata_round_trip() -> None:
    codec = Hdf5BytesCodec.from_dict(metadata_of(store(WALK, compression="lzf")))
    assert Hdf5BytesCodec.from_dict(json.loads(json.dumps(codec.to_dict()))) == codec


def test_is_checked() -> None:
    good = metadata_of(store(WALK, compression="lzf"))
    for bad in ({}, {"name": "refmaker.hdf5"}, {**good, "name": "other"}, {**good, "configuration": {"filters": []}}):
        with pytest.raises(ManifestError):
            Hdf5BytesCodec.from_dict(bad)


def test_writing_is_refused() -> None:
    stored = store(WALK, (16, 16), compression="lzf")
    _, memory = zarr_3_array(stored, "int32", metadata_of(stored))
    with pytest.raises(Unsupported, match="only decodes"):
        zarr.open_array(memory, mode="r+")[...] = 1
