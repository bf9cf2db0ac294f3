"""Inputs in every form of a manifest give the same."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

import refmaker


@pytest.mark.parametrize("name", ["{}.json", "{}.json.gz", "{}.json.zst", "{}.parq"])
def test_the_same_from_all(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    files, inputs = [], []
    for i in range(3):
        path = tmp_path / f"{i}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", None)
            file.createDimension("x", 4)
            time = file.createVariable("time", "f8", ("time",), chunksizes=(2,))
            time.units, time[:] = "days since 2000-01-01", np.arange(2) + 2 * i
            file.createVariable("t", "f4", ("time", "x"), chunksizes=(2, 4), zlib=True)[:] = i + np.arange(8).reshape(
                2, 4
            )
        files.append(str(path))
        inputs.append(str(tmp_path / name.format(f"m{i}")))
        manifest = refmaker.scan(str(path))
        (manifest.to_parquet if name.endswith("parq") else manifest.to_json)(inputs[-1])
    expected, found = refmaker.combine(files), refmaker.combine(inputs)
    assert list(found.arrays) == list(expected.arrays)
    for path, array in expected.arrays.items():
        assert found.arrays[path].metadata == array.metadata
        np.testing.assert_array_equal(found.arrays[path].references.offset, array.references.offset)
        assert found.arrays[path].references.inline == array.references.inline
    assert [target.url for target in found.targets] == files
