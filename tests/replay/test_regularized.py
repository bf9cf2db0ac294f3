"""Arrays whose chunks differ in length, through refmaker:// in all views and xarray's engine: against numpy."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import refmaker
from refmaker.errors import FormatError
from refmaker.replay.filesystem import FileSystem

zarr = pytest.importorskip("zarr", minversion="3")
xr = pytest.importorskip("xarray")

DEFLATE = {"name": "numcodecs.zlib", "configuration": {"level": 1}}


def _manifest(
    path: Path,
    values: npt.NDArray[Any],
    lengths: list[list[int]],
    stored: list[list[int]] | None = None,
    encoded: list[int | None] | None = None,
    missing: tuple[int, ...] = (),
    codecs: tuple[Any, ...] = (DEFLATE,),
) -> dict[str, Any]:
    """Write chunks one behind the other; `stored` are their lengths along each axis where they are larger."""
    endian = "big" if values.dtype.str[0] == ">" else "little"
    first = {"name": "bytes", "configuration": {"endian": endian}}
    if encoded is not None:
        first = {"name": "refmaker.crop", "configuration": {"encoded_chunk": encoded, "endian": endian}}
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(values.shape),
        "data_type": values.dtype.newbyteorder("=").name,
        "fill_value": 7,
        "attributes": {},
        "dimension_names": list("tyx")[: values.ndim],
        "chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": lengths}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [first, *codecs],
    }
    refs: dict[str, Any] = {
        "zarr.json": json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}),
        "v/zarr.json": json.dumps(metadata),
    }
    data = b""
    for cell, index in enumerate(np.ndindex(*map(len, lengths))):
        starts = [sum(axis[:i]) for axis, i in zip(lengths, index, strict=True)]
        part = values[tuple(slice(s, s + axis[i]) for s, axis, i in zip(starts, lengths, index, strict=True))]
        extents = [axis[i] for axis, i in zip(stored or lengths, index, strict=True)]
        whole = np.full(extents, 99, values.dtype)
        whole[tuple(map(slice, part.shape))] = part
        if cell in missing:
            values[tuple(slice(s, s + axis[i]) for s, axis, i in zip(starts, lengths, index, strict=True))] = 7
            continue
        chunk = zlib.compress(whole.tobytes()) if codecs else whole.tobytes()
        refs["v/c/" + "/".join(map(str, index))] = [str(path), len(data), len(chunk)]
        data += chunk
    path.write_bytes(data)
    return {"version": 1, "refs": refs}


def _values(shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    return np.random.default_rng(3).integers(0, 1000, shape).astype(dtype)


CASES = [
    ((90, 7), [[31, 28, 31], [4, 3]], None, None),
    ((90, 7), [[31, 28, 31], [4, 4]], None, None),
    ((90, 7), [[31, 28, 31], [4, 3]], [[31, 28, 31], [4, 4]], [None, 4]),
    ((22, 5, 6), [[10, 2, 10], [5], [1, 2, 3]], [[10, 10, 10], [5], [4, 4, 4]], [10, 5, 4]),
    ((6,), [[1, 1, 1, 3]], None, None),
    ((0, 3), [[1], [3]], None, None),
]


@pytest.mark.parametrize("view", ["decoded", "regular"])
@pytest.mark.parametrize("dtype", ["<i2", ">f8"])
@pytest.mark.parametrize(("shape", "lengths", "stored", "encoded"), CASES)
@pytest.mark.parametrize("target", [1, 600, 1 << 20])
def test_on_a_regular_grid(
    tmp_path: Path, shape: Any, lengths: Any, stored: Any, encoded: Any, dtype: str, view: Any, target: int
) -> None:
    values = _values(shape, dtype)
    document = _manifest(tmp_path / "data", values, lengths, stored, encoded)
    filesystem = FileSystem(document, view=view, chunk_target=target, asynchronous=True)
    if 0 in shape:
        return  # nothing to put on another grid: the array stays as it is
    array = zarr.open_group(zarr.storage.FsspecStore(filesystem, read_only=True, path=""), mode="r")["v"]
    np.testing.assert_array_equal(array[:], values)
    assert all(isinstance(chunk, int) for chunk in array.chunks)
    inside = tuple(slice(extent // 3, extent - 1) for extent in shape)
    np.testing.assert_array_equal(array[inside], values[inside])


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("missing", [(), (0,), (1, 4), (0, 1, 2, 3, 4, 5)])
def test_through_the_engine(tmp_path: Path, missing: tuple[int, ...], *, parquet: bool) -> None:
    values = _values((90, 7), "<i2")
    document = _manifest(tmp_path / "data", values, [[31, 28, 31], [4, 3]], missing=missing)
    manifest = refmaker.Manifest.from_dict(document)
    assert manifest.arrays["v"].grid == (3, 2)
    path = tmp_path / ("m.parq" if parquet else "m.json")
    (manifest.to_parquet if parquet else manifest.to_json)(path)
    with xr.open_dataset(str(path), engine="refmaker") as opened:
        np.testing.assert_array_equal(opened["v"].values, values)
        np.testing.assert_array_equal(opened["v"][25:70, 3:6].values, values[25:70, 3:6])
    again = refmaker.Manifest.from_dict(manifest.to_dict())
    assert again == manifest
    assert "chunks (28…31 x 3…4)" in repr(manifest)


def test_chunk_of_another_size_is_an_error(tmp_path: Path) -> None:
    document = _manifest(tmp_path / "data", _values((5,), "<i2"), [[2, 3]])
    document["refs"]["v/c/1"] = document["refs"]["v/c/0"]
    filesystem = FileSystem(document, view="decoded")
    with pytest.raises(FormatError, match="size"):
        filesystem.cat_file("v/c/0")


def test_many_views_of_one_stored_chunk(tmp_path: Path) -> None:
    """Chunks of the view at every place relative to those of the array."""
    rng = np.random.default_rng(8)
    for _ in range(15):
        lengths = [rng.integers(1, 6, rng.integers(1, 6)).tolist() for _ in range(2)]
        values = _values((sum(lengths[0]), sum(lengths[1])), "<i2")
        document = _manifest(tmp_path / "data", values, lengths, codecs=())
        filesystem = FileSystem(document, view="decoded", chunk_target=1)
        array = json.loads(filesystem.cat_file("v/zarr.json"))
        chunk = array["chunk_grid"]["configuration"]["chunk_shape"]
        assert chunk == [max(axis) for axis in lengths]
        for i in range(-(-values.shape[0] // chunk[0])):
            for j in range(-(-values.shape[1] // chunk[1])):
                got = np.frombuffer(filesystem.cat_file(f"v/c/{i}/{j}"), "<i2").reshape(chunk)
                own = values[i * chunk[0] : (i + 1) * chunk[0], j * chunk[1] : (j + 1) * chunk[1]]
                np.testing.assert_array_equal(got[: own.shape[0], : own.shape[1]], own)
