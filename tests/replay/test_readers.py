"""Unmodified Zarr readers on real files: the values, the fill value where nothing was written, and nothing else."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from refmaker.manifest.manifest import Target
from tests.replay.readers import READERS, ZARR, Reader, stored
from tests.replay.scenes import DATA, FILL, HEAD, VALUES, array, manifest, references, scene
from tests.servers import RangeServer, S3Server

EXPECTED = VALUES.copy()
EXPECTED[2:4] = FILL

FORMATS = [2] if ZARR == 2 else [2, 3]
zarr3 = pytest.mark.skipif(ZARR != 3, reason="needs zarr 3")


@pytest.fixture(params=sorted(READERS))
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


@pytest.fixture(params=FORMATS)
def zarr_format(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_local(reader: Reader, zarr_format: Any, tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(DATA)
    scene("a.nc", zarr_format=zarr_format).to_json(str(tmp_path / "m.json"))
    np.testing.assert_array_equal(reader(fo=str(tmp_path / "m.json")), EXPECTED)


def test_http(reader: Reader, zarr_format: Any, range_server: RangeServer, tmp_path: Path) -> None:
    """Manifest and target lie on the server, side by side."""
    url = range_server.add("d/a.nc", DATA)
    seen = {"size": len(DATA), "etag": range_server.files["d/a.nc"].etag}
    scene("a.nc", zarr_format=zarr_format, **seen).to_json(str(tmp_path / "m.json"))
    fo = range_server.add("d/m.json", (tmp_path / "m.json").read_bytes())
    np.testing.assert_array_equal(reader(fo=fo), EXPECTED)
    assert url.endswith("/d/a.nc")
    assert {(r.first, r.last) for r in range_server.gets() if r.path == "d/a.nc"} == {(len(HEAD), len(HEAD) + 31)}


def test_s3(reader: Reader, zarr_format: Any, s3_server: S3Server, tmp_path: Path) -> None:
    s3_server.add(f"readers{zarr_format}/a.nc", DATA)
    scene("a.nc", zarr_format=zarr_format, size=len(DATA)).to_json(str(tmp_path / "m.json"))
    fo = s3_server.add(f"readers{zarr_format}/m.json", (tmp_path / "m.json").read_bytes())
    options = s3_server.options
    np.testing.assert_array_equal(reader(fo=fo, target_options=options, remote_options=options), EXPECTED)


def test_memory(reader: Reader, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/readers/a.nc", DATA)
    scene("memory://readers/a.nc").to_json(str(tmp_path / "m.json"))
    np.testing.assert_array_equal(reader(fo=str(tmp_path / "m.json")), EXPECTED)


def test_several_targets_of_several_protocols(reader: Reader, range_server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(DATA)
    fsspec.filesystem("memory").pipe("/several/a.nc", DATA)
    targets = [Target("a.nc"), Target(range_server.add("a.nc", DATA)), Target("memory://several/a.nc")]
    rows = references({i: (i, len(HEAD) + 32 * i, 32) for i in range(3)})
    manifest({"g/x": _described(array((6, 4), (2, 4), rows))}, targets).to_json(str(tmp_path / "m.json"))
    np.testing.assert_array_equal(reader(fo=str(tmp_path / "m.json")), VALUES)


@pytest.mark.parametrize("separator", [".", "/"])
def test_separators(reader: Reader, separator: str, tmp_path: Path) -> None:
    if reader is READERS["filesystem"]:
        pytest.skip("spells the keys itself")
    (tmp_path / "a.nc").write_bytes(DATA)
    rows = references({i: (0, len(HEAD) + 32 * i, 32) for i in range(3)})
    node = _described(array((6, 4), (2, 4), rows, separator=separator))
    manifest({"g/x": node}, [Target("a.nc")]).to_json(str(tmp_path / "m.json"))
    np.testing.assert_array_equal(reader(fo=str(tmp_path / "m.json")), VALUES)


def _described(node: Any) -> Any:
    node.attributes["_ARRAY_DIMENSIONS"] = ["y", "x"]
    return node


# What zarr 3 and xarray do besides


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "a.nc").write_bytes(DATA)
    scene("a.nc").to_json(str(tmp_path / "m.json"))
    return str(tmp_path / "m.json")


@zarr3
@pytest.mark.parametrize("root", ["", "/"])
def test_members(path: str, root: str) -> None:
    import zarr

    fs = fsspec.filesystem("refmaker", asynchronous=True, fo=path)
    group = zarr.open_group(zarr.storage.FsspecStore(fs, read_only=True, path=root), mode="r")
    assert [name for name, _ in group.members(max_depth=None)] == ["g", "g/x"]
    assert list(group["g"].array_keys()) == ["x"]
    assert "g" in group
    assert "h" not in group
    assert group["g/x"].nchunks_initialized == 2


@zarr3
def test_chained_urls(path: str) -> None:
    import zarr

    group = zarr.open_group(f"refmaker::file://{path}", mode="r")
    np.testing.assert_array_equal(group["g/x"][...], EXPECTED)


@zarr3
def test_partial_reads_of_shards_and_ranges(path: str) -> None:
    import asyncio

    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from zarr.core.buffer import default_buffer_prototype

    store, chunk = stored(fo=path), VALUES[:2].tobytes()

    async def read() -> list[Any]:
        requests = [None, RangeByteRequest(4, 8), OffsetByteRequest(4), SuffixByteRequest(4)]
        keys = [("g/x/0.0", request) for request in requests] + [("g/x/1.0", None)]
        proto = default_buffer_prototype()
        single = [await store.get(key, proto, request) for key, request in keys]
        several = await store.get_partial_values(proto, keys)
        return [[None if data is None else data.to_bytes() for data in found] for found in (single, several)]

    assert asyncio.run(read()) == [[chunk, chunk[4:8], chunk[4:], chunk[-4:], None]] * 2


@zarr3
def test_pickled_arrays(path: str) -> None:
    import zarr

    text = pickle.dumps(zarr.open_group(stored(fo=path), mode="r")["g/x"])
    assert len(text) < 5000
    np.testing.assert_array_equal(pickle.loads(text)[...], EXPECTED)


@zarr3
def test_stores_of_other_manifests_are_not_equal(path: str) -> None:
    assert stored(fo=path) == stored(fo=path)
    assert stored(fo=scene("a")) != stored(fo=scene("b"))


@zarr3
def test_writing_is_refused(path: str) -> None:
    import zarr

    store = zarr.storage.FsspecStore(fsspec.filesystem("refmaker", asynchronous=True, fo=path), path="")
    array = zarr.open_group(store, mode="r+")["g/x"]
    with pytest.raises(Exception, match="read-only") as caught:
        array[:2] = 7
    assert type(caught.value).__name__ == "OutputError"
    np.testing.assert_array_equal(array[...], EXPECTED)


@zarr3
def test_dask_keeps_manifests_apart(tmp_path: Path) -> None:
    xr = pytest.importorskip("xarray")
    pytest.importorskip("dask")
    opened = []
    for i in range(2):
        (tmp_path / f"{i}.nc").write_bytes(HEAD + (VALUES + i).tobytes())
        scene(f"{i}.nc").to_json(str(tmp_path / f"{i}.json"))
        options: Any = {"storage_options": {"fo": str(tmp_path / f"{i}.json")}, "group": "g", "consolidated": False}
        opened.append(xr.open_zarr("refmaker://", chunks={}, mask_and_scale=False, **options)["x"][:2])
    np.testing.assert_array_equal((opened[1] - opened[0]).compute(), np.ones((2, 4)))
    held = [scene(str(tmp_path / f"{i}.nc")) for i in range(2)]
    both = [xr.open_zarr(stored(fo=m), group="g", chunks={}, consolidated=False)["x"][:2] for m in held]
    np.testing.assert_array_equal((both[1] - both[0]).compute(), np.ones((2, 4)))


@zarr3
def test_without_the_word_consolidated(path: str) -> None:
    """There is no consolidated metadata, and xarray finds its way."""
    xr = pytest.importorskip("xarray")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
        dataset = xr.open_zarr("refmaker://", group="g", chunks=None, storage_options={"fo": path})
    assert dataset["x"].dims == ("y", "x")


@zarr3
def test_real_files(tmp_path: Path) -> None:
    """A file of netCDF's own making, chunked and compressed, through the command that users have."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    pytest.importorskip("h5py")
    import refmaker

    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 5, 4)).astype("f4")
    dataset = xr.Dataset({"t": (("time", "y", "x"), values)}, {"time": np.arange(6.0)}, {"title": "é"})
    encoding = {"t": {"chunksizes": (2, 3, 4), "zlib": True, "shuffle": True}}
    dataset.to_netcdf(tmp_path / "a.nc", encoding=encoding, engine="netcdf4")
    found: Any = refmaker.scan(str(tmp_path / "a.nc"))
    found.to_json(str(tmp_path / "m.json"))
    options = {"fo": str(tmp_path / "m.json")}
    with xr.open_zarr("refmaker://", chunks=None, consolidated=False, storage_options=options) as replayed:
        xr.testing.assert_identical(replayed.load(), xr.open_dataset(tmp_path / "a.nc", engine="netcdf4").load())
