"""How long a dimension may be: as long as readers count it exactly."""

from __future__ import annotations

from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import Unsupported
from refmaker.zarr.chunk_grid import check_extents, grid_of

zarr = pytest.importorskip("zarr", minversion="3")
LONGEST = 2**53


def test_grid_of() -> None:
    assert grid_of((7, 0, 2**60 + 1), (2, 3, 2)) == (4, 0, 2**59 + 1)


@pytest.mark.parametrize("shape", [(), (0,), (LONGEST,), (0, LONGEST), (LONGEST, 2**9)])
def test_what_can_be_counted(shape: tuple[int, ...]) -> None:
    check_extents(shape)


@pytest.mark.parametrize("shape", [(LONGEST + 1,), (0, LONGEST + 1), (LONGEST, 2**10), (2**64,)])
def test_what_cannot(shape: tuple[int, ...]) -> None:
    with pytest.raises(Unsupported):
        check_extents(shape)


def test_datasets(tmp_path: Path) -> None:
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as file:
        for name, extent in (("longest", LONGEST), ("longer", LONGEST + 2)):
            data = file.create_dataset(name, (extent,), "<i4", chunks=(2,), maxshape=(None,), fillvalue=5)
            data[:2] = 7, 8
            data[-2:] = 8, 9
    manifest = refmaker.scan(path)
    assert set(manifest.arrays) == {"longest"}
    assert "exactly" in manifest.refusals["/longer"]
    fs = fsspec.filesystem("refmaker", fo=manifest, asynchronous=True)
    shown = zarr.open_group(zarr.storage.FsspecStore(fs, read_only=True, path=""), mode="r", zarr_format=2)["longest"]
    assert shown[:4].tolist() == [7, 8, 5, 5]
    assert shown[LONGEST - 4 : LONGEST].tolist() == [5, 5, 8, 9]
    for at in np.random.default_rng(0).integers(4, LONGEST - 4, 50).tolist():
        assert shown[at : at + 3].tolist() == [5, 5, 5]
