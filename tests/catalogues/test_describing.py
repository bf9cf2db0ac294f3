from __future__ import annotations

import datetime as dt
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.catalogues.describing import describe
from refmaker.errors import Unsupported
from tests.catalogues.conftest import Make


def test_a_globe(globe: Make) -> None:
    (cube,) = describe(refmaker.open_manifest(globe()))
    assert (cube.path, cube.title, cube.box) == ("/", "Air", (-10, 10, 20, 30))
    assert cube.times == (dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2000, 1, 3, tzinfo=dt.UTC))
    assert cube.dimensions["lon"] == {"type": "spatial", "axis": "x", "extent": [-10, 20], "step": 10}
    assert cube.dimensions["time"]["extent"] == ["2000-01-01T00:00:00Z", "2000-01-03T00:00:00Z"]
    known = {"description": "air temperature", "unit": "K", "type": "data", "dimensions": ["time", "lat", "lon"]}
    assert cube.variables == {"t": known}


def test_uneven_steps_are_listed(globe: Make) -> None:
    manifest = refmaker.open_manifest(globe(lat=("lat", [0.0, 1.0, 5.0], {"units": "degrees_north"})))
    (cube,) = describe(manifest)
    assert cube.dimensions["lat"]["step"] is None
    assert cube.dimensions["lat"]["values"] == [0, 1, 5]


def test_coordinates_of_two_dimensions(tmp_path: Path) -> None:
    lon, lat = np.meshgrid([100.0, 101, 102], [1.0, 2])
    coordinates = {
        "lon": (("j", "i"), lon, {"standard_name": "longitude"}),
        "lat": (("j", "i"), lat, {"standard_name": "latitude"}),
    }
    xr.Dataset({"a": (("j", "i"), lon)}, coordinates).to_netcdf(tmp_path / "a.nc")
    (cube,) = describe(refmaker.scan(tmp_path / "a.nc"))
    assert cube.box == (100, 1, 102, 2)
    assert cube.times is None
    assert cube.dimensions["i"] == {"type": "other", "extent": [0, 2], "description": "positions"}
    assert {name: one["type"] for name, one in cube.variables.items()} == {
        "a": "data",
        "lon": "auxiliary",
        "lat": "auxiliary",
    }


def test_groups(tmp_path: Path) -> None:
    tree = {
        "/": xr.Dataset(attrs={"title": "all"}),
        "/a/b": xr.Dataset({"v": ("x", [1.0, 2.0])}),
        "/c": xr.Dataset({"w": 1}),
    }
    xr.DataTree.from_dict(tree).to_netcdf(tmp_path / "a.nc")
    found = {cube.path: list(cube.variables) for cube in describe(refmaker.scan(tmp_path / "a.nc"))}
    assert found == {"/a/b": ["v"], "/c": ["w"]}


def test_a_calendar_of_its_own(globe: Make, tmp_path: Path) -> None:
    times = {"units": "days since 2000-02-01", "calendar": "360_day", "standard_name": "time"}
    manifest = refmaker.open_manifest(globe(time=("time", [0, 29], times)))
    (cube,) = describe(manifest)
    assert cube.times is None
    assert "name one" in cube.notes[0]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_masked_and_missing_coordinates(tmp_path: Path, zarr_format: int) -> None:
    data = xr.Dataset({"v": ("x", [1.0, 2.0])}, {"x": ("x", [np.nan, 4.0], {"axis": "X"})})
    data.to_netcdf(tmp_path / "a.nc")
    (cube,) = describe(refmaker.scan(tmp_path / "a.nc", zarr_format=zarr_format))  # type: ignore[arg-type]
    assert cube.dimensions["x"]["extent"] == [4, 4]
    assert "values" not in cube.dimensions["x"]


def test_a_scalar_with_the_name_of_a_dimension(tmp_path: Path) -> None:
    """As MINC files have it: xarray has no dataset for that."""
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 2)
        file.createVariable("x", "i4", ())
        file.createVariable("v", "i4", ("x",))
    with pytest.raises(Unsupported, match="already exists as a scalar variable"):
        describe(refmaker.scan(tmp_path / "a.nc"))
