"""Files for scans over a network: large enough that they are not read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np

from refmaker import Manifest

__all__ = ["classic_file", "large_file", "same", "small_files"]

CHUNKS = 3000
CHUNK_SIZE = 10_000


def large_file(folder: Path, *, chunks: int = CHUNKS) -> Path:
    """Make an HDF5 file of 30 MB: a dataset whose index has about a hundred nodes among the chunks, and a small one."""
    path = folder / "large.h5"
    payload = np.random.default_rng(1).bytes(CHUNK_SIZE)
    with h5py.File(path, "w", libver="earliest") as file:
        data = file.create_dataset("g/data", (chunks, 100), "<f4", chunks=(1, 100), compression="gzip")
        for n in range(chunks):
            data.id.write_direct_chunk((n, 0), payload[: CHUNK_SIZE - n % 100], 0)
        file["g/last"] = np.arange(10)
    return path


def classic_file(path: Path, *, records: int = 500, attribute: int = 0) -> Path:
    """Make a netCDF classic file, with a header of about `attribute` bytes."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("time", None)
        file.createDimension("x", 1000)
        for k in range(4):
            variable = file.createVariable(f"v{k}", "f4", ("time", "x"))
            variable.units = "K" * (1 + attribute // 4)
            variable[0:records] = np.zeros((records, 1000), "f4")
    return path


def small_files(folder: Path, count: int) -> list[Path]:
    """Make netCDF-4 files of some kilobytes."""
    paths = []
    for n in range(count):
        path = folder / f"small{n}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("x", 100)
            for k in range(3):
                variable = file.createVariable(f"v{k}", "i4", ("x",), zlib=True, chunksizes=(20,))
                variable[:] = np.arange(100) + n
        paths.append(path)
    return paths


def same(remote: Manifest, local: Manifest) -> None:
    """Assert that two manifests differ in their targets only."""
    assert remote.groups == local.groups
    assert remote.refusals == local.refusals
    assert list(remote.arrays) == list(local.arrays)
    for path, array in local.arrays.items():
        found = remote.arrays[path]
        assert (found.metadata, found.attributes) == (array.metadata, array.attributes)
        assert found.references.inline == array.references.inline
        columns: Any = ("cell", "offset", "size")
        for column in columns:
            np.testing.assert_array_equal(getattr(found.references, column), getattr(array.references, column))
