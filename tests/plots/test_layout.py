"""What lies where: counted byte by byte from h5py, and compared."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.plots.layout import NAMED, grid_image, layout_of, main_target


def write(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=np.arange(6400.0).reshape(80, 80), chunks=(20, 20), compression="gzip")
        sparse = file.create_dataset("sparse", shape=(100, 100), chunks=(10, 10), dtype="i2")
        sparse[:30, :20] = 5
        file["x"] = np.arange(10.0)
    return path


def occupied(path: Path) -> dict[str, np.ndarray]:
    """Return for each dataset which bytes of the file are its chunks, as h5py says."""
    size = path.stat().st_size
    found = {}
    with h5py.File(path) as file:
        for name, dataset in file.items():
            found[f"/{name}"] = taken = np.zeros(size, bool)
            if dataset.chunks is None:
                start = dataset.id.get_offset()
                taken[start : start + dataset.nbytes] = True
                continue
            for number in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(number)
                taken[chunk.byte_offset : chunk.byte_offset + chunk.size] = True
    return found


@pytest.mark.parametrize("parts", [1, 7, 64])
def test_every_byte_is_counted_once(tmp_path: Path, parts: int) -> None:
    path = write(tmp_path / "a.h5")
    scanned = refmaker.scan_file(str(path), measure=True)
    layout = layout_of(scanned.manifest, tree=scanned.tree, parts=parts)
    assert layout is not None
    size = path.stat().st_size
    truth = occupied(path)
    assert layout.size == size
    assert layout.names[-2:] == ["metadata", "gaps"]
    assert set(layout.names[:-2]) == truth.keys()
    assert layout.totals[:-2] == sorted((int(taken.sum()) for taken in truth.values()), reverse=True)
    assert sum(layout.totals) == size
    assert 0 < layout.totals[-2] <= scanned.tree.metadata_size
    edges = np.linspace(0, size, parts + 1)
    for name, covered in zip(layout.names, layout.covered, strict=True):
        if name in truth:
            below = np.interp(edges, np.arange(size + 1), np.append(0, np.cumsum(truth[name])))
            np.testing.assert_allclose(covered, np.diff(below))
    np.testing.assert_allclose(layout.covered.sum(axis=0), size / parts)


def test_a_manifest_alone_does_not_know_the_metadata(tmp_path: Path) -> None:
    layout = layout_of(refmaker.scan(str(write(tmp_path / "a.h5"))))
    assert layout is not None
    assert layout.names[-1] == "metadata and gaps"


def test_many_arrays_count_together(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(NAMED + 3):
            file[f"v{number:02}"] = np.arange(100.0 + number)
    layout = layout_of(refmaker.scan(str(tmp_path / "many.h5")))
    assert layout is not None
    assert len(layout.names) == NAMED + 2
    assert layout.names[-2] == "other arrays"
    assert layout.totals[-2] == 8 * (100 + 101 + 102)


def test_grid(tmp_path: Path) -> None:
    array = refmaker.scan(str(write(tmp_path / "a.h5"))).arrays["sparse"]
    image = grid_image(array)
    assert image.shape == (10, 10)
    expected = np.full((10, 10), np.nan)
    expected[:3, :2] = 200
    np.testing.assert_array_equal(image, expected)
    small = grid_image(array, side=2)
    np.testing.assert_array_equal(small, [[200, np.nan], [np.nan, np.nan]])


def test_nothing_in_files() -> None:
    empty = refmaker.Manifest(2, {"": {}}, {}, [])
    assert main_target(empty) is None
    assert layout_of(empty) is None
