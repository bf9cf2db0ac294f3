"""Arrays that a scan keeps in the manifest, combined: against xarray on the files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import refmaker

netCDF4 = pytest.importorskip("netCDF4")
xr = pytest.importorskip("xarray")
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize("scanned", [False, True])
def test_files_of_different_length(tmp_path: Path, zarr_format: Literal[2, 3], *, classic: bool, scanned: bool) -> None:
    files = []
    for number, rows in enumerate((100, 70, 130)):
        path = tmp_path / f"{number}.nc"
        with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC" if classic else "NETCDF4") as file:
            file.createDimension("time", None)
            time = file.createVariable("time", "f8", ("time",), **({} if classic else {"chunksizes": (1,)}))
            time.units = "days since 2000-01-01"
            for name in ("u", "v"):
                file.createVariable(name, "f4", ("time",), **({} if classic else {"chunksizes": (1,)}))
            time[:] = np.arange(rows) + 1000 * number
            file["u"][:] = np.arange(rows) * number
            file["v"][:] = np.arange(rows) + number
        files.append(path)
    inputs = [refmaker.scan(path, zarr_format=zarr_format) if scanned else path for path in files]
    made = refmaker.combine(inputs, zarr_format=zarr_format)
    assert {name: len(array.references) for name, array in made.arrays.items()} == {"time": 1, "u": 1, "v": 1}
    want = xr.concat([xr.open_dataset(path).load() for path in files], "time", data_vars="minimal", join="exact",
                     coords="minimal", compat="override")  # fmt: skip
    with xr.open_dataset(made, engine="refmaker") as opened:
        xr.testing.assert_identical(opened.load(), want)
    grown = refmaker.append(refmaker.combine(inputs[:2], zarr_format=zarr_format), inputs[2])
    assert grown.arrays["u"] == made.arrays["u"]
