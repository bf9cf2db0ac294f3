"""Bridges are tested where the packages that they lead to are installed: `.ci/newest` has them.

zarr warns of codecs that no specification has, and numpy's string dtype is new: neither is about bridges.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
QUIET = ("ignore:Numcodecs codecs are not in the Zarr version 3 specification", "ignore:The data type")


@pytest.fixture
def air(tmp_path: Path) -> Path:
    """A netCDF-4 file with groups, a scale, a float fill value, an absent chunk, text and a long unlimited chunk."""
    path = tmp_path / "air.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title = "air"
        file.createDimension("time", None)
        file.createDimension("x", 6)
        time = file.createVariable("time", "i4", ("time",), chunksizes=(512,))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(4)
        t = file.createVariable("t", "f4", ("time", "x"), zlib=True, chunksizes=(2, 3), fill_value=-999.0)
        t[:] = np.arange(24).reshape(4, 6)
        t[0, 0] = np.ma.masked
        t.units = "K"
        packed = file.createVariable("packed", "i2", ("x",), fill_value=-1)
        packed.scale_factor = 0.5
        packed[:] = np.ma.masked_equal([0, 1, 2, 3, 4, 5], 3)
        file.createVariable("name", str, ("x",))[:] = np.array([*"abcdé", ""], object)
        group = file.createGroup("forecast").createGroup("deep")
        group.createVariable("q", "f8", ("x",))[:] = np.arange(6) / 3
    with h5py.File(path, "r+") as file:
        sparse = file.create_dataset("sparse", (8,), "i4", chunks=(2,), fillvalue=7)
        sparse[2:4] = [1, 2]
        file.create_dataset("scalar", data=2.5)
        file.create_dataset("mask", (4, 8), "u1", chunks=(2, 8), compression="gzip")
        file["mask"].id.write_direct_chunk((0, 0), bytes(range(16)), filter_mask=1)
        file["mask"][2:] = 9
    return path
