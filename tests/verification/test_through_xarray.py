"""What xarray shows of a manifest, held against what it shows of the file: `verify` finds what users would see."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest

import refmaker
from refmaker.manifest.manifest import Manifest
from refmaker.verification.verify import ShownResult, verify


def shown(manifest: Manifest | Path, **options: Any) -> ShownResult:
    found = verify(manifest, **options).shown
    assert found is not None
    return found


def write(path: Path) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 4)
        packed = nc.createVariable("packed", "i2", ("x",), fill_value=-1)
        packed.set_auto_maskandscale(False)
        packed.scale_factor, packed.add_offset = np.float32(0.01), np.float32(20)
        packed[:] = [-1, 0, 1, 300]
        time = nc.createGroup("g").createVariable("time", "f8", ("x",))
        time.units = "days since 2000-01-01"
        time[:] = range(4)
    return path


def changed(manifest: Manifest, path: str, attributes: Mapping[str, Any], gone: str = "") -> Manifest:
    """Return a manifest in which an array has other attributes."""
    array = manifest.arrays[path]
    kept = {name: value for name, value in array.attributes.items() if name != gone}
    arrays = {**manifest.arrays, path: dataclasses.replace(array, attributes={**kept, **attributes})}
    return dataclasses.replace(manifest, arrays=arrays)


@pytest.mark.parametrize("full", [False, True])
def test_the_same_and_what_stock_readers_see(tmp_path: Path, full: bool) -> None:
    refmaker.scan(str(write(tmp_path / "a.nc"))).to_json(tmp_path / "m.json")
    found = shown(tmp_path / "m.json", sample=None if full else 64)
    assert (found.status, found.variables, found.differences) == ("same", 2, [])
    assert [(note.path, note.aspect) for note in found.notes] == [("/packed", "dtype")]


@pytest.mark.parametrize(
    ("attributes", "gone", "aspect"),
    [
        ({"scale_factor": 0.5}, "", "values"),
        ({}, "scale_factor", "dtype"),
        ({"_ARRAY_DIMENSIONS": ["y"]}, "", "dimensions"),
        ({"add_offset": "none"}, "", "opening"),
    ],
)
def test_what_users_would_see_otherwise(tmp_path: Path, attributes: dict[str, Any], gone: str, aspect: str) -> None:
    manifest = refmaker.scan(str(write(tmp_path / "a.nc")))
    report = verify(changed(manifest, "packed", attributes, gone))
    assert all(array.status == "same" for array in report.arrays)
    assert report.shown is not None
    assert report.shown.status == "differs"
    assert aspect in {one.aspect for one in report.shown.differences} | {"opening"}
    assert report.differences == len(report.shown.differences) > 0


def test_another_attribute(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createVariable("v", "f4", ()).level = np.int16(3)
    manifest = refmaker.scan(str(path))
    (one,) = shown(changed(manifest, "v", {"level": 4})).differences
    assert (one.path, one.aspect) == ("/v", "attribute 'level'")
    assert "3" in one.expected
    assert "4" in one.got


def test_times_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", 3)
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 0000-00-00", "none such"
        time[:] = [0, 1e300, np.inf]
        nc.createVariable("v", "f4", ("time",))[:] = range(3)
    found = shown(refmaker.scan(str(path)))
    assert (found.status, found.variables) == ("same", 2)


def test_a_file_that_netcdf_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as f:
        f["v"] = np.arange(3)
        f["v"].attrs["DIMENSION_LIST"] = 3
        f["w"] = np.arange(2)
        f["v"].attrs["CLASS"] = np.array([b"DIMENSION_SCALE", b"x"])
    report = verify(refmaker.scan(str(path)))
    assert not report.differences


def test_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = refmaker.scan(str(write(tmp_path / "a.nc")))
    assert verify(manifest, xarray=False).shown is None
    monkeypatch.setattr(
        "refmaker.verification.through_xarray.find_spec", lambda name: None if name == "xarray" else name
    )
    found = shown(manifest)
    assert (found.status, found.reason) == ("skipped", "xarray is not installed")


def test_a_process_that_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = refmaker.scan(str(write(tmp_path / "a.nc")))
    monkeypatch.setattr("refmaker.verification.through_xarray._SECONDS", 0.01)
    found = shown(manifest)
    assert found.status == "skipped"
    assert "took more than" in (found.reason or "")
    monkeypatch.setattr("refmaker.verification.through_xarray._SECONDS", 60)
    monkeypatch.setattr("refmaker.verification.through_xarray.sys.executable", "/bin/false")
    assert "status 1" in (shown(manifest).reason or "")


def test_a_part_of_a_file(tmp_path: Path) -> None:
    found = shown(refmaker.scan(str(write(tmp_path / "a.nc")), group="g"))
    assert (found.status, found.variables) == ("same", 1)
