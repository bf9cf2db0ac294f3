"""Small arrays in many chunks: one chunk in the manifest, with the values that h5py and netCDF4 read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker

xr = pytest.importorskip("xarray")
netCDF4 = pytest.importorskip("netCDF4")


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip"}, {"shuffle": True, "compression": "gzip"}, {"fletcher32": True}],
)
@pytest.mark.parametrize("dtype", ["<f8", ">i2", "S3"])
@pytest.mark.parametrize(("shape", "chunks"), [((2000,), (1,)), ((301, 2), (2, 2)), ((100, 2), (1, 1))])
def test_values_are_kept(tmp_path: Path, options: dict[str, Any], dtype: str, shape: Any, chunks: Any) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", data=values, chunks=chunks, **options)
    result = refmaker.scan_file(tmp_path / "a.h5")
    array = result.manifest.arrays["t"]
    assert (array.grid, list(array.references.inline), len(array.references.cell)) == ((1,) * len(shape), [0], 0)
    (line,) = [one for one in result.manifest.objects if one.path == "/t"]
    assert line.status == "inlined"
    assert any("--no-consolidate" in note for note in line.notes)
    with xr.open_dataset(result.manifest, engine="refmaker") as opened:
        np.testing.assert_array_equal(opened["t"].values.astype(dtype), values)
    left = refmaker.scan(tmp_path / "a.h5", consolidate=False).arrays["t"]
    assert len(left.references.cell) == left.cells > 64


def test_records_of_a_classic_file(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "r.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("obs", None)
        for number in range(3):
            file.createVariable(f"v{number}", "f4", ("obs",))[:] = np.arange(500) + number
    manifest = refmaker.scan(tmp_path / "r.nc")
    assert manifest.chunks == 3
    with xr.open_dataset(manifest, engine="refmaker") as got, xr.open_dataset(tmp_path / "r.nc") as want:
        xr.testing.assert_identical(got.load(), want.load())


def test_what_stays(tmp_path: Path) -> None:
    """Few chunks, chunks larger than their references, missing chunks, more than the limit."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("few", data=np.arange(60.0), chunks=(1,))
        file.create_dataset("large", data=np.arange(1000.0), chunks=(10,))
        missing = file.create_dataset("missing", (200,), "f8", chunks=(1,))
        missing[:150] = 1
        file.create_dataset("many", data=np.arange(200.0), chunks=(1,))
    manifest = refmaker.scan(tmp_path / "a.h5", inline_limit=1000)
    assert [len(array.references.cell) for array in manifest.arrays.values()] == [60, 100, 200, 150]
