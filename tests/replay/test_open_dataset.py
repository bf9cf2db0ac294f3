"""Files and manifests opened in one call: what xarray's netCDF-4 engine shows, and what can be done with it."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.replay.xarray_backend import RefmakerBackend

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "files"


@pytest.fixture
def radar(tmp_path: Path) -> Path:
    """Groups within groups, dimensions of one name in two of them, coordinates, text, scales, an empty group."""
    path = tmp_path / "radar.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title = "radar"
        file.createDimension("x", 2)
        file.createVariable("x", "i4", ("x",))[:] = [1, 2]
        file.createVariable("site", str, ("x",))[:] = np.array(["a", "é"], object)
        for at in range(2):
            sweep = file.createGroup(f"sweep_{at}")
            sweep.number = np.int16(at)
            sweep.createDimension("azimuth", 3 + at)
            sweep.createDimension("range", 4)
            sweep.createVariable("azimuth", "f4", ("azimuth",))[:] = np.arange(3 + at)
            values = sweep.createVariable(
                "DBZ", "i2", ("azimuth", "range"), zlib=True, chunksizes=(2, 4), fill_value=-1
            )
            values.scale_factor = 0.5
            values[:] = np.ma.masked_less(np.arange((3 + at) * 4).reshape(3 + at, 4), 1)
            sweep.createVariable("px", "f4", ("x",))[:] = [5, 6]
        deep = file["sweep_1"].createGroup("a").createGroup("b")
        deep.createDimension("y", 3)
        deep.createVariable("v", "f8", ("y",))[:] = [1, 2, 3]
        file.createGroup("empty").note = "nothing in it"
    return path


@pytest.fixture
def manifest(radar: Path) -> Path:
    path = radar.parent / "m.json"
    refmaker.scan(radar).to_json(path)
    return path


def assert_same_tree(found: xr.DataTree, path: Path) -> None:
    with xr.open_datatree(path, engine="netcdf4") as expected:
        xr.testing.assert_identical(found.load(), expected.load())


def test_trees_of_files_and_manifests(radar: Path, manifest: Path) -> None:
    for source in (radar, manifest, refmaker.open_manifest(manifest), refmaker.scan(radar, zarr_format=2)):
        assert_same_tree(refmaker.open_datatree(source), radar)
    assert_same_tree(xr.open_datatree(manifest, engine=RefmakerBackend), radar)


def test_groups_one_by_one(radar: Path, manifest: Path) -> None:
    found = xr.open_groups(manifest, engine=RefmakerBackend)
    expected = xr.open_groups(radar, engine="netcdf4")
    assert list(found) == list(expected)
    for name in expected:
        xr.testing.assert_identical(found[name].load(), expected[name].load())
        expected[name].close()
    for group in ("sweep_1", "/sweep_1/a", "sweep_1/a/b/"):
        with (
            refmaker.open_dataset(radar, group=group) as one,
            xr.open_dataset(radar, engine="netcdf4", group=group) as other,
        ):
            xr.testing.assert_identical(one.load(), other.load())


def test_a_dimension_of_one_name_in_two_groups(tmp_path: Path) -> None:
    """No tree of xarray can hold that: its groups are opened one by one."""
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for group, length in ((file, 2), (file.createGroup("g"), 3)):
            group.createDimension("x", length)
            group.createVariable("v", "i4", ("x",))[:] = np.arange(length)
        file["g"].createGroup("h").createVariable("w", "i4", ("x",))[:] = [1, 2, 3]
    found = xr.open_groups(tmp_path / "a.nc", engine=RefmakerBackend)
    assert {name: dict(one.sizes) for name, one in found.items()} == {"/": {"x": 2}, "/g": {"x": 3}, "/g/h": {"x": 3}}
    with pytest.raises(ValueError, match="not aligned"):
        refmaker.open_datatree(tmp_path / "a.nc")


def test_a_tree_from_a_group_on(radar: Path, manifest: Path) -> None:
    with xr.open_datatree(radar, engine="netcdf4", group="sweep_1") as expected:
        found = refmaker.open_datatree(manifest, group="sweep_1")
        assert found.groups == expected.groups
        xr.testing.assert_identical(found.load(), expected.load())


def test_hdf5_that_is_no_netcdf(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["g/x"] = [1, 2, 3]
    for found in (refmaker.open_datatree(tmp_path / "g.h5"), refmaker.open_datatree(str(tmp_path / "g.h5"))):
        assert found.groups == ("/", "/g")
        assert found["g"]["x"].values.tolist() == [1, 2, 3]


@pytest.mark.parametrize("read", [True, False])
def test_the_source_is_the_source(radar: Path, manifest: Path, read: bool) -> None:
    """Of a manifest of one file, that file; of others, the manifest."""
    opened: Any = xr.open_dataset(manifest, engine=RefmakerBackend) if read else refmaker.open_dataset(radar)
    assert opened.encoding["source"] == str(radar)
    tree = refmaker.open_datatree(manifest)
    assert tree.encoding.get("source", str(radar)) == str(radar)


def days(folder: Path) -> list[str]:
    names = []
    for at in range(3):
        data = {"v": (("t", "x"), np.full((2, 3), at, "f4"))}
        xr.Dataset(data, {"t": [2 * at, 2 * at + 1]}).to_netcdf(folder / f"{at}.nc", engine="netcdf4")
        refmaker.scan(folder / f"{at}.nc").to_json(folder / f"{at}.json")
        names.append(str(folder / f"{at}.json"))
    return names


def test_many_manifests(tmp_path: Path) -> None:
    names = days(tmp_path)
    with xr.open_mfdataset(names, engine=RefmakerBackend) as found:
        assert found["v"].chunks is not None
        np.testing.assert_array_equal(found["v"].values[:, 0], [0, 0, 1, 1, 2, 2])
    sources = [name.replace(".json", ".nc") for name in names]
    with xr.open_mfdataset(sources, engine=RefmakerBackend, parallel=True) as found:
        np.testing.assert_array_equal(found["v"].values[:, 0], [0, 0, 1, 1, 2, 2])


def test_the_source_of_a_combined_manifest_is_the_manifest(tmp_path: Path) -> None:
    combined = tmp_path / "all.json"
    refmaker.combine(days(tmp_path)).to_json(combined)
    assert refmaker.open_dataset(combined).encoding["source"] == str(combined)


def test_chunks_are_those_of_the_file(radar: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = refmaker.open_dataset(radar, group="sweep_1", chunks={})
    assert found["DBZ"].chunks == ((2, 2), (4,))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [None, {}, {"azimuth": 3}])
@pytest.mark.parametrize("form", [2, 3])
def test_copies_to_zarr_need_no_advice(radar: Path, tmp_path: Path, zarr_format: Any, chunks: Any, form: Any) -> None:
    """Codecs and chunks are those of the file: a copy has its own."""
    for group in (None, "sweep_1"):
        manifest = refmaker.scan(radar, zarr_format=form)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr warns of what no specification has; xarray of chunks that are cut
            opened: Any = refmaker.open_dataset(manifest, group=group, chunks=chunks)
            opened.to_zarr(tmp_path / f"{group}.zarr", zarr_format=zarr_format, consolidated=False)
            again = xr.open_dataset(tmp_path / f"{group}.zarr", engine="zarr", consolidated=False)
        xr.testing.assert_equal(again.load(), opened.load())


def test_codecs_that_cannot_encode_are_left_behind(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(1 << 20, dtype="i4"), chunks=(1 << 18,), scaleoffset=0)
    manifest = refmaker.scan(tmp_path / "a.h5", inline_limit=1024)
    assert "refmaker_hdf5" in manifest.arrays["x"].metadata.codec_names
    refmaker.open_dataset(manifest).to_zarr(tmp_path / "copy.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "copy.zarr", engine="zarr", consolidated=False) as again:
        np.testing.assert_array_equal(again["x"].values, np.arange(1 << 20))


def test_copies_to_netcdf(radar: Path, tmp_path: Path) -> None:
    with refmaker.open_dataset(radar, group="sweep_1") as opened:
        opened.to_netcdf(tmp_path / "copy.nc", engine="netcdf4")
        with xr.open_dataset(tmp_path / "copy.nc", engine="netcdf4") as again:
            xr.testing.assert_identical(again.load(), opened.load())


def test_options_of_the_filesystem_are_given_once(radar: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/open_dataset/radar.nc", radar.read_bytes())
    url = "memory://open_dataset/radar.nc"
    found = refmaker.open_dataset(url, storage_options={})
    assert found.encoding["source"] == url
    with xr.open_dataset(radar, engine="netcdf4") as expected:
        xr.testing.assert_identical(found.load(), expected.load())
    manifest = refmaker.scan(url)
    memory.pipe("/open_dataset/m.json", str(__import__("json").dumps(manifest.to_dict())).encode())
    assert refmaker.open_dataset("memory://open_dataset/m.json", storage_options={})["x"].values.tolist() == [1, 2]


def test_what_is_neither(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("nothing")
    with pytest.raises(refmaker.RefmakerError):
        refmaker.open_dataset(tmp_path / "a")
    with pytest.raises(refmaker.RefmakerError):
        refmaker.open_dataset(tmp_path / "missing.nc")


def corpus() -> list[Path]:
    return sorted(path for path in CORPUS.rglob("*.nc") if path.stat().st_size < 1 << 20) if CORPUS.exists() else []


def has_forms_of_its_own(path: Path) -> bool:
    """Whether a file has values that Zarr takes in another form: compounds, sequences, opaque ones (docs/design.md)."""
    if not h5py.is_hdf5(path):
        return False
    found: list[str] = []

    def look(name: str, one: Any) -> None:
        kind = np.dtype("i4") if isinstance(one, h5py.Group) else one.dtype
        if kind.kind == "V" or (kind.kind == "O" and h5py.check_string_dtype(kind) is None):
            found.append(name)

    with h5py.File(path) as file:
        file.visititems(look)
    return bool(found)


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_trees_of_the_corpus() -> None:
    """Every file that netCDF-C opens as a tree is shown as that tree, or its refusals say why not."""
    same, different = 0, {}
    for path in corpus():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = xr.open_datatree(path, engine="netcdf4").load()
            except Exception:  # noqa: BLE001  # whatever netCDF-C and xarray have against a file
                continue
            manifest = refmaker.scan(path)
            if manifest.refusals or has_forms_of_its_own(path):
                continue
            try:
                xr.testing.assert_identical(refmaker.open_datatree(manifest).load(), expected)
                same += 1
            except (AssertionError, ValueError) as error:
                different[path.name] = str(error)[:300]
    gc.collect()
    assert different == {}
    assert same > 10
