from __future__ import annotations

import json
import pickle
from typing import Any

import numcodecs.registry
import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs.config import encode_config
from refmaker.codecs.hdf5 import Hdf5Codec
from refmaker.errors import FormatError, ManifestError, RefmakerError, Unsupported

from .stored import Stored, datatype_of, integer_type, store, store_as

WALK = (np.cumsum(np.random.default_rng(3).integers(-3, 4, (30, 45)), 1) + 500).astype("<i4")


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    """As the entry point does, for a tree that is not installed."""
    numcodecs.registry.register_codec(Hdf5Codec)


@pytest.fixture
def stored() -> Stored:
    return store(WALK, (16, 16), compression="lzf", fletcher32=True)


def config_of(stored: Stored, dtype: Any = "<i4") -> dict[str, Any]:
    return {"id": "refmaker_hdf5", **encode_config(stored.datatype, stored.chunk_shape, stored.filters, dtype)}


def test_registry_and_config(stored: Stored) -> None:
    config = config_of(stored)
    codec = numcodecs.registry.get_codec(json.loads(json.dumps(config)))
    assert isinstance(codec, Hdf5Codec)
    assert codec.get_config() == config
    assert codec == Hdf5Codec.from_config(config) == pickle.loads(pickle.dumps(codec))
    assert config["id"] == Hdf5Codec.codec_id
    assert "refmaker" not in repr(config["filters"])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, "u1")])
def test_decode(stored: Stored, kind: Any) -> None:
    codec = Hdf5Codec.from_config(config_of(stored))
    got = codec.decode(kind(stored.chunk()[1]))
    assert np.asarray(got).tobytes() == WALK[:16, :16].tobytes()


@pytest.mark.parametrize("order", "CF")
def test_decode_into(stored: Stored, order: Any) -> None:
    codec, raw = Hdf5Codec.from_config(config_of(stored)), stored.chunk()[1]
    out = np.empty((16, 16), "<i4", order=order)
    assert codec.decode(raw, out=out) is out
    assert out.tobytes(order) == WALK[:16, :16].tobytes()  # type: ignore[arg-type]
    flat = bytearray(1024)
    assert codec.decode(raw, out=flat) is flat
    assert bytes(flat) == WALK[:16, :16].tobytes()
    for wrong in (np.empty(1023, "u1"), np.empty(1025, "u1"), bytes(1024)):
        with pytest.raises(FormatError):
            codec.decode(raw, out=wrong)


def test_encode_is_refused(stored: Stored) -> None:
    with pytest.raises(Unsupported, match="only decodes"):
        Hdf5Codec.from_config(config_of(stored)).encode(b"abc")


def test_config_is_checked(stored: Stored) -> None:
    with pytest.raises(ManifestError):
        numcodecs.registry.get_codec({**config_of(stored), "chunk_shape": [-1]})


def zarr_2_store(stored: Stored, shape: tuple[int, ...], dtype: Any, element: Any = None) -> dict[str, bytes]:
    """Return a Zarr version 2 array whose chunks are those of a dataset as stored."""
    array = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(stored.chunk_shape) + list(shape[len(stored.chunk_shape) :]),
        "dtype": dtype,
        "compressor": config_of(stored, dtype if element is None else element),
        "filters": None,
        "fill_value": 0 if isinstance(dtype, str) else None,
        "order": "C",
    }
    files = {".zarray": json.dumps(array).encode(), ".zattrs": b"{}"}
    for offset in stored.offsets():
        cell = [start // size for start, size in zip(offset, stored.chunk_shape, strict=True)]
        key = ".".join(map(str, [*cell, *[0] * (len(shape) - len(cell))]))
        files[key] = stored.chunk(*offset)[1]
    return files


def opened(files: dict[str, bytes]) -> Any:
    zarr = pytest.importorskip("zarr")
    if zarr.__version__.startswith("2."):
        return zarr.open_array(files, mode="r")
    from zarr.core.buffer import cpu
    from zarr.storage import MemoryStore

    return zarr.open_array(
        MemoryStore({k: cpu.Buffer.from_bytes(v) for k, v in files.items()}, read_only=True), mode="r"
    )


def test_zarr_2_reads(stored: Stored) -> None:
    array = opened(zarr_2_store(stored, WALK.shape, "<i4"))
    assert np.array_equal(array[...], WALK)
    assert np.array_equal(array[3:20, 40:], WALK[3:20, 40:])


def test_zarr_2_reads_whole_chunks() -> None:
    stored = store(WALK, compression="lzf")
    assert np.array_equal(opened(zarr_2_store(stored, WALK.shape, "<i4"))[...], WALK)


def test_zarr_2_reads_odd_integers_big_endian() -> None:
    datatype = datatype_of(integer_type(3, 24, 0, byte_order=">"))
    stored = store_as(datatype, WALK, [(1, 0, (5,))], (16, 16), h5t.STD_I32LE)
    array = opened(zarr_2_store(stored, WALK.shape, ">i4"))
    assert array.dtype == np.dtype(">i4")
    assert np.array_equal(array[...], WALK)


def test_zarr_2_reads_structures() -> None:
    padded = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 16})
    values = np.zeros(20, padded)
    values["a"], values["b"] = np.arange(20), np.arange(20) / 3
    stored = store(values, (6,), compression="lzf")
    dtype = [["a", "|u1"], ["b", "<f8"]]
    got = opened(zarr_2_store(stored, values.shape, dtype))[...]
    assert got["a"].tolist() == values["a"].tolist()
    assert got["b"].tolist() == values["b"].tolist()


def test_zarr_2_reads_array_datatypes() -> None:
    values = np.arange(120, dtype="<i4").reshape(20, 2, 3)
    datatype = h5t.array_create(h5t.STD_I32LE, (2, 3))
    stored = store_as(datatype, values, [(2, 0, ())], (6,), datatype, (20,))
    got = opened(zarr_2_store(stored, values.shape, "<i4", {"base": "<i4", "shape": [2, 3]}))[...]
    assert np.array_equal(got, values)


def test_zarr_2_does_not_take_damage_for_a_missing_chunk(stored: Stored) -> None:
    files = zarr_2_store(stored, WALK.shape, "<i4")
    files["0.1"] = files["0.1"][:-1]
    array = opened(files)
    with pytest.raises(RefmakerError):
        array[...]
    assert np.array_equal(array[:, :16], WALK[:, :16])
