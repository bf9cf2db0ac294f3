"""What the xarray engine shows, held against xarray's netCDF-4 engine: dtypes and types of attributes included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.errors import ManifestError
from refmaker.kerchunk.json_writer import read_json
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import restored


def assert_shown_alike(want: xr.Dataset, got: xr.Dataset) -> None:
    """Compare dtypes and the types of attributes, which `assert_identical` does not look at."""
    xr.testing.assert_identical(want, got)
    for name, variable in want.variables.items():
        assert got[name].dtype == variable.dtype, name
        assert_types(variable.attrs, got[name].attrs)
    assert_types(want.attrs, got.attrs)


def assert_types(want: dict[str, Any], got: dict[str, Any]) -> None:
    for name, value in want.items():
        assert type(got[name]) is type(value), name
        assert np.asarray(got[name]).dtype == np.asarray(value).dtype, name


def forms(manifest: Manifest, folder: Path) -> list[Any]:
    manifest.to_json(folder / "m.json")
    manifest.to_parquet(folder / "m.parquet")
    return [manifest, folder / "m.json", str(folder / "m.parquet")]


def packed(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 4)
    nc.setncatts({"level": np.int8(3), "weights": np.array([1, 2], "f4"), "big": np.uint64(2**64 - 1), "title": "a"})
    kinds = {"f4": "f4", "f8": "f8", "i2": "i2", "mixed": "f4"}
    for name, kind in kinds.items():
        for stored in ("i1", "i2", "i4", "u2", "f4"):
            v = nc.createVariable(
                f"{name}_{stored}", stored, ("x",), fill_value=3 if stored != "u2" and name != "i2" else None
            )
            v.set_auto_maskandscale(False)
            v.scale_factor = np.dtype(kind).type(2)
            if name != "i2":
                v.add_offset = np.dtype("f8" if name == "mixed" else kind).type(0.1)
            v.valid_range = np.array([0, 5], stored)
            v[:] = range(4)


def masked(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 4)
    for name, kind in {"narrow": "f4", "wide": "f8"}.items():
        v = nc.createVariable(name, "f4", ("x",))
        v.set_auto_maskandscale(False)
        v.missing_value = np.dtype(kind).type(0.1)
        v[:] = [0.1, 1, 2, 0.1]
    v = nc.createVariable("infinite", "f4", ("x",))
    v.set_auto_mask(False)
    v.valid_max, v.edges = np.float32(np.inf), np.array([np.nan, -np.inf, 1])
    v[:] = 1
    # Only a part is stored: Zarr's fill value is no `_FillValue`.
    nc.createVariable("part", "i4", ("x",), chunksizes=(2,), fill_value=None)[:2] = [0, 5]


def text(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 3)
    nc.createDimension("n", 2)
    s = nc.createVariable("s", str, ("x",))
    s[0], s[1], s[2] = "héllo", "", "b"
    nc.createVariable("apart", "S1", ("x",))[:] = np.array([b"a", b"b", b"c"])
    nc.createVariable("joined", "S1", ("x", "n"))[:] = np.array([[b"a", b"b"]] * 3)
    e = nc.createVariable("encoded", "S1", ("x",))
    e.set_auto_chartostring(False)
    e._Encoding = "utf-8"
    e[:] = np.array([b"a", b"b", b"c"])


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
@pytest.mark.filterwarnings("ignore:WARNING. missing_value cannot be safely cast")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill", [packed, masked, text], ids=lambda f: f.__name__)
def test_netcdf4(tmp_path: Path, fill: Callable[[netCDF4.Dataset], None], zarr_format: Any) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        fill(nc)
    manifest = refmaker.scan(str(path), zarr_format=zarr_format)
    with xr.open_dataset(path, engine="netcdf4") as want:
        for form in forms(manifest, tmp_path):
            with xr.open_dataset(form, engine="refmaker") as got:
                assert_shown_alike(want.load(), got.load())


def test_characters_beside_longer_strings_are_not_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["flag"] = np.array([b"a", b"b", b"c"], "S1")
        f["name"] = np.array([b"one", b"two", b"three"], "S5")
        f["letters"] = np.array([[b"a", b"b"], [b"c", b"d"]], "S1")
        f["many"] = np.array([b"x" * 3] * 100, "S4")
    with xr.open_dataset(path, engine="netcdf4") as want:
        got = xr.open_dataset(refmaker.scan(str(path)), engine="refmaker")
        assert got["flag"].shape == (3,)
        assert_shown_alike(want.load(), got.load())


def test_text_that_is_not_valid(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["v"] = np.array([b"caf\xe9", b"b"], "S5")
    got = xr.open_dataset(refmaker.scan(str(tmp_path / "a.h5")), engine="refmaker")
    assert got["v"].values.tolist() == [b"caf\xe9", b"b"]  # as h5py shows them


def tree(path: Path) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "root"
        nc.createDimension("x", 2)
        nc.createVariable("x", "i4", ("x",))[:] = [1, 2]
        for number in range(2):
            group = nc.createGroup(f"sweep_{number}")
            group.number = np.int16(number)
            group.createDimension("azimuth", 3 + number)
            group.createVariable("azimuth", "f4", ("azimuth",))[:] = np.arange(3 + number)
            group.createVariable("dbz", "f4", ("azimuth", "x"), zlib=True)[:] = 5
            group.createGroup("empty").createGroup("deep").createVariable("v", "u1", ())[...] = number
    return path


@pytest.mark.parametrize("group", [None, "sweep_1", "/sweep_0/empty/"])
def test_trees(tmp_path: Path, group: str | None) -> None:
    path = tree(tmp_path / "a.nc")
    for form in forms(refmaker.scan(str(path)), tmp_path):
        want = xr.open_datatree(path, engine="netcdf4", group=group)
        got = xr.open_datatree(form, engine="refmaker", group=group)
        xr.testing.assert_identical(want, got)
        groups = xr.open_groups(form, engine="refmaker", group=group)
        expected = xr.open_groups(path, engine="netcdf4", group=group)
        assert set(groups) == set(expected)
        for name, dataset in expected.items():
            assert_shown_alike(dataset.load(), groups[name].load())


def test_a_tree_without_attributes_of_its_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["g/x"] = [1, 2, 3]
    got = xr.open_datatree(refmaker.scan(str(tmp_path / "a.h5")), engine="refmaker")
    assert got.groups == ("/", "/g")


def test_many_manifests(tmp_path: Path) -> None:
    for number in range(2):
        dataset = xr.Dataset({"v": ("t", [number, number + 1.0])}, {"t": [2 * number, 2 * number + 1]})
        dataset.to_netcdf(tmp_path / f"{number}.nc", engine="netcdf4")
        refmaker.scan(str(tmp_path / f"{number}.nc")).to_json(tmp_path / f"{number}.json")
    with xr.open_mfdataset([str(tmp_path / f"{n}.json") for n in range(2)], engine="refmaker") as got:
        assert got["v"].values.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (0.5, "f4", np.float32(0.5)),
        (3, None, np.int64(3)),
        ([3], None, np.int64(3)),
        ([1, 2], "i2", np.array([1, 2], "i2")),
        ([], "f4", np.array([], "f4")),
        (None, "f4", np.float32("nan")),
        ([None, "-Infinity"], "f8", np.array([np.nan, -np.inf])),
        (["a"], None, "a"),
        (["a", "b"], None, ["a", "b"]),
        (True, None, True),
        (300, "i1", 300),
        ("abc", "f4", "abc"),
        (2**64, None, 2**64),
    ],
)
def test_restored(value: Any, kind: str | None, expected: Any) -> None:
    got = restored(value, kind)
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected) if isinstance(expected, np.ndarray | np.generic) else None
    assert isinstance(expected, np.ndarray) or np.asarray(got).dtype == np.asarray(expected).dtype


@pytest.mark.parametrize(
    "types", [3, [], {"": 3}, {"": {"a": 3}}, {"": {"a": "O"}}, {"": {"": "f4"}}, {"": {"a": "V9"}}]
)
def test_types_from_anyone(types: Any) -> None:
    import json

    document = {"version": 1, "refmaker": {"format": 1, "types": types}, "refs": {".zgroup": '{"zarr_format": 2}'}}
    with pytest.raises(ManifestError, match="bad member"):
        read_json(json.dumps(document).encode(), source="m.json")
