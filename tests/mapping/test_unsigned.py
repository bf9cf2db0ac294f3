"""`_Unsigned`: xarray reads integers the other way, through a manifest as through netCDF-4."""

from __future__ import annotations

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_dataset, references


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("dtype", "unsigned", "fill"),
    [
        ("u1", "false", 255),
        ("u1", "false", 3),
        ("u2", "false", 0x8000),
        ("i1", "true", -1),
        ("i4", "true", 7),
        ("u8", "false", 2**64 - 2),
    ],
)
@pytest.mark.parametrize("written", [4, 2])
def test_as_netcdf4(
    tmp_path: Path, dtype: str, unsigned: str, fill: int, packed: bool, written: int, zarr_format: int
) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("t", 4)
        variable = file.createVariable("x", dtype, ("t",), fill_value=fill, chunksizes=(2,))
        variable.set_auto_maskandscale(False)
        if packed:
            variable.scale_factor = np.float64(0.1)
        variable.setncattr("_Unsigned", unsigned)
        variable[:written] = np.array([fill, 1, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)[:written]
    want = xr.open_dataset(path, engine="netcdf4")["x"]
    got = open_dataset(references(scan(str(path), zarr_format=zarr_format), tmp_path))["x"]
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.values, want.values)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("dtype", "unsigned", "fill"), [("u1", "false", np.int8(-1)), ("i1", "true", np.uint8(255))])
def test_fill_values_of_the_other_sign(
    tmp_path: Path, dtype: str, unsigned: str, fill: np.generic, zarr_format: int
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.array([int(fill), 1, 2]).astype(dtype)
        file["x"].attrs["_FillValue"] = fill
        file["x"].attrs["_Unsigned"] = unsigned
    want = xr.open_dataset(path, engine="netcdf4")["x"]
    got = open_dataset(references(scan(str(path), zarr_format=zarr_format), tmp_path))["x"]
    np.testing.assert_array_equal(got.values, want.values)
