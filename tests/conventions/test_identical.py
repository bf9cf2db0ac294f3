"""`xr.open_zarr` of the manifest against `xr.open_dataset` of the file, group by group, value by value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from tests.mapping.stock import identical_groups, open_dataset, references

Fill = Callable[[netCDF4.Dataset], None]


def groups(nc: netCDF4.Dataset) -> None:
    nc.title = "groups"
    nc.createDimension("x", 3)
    nc.createVariable("x", "f8", ("x",))[:] = [1, 2, 3]
    for name in ("b", "a"):
        g = nc.createGroup(name)
        g.setncatts({"n": np.int16(3), "list": [1.5, 2.5]})
        g.createDimension("y", 2)
        g.createVariable("v", "i4", ("x", "y"))[:] = np.arange(6).reshape(3, 2)
        g.createGroup("deep").createVariable("w", "f4", ("y",))[:] = [0.5, np.nan]


def unlimited(nc: netCDF4.Dataset) -> None:
    nc.createDimension("time", None)
    nc.createDimension("x", 5)
    t = nc.createVariable("time", "i4", ("time",))
    t.units = "days since 2000-01-01"
    t[:] = range(7)
    v = nc.createVariable("v", "f4", ("time", "x"), zlib=True, shuffle=True, fletcher32=True, chunksizes=(2, 3))
    v[:] = np.arange(35).reshape(7, 5)


def shorter_than_the_unlimited_dimension(nc: netCDF4.Dataset) -> None:
    nc.createDimension("time", None)
    nc.createDimension("x", 4)
    nc.createVariable("full", "f4", ("time",))[:] = range(6)
    half = nc.createVariable("half", "f4", ("time", "x"), chunksizes=(2, 3))
    half[:3] = np.arange(12).reshape(3, 4)
    none = nc.createVariable("none", "i2", ("time",), fill_value=-1)
    none.set_auto_mask(False)
    nc.createVariable("text", "S1", ("time", "x"))[:2] = b"a"


def strings(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 3)
    nc.createDimension("n", 8)
    s = nc.createVariable("s", str, ("x",))
    s[0], s[1], s[2] = "héllo", "", "b"
    nc.createVariable("scalar", str, ())[...] = np.array("one", object)
    nc.createVariable("unwritten", str, ("x",))
    c = nc.createVariable("c", "S1", ("x", "n"))
    c[:] = netCDF4.stringtochar(np.array([b"abc", b"", b"12345678"], "S8"))
    c.flag = "plain"
    e = nc.createVariable("encoded", "S1", ("x", "n"))
    e._Encoding = "utf-8"
    e.set_auto_chartostring(False)
    e[:] = np.array(["é".encode(), b"", b"z"], "S8").view("S1").reshape(3, 8)
    m = nc.createVariable("masked", "S1", ("x",), fill_value=b"*")
    m.set_auto_mask(False)
    m[:] = np.array([b"*", b"a", b"*"])


def string_coordinate(nc: netCDF4.Dataset) -> None:
    nc.createDimension("name", 2)
    s = nc.createVariable("name", str, ("name",))
    s[0], s[1] = "a", "b"
    nc.createVariable("v", "f4", ("name",))[:] = [1, 2]


def enumerations(nc: netCDF4.Dataset) -> None:
    kind = nc.createEnumType(np.int8, "kind", {"clear": 0, "cloudy": 1, "unknown": 127})
    nc.createDimension("x", 3)
    nc.createVariable("cloud", kind, ("x",), fill_value=127)[:2] = [0, 1]


def fill_values(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 6)
    for name, fill in {
        "default": None,
        "attribute": -9.0,
        "nan": np.nan,
        "inf": np.inf,
    }.items():
        for state, until in {"full": 6, "half": 3, "empty": 0}.items():
            v = nc.createVariable(f"{name}_{state}", "f4", ("x",), chunksizes=(3,), fill_value=fill, zlib=until == 3)
            v.set_auto_mask(False)
            v[:until] = [1, -9, np.nan, 4, np.inf, 6][:until]
    nc.createVariable("no_fill", "f4", ("x",), fill_value=False)[:] = range(6)
    for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f8"):
        v = nc.createVariable(f"{kind}_half", kind, ("x",), chunksizes=(2,), fill_value=7)
        v.set_auto_mask(False)
        v[:2] = [7, 1]
        nc.createVariable(f"{kind}_empty", kind, ("x",))
        nc.createVariable(f"{kind}_contiguous", kind, ("x",), contiguous=True)[:] = range(6)


def packed(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 4)
    for name, kind, scale in (("a", "i2", 0.01), ("b", "u1", 2), ("c", "i4", 0.5)):
        v = nc.createVariable(name, kind, ("x",), fill_value=0)
        v.set_auto_maskandscale(False)
        v.scale_factor, v.add_offset, v.units = scale, 5.0, "K"
        v[:] = [0, 1, 2, 3]
    m = nc.createVariable("missing", "f4", ("x",))
    m.missing_value = np.array([np.nan, -1], "f4")
    m.valid_range = np.array([0, 10], "f4")
    m.set_auto_maskandscale(False)
    m[:] = [-1, 0, 1, 2]
    m = nc.createVariable("missing_nan", "f8", ("x",))
    m.missing_value = m.valid_min = np.nan
    m.set_auto_maskandscale(False)
    m[:] = [-1, 0, 1, 2]
    u = nc.createVariable("unsigned", "i1", ("x",), fill_value=-1)
    u._Unsigned = "true"
    u.set_auto_maskandscale(False)
    u[:] = [-1, -2, 3, 4]


def times(nc: netCDF4.Dataset) -> None:
    nc.createDimension("time", 3)
    nc.createDimension("nv", 2)
    t = nc.createVariable("time", "f8", ("time",))
    t.units, t.calendar, t.bounds = "hours since 1990-01-01 12:00", "noleap", "time_bnds"
    t[:] = [0, 1.5, 100]
    nc.createVariable("time_bnds", "f8", ("time", "nv"))[:] = np.arange(6).reshape(3, 2)
    d = nc.createVariable("lag", "i8", ("time",), fill_value=-1)
    d.units = "seconds"
    d.set_auto_mask(False)
    d[:] = [1, -1, 3]


def coordinates(nc: netCDF4.Dataset) -> None:
    nc.createDimension("y", 2)
    nc.createDimension("x", 3)
    nc.createVariable("y", "f4", ("y", "x"))[:] = np.arange(6).reshape(2, 3)
    nc.createVariable("lon", "f4", ("y", "x"))[:] = np.arange(6).reshape(2, 3)
    nc.createVariable("lat", "f4", ("y", "x"))[:] = np.arange(6).reshape(2, 3)
    v = nc.createVariable("v", "f4", ("y", "x"))
    v.coordinates = "lon lat"
    v[:] = 1
    nc.createVariable("x", "f4", ("y",))[:] = [1, 2]
    nc.createVariable("scalar", "i4", ())[...] = 4


def big_endian(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 4)
    for kind in ("i2", "i4", "f4", "f8"):
        v = nc.createVariable(kind, f">{kind}", ("x",), endian="big", zlib=True, fill_value=3)
        v[:] = [1, 2, 3, 4]


def compressed(nc: netCDF4.Dataset) -> None:
    nc.createDimension("x", 50)
    nc.createDimension("y", 7)
    for name in ("zlib", "zstd", "bzip2", "blosc_lz4", "blosc_zstd", "blosc_zlib"):
        if name == "zlib" or getattr(nc, f"has_{name.partition('_')[0]}_filter")():
            v = nc.createVariable(name, "f4", ("x", "y"), compression=name, chunksizes=(20, 4))
            v[:] = np.arange(350).reshape(50, 7) // 3


MAKERS: list[Fill] = [
    groups,
    unlimited,
    shorter_than_the_unlimited_dimension,
    strings,
    string_coordinate,
    enumerations,
    fill_values,
    packed,
    times,
    coordinates,
    big_endian,
    compressed,
]


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
@pytest.mark.parametrize("fill", MAKERS, ids=lambda f: f.__name__)
def test_netcdf4(tmp_path: Path, fill: Fill) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        fill(nc)
    manifest = identical_groups(path, tmp_path)
    assert not manifest.refusals


def plain_numbers(f: h5py.File) -> None:
    f["g/v"] = np.arange(12.0).reshape(3, 4)
    f["g/w"] = np.arange(3, dtype=">i2")
    f.create_dataset("never", (4,), "f4")
    f.create_dataset("sparse", (10,), "i4", chunks=(3,), fillvalue=5)[4] = 1
    f.create_dataset("sparse_zero", (10,), "i4", chunks=(3,), compression="gzip")[4] = 1
    f["scalar"] = 3


def plain_strings(f: h5py.File) -> None:
    f["fixed"] = np.array([b"ab", b"cde", b""], "S5")
    f["utf8"] = np.array(["hé".encode(), b"abcde"]).astype(h5py.string_dtype("utf-8", 5))
    f["scalar"] = np.bytes_(b"xyz")
    f["variable"] = np.array(["a", "", "ü"], object)
    f["letters"] = np.array([[b"a", b"b"], [b"c", b""]], "S1")
    f.create_dataset("chunked", (4,), h5py.string_dtype(), chunks=(2,))[1:3] = ["x", "yz"]


@pytest.mark.parametrize("fill", [plain_numbers, plain_strings])
def test_plain_hdf5(tmp_path: Path, fill: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        fill(f)
    manifest = identical_groups(path, tmp_path)
    assert not manifest.refusals


def test_single_precision_packing_is_close_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 100)
        v = nc.createVariable("v", "i2", ("x",))
        v.set_auto_maskandscale(False)
        v.scale_factor = np.float32(0.1)
        v[:] = range(100)
    from refmaker.scanning.scan import scan_file

    manifest = scan_file(str(path)).manifest
    got = open_dataset(references(manifest, tmp_path))
    with xr.open_dataset(path, engine="netcdf4") as want:
        xr.testing.assert_allclose(want, got)
    assert any("scale_factor" in note for report in manifest.objects for note in report.notes)


@pytest.mark.parametrize("fill", [unlimited, fill_values, packed, times, coordinates, big_endian, compressed])
@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_zarr_3(tmp_path: Path, fill: Fill) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        fill(nc)
    manifest = identical_groups(path, tmp_path, zarr_format=3)
    assert not manifest.refusals
