"""Files with what catalogues want to know: where, when, in which projection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker

Make = Callable[..., Path]


@pytest.fixture
def globe(tmp_path: Path) -> Make:
    """Make a manifest of a file with longitudes, latitudes and times; what is given replaces coordinates."""

    def make(name: str = "air", zarr_format: Any = 2, **coordinates: Any) -> Path:
        known: dict[str, Any] = {
            "time": ("time", np.array(["2000-01-01", "2000-01-03"], "M8[ns]"), {"standard_name": "time"}),
            "lat": ("lat", [10.0, 20.0, 30.0], {"units": "degrees_north"}),
            "lon": ("lon", [-10.0, 0.0, 10.0, 20.0], {"units": "degrees_east"}),
        } | coordinates
        known = {key: value for key, value in known.items() if value is not None}
        shape = (2, len(known["lat"][1]), len(known["lon"][1]))
        values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
        data = {"t": (("time", "lat", "lon"), values, {"units": "K", "long_name": "air temperature"})}
        xr.Dataset(data, known, {"title": "Air"}).to_netcdf(tmp_path / f"{name}.nc", engine="netcdf4")
        refmaker.scan(tmp_path / f"{name}.nc", zarr_format=zarr_format).to_json(str(tmp_path / f"{name}.json"))
        return tmp_path / f"{name}.json"

    return make


@pytest.fixture
def utm(tmp_path: Path) -> Path:
    """A manifest of a file on a grid of UTM zone 32, with the parameters of its mapping."""
    parameters = {
        "grid_mapping_name": "transverse_mercator",
        "longitude_of_central_meridian": 9.0,
        "latitude_of_projection_origin": 0.0,
        "scale_factor_at_central_meridian": 0.9996,
        "false_easting": 500000.0,
        "false_northing": 0.0,
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
    }
    x = ("x", 500000.0 + 1000 * np.arange(4) + 500, {"standard_name": "projection_x_coordinate", "units": "m"})
    y = ("y", 5004000.0 - 1000 * np.arange(3) - 500, {"standard_name": "projection_y_coordinate", "units": "m"})
    data = {"b": (("y", "x"), np.zeros((3, 4), "u1"), {"grid_mapping": "crs"}), "crs": ((), 0, parameters)}
    attributes = {"time_coverage_start": "2001-02-03T04:05:06Z", "time_coverage_end": "2001-02-03T04:05:06Z"}
    xr.Dataset(data, {"x": x, "y": y}, attributes).to_netcdf(tmp_path / "utm.nc", engine="netcdf4")
    refmaker.scan(tmp_path / "utm.nc").to_json(str(tmp_path / "utm.json"))
    return tmp_path / "utm.json"
