"""Chunks of fill that are left out: the same values, counted, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import refmaker
from refmaker.errors import SourceError
from tests.cli.conftest import Run, run

__all__ = ["run"]

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs")


def file_with(tmp_path: Path, values: np.ndarray, **options: Any) -> str:
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=values, **options)
    return path


def shown(manifest: Any) -> np.ndarray:
    store = zarr.storage.FsspecStore(refmaker.FileSystem(manifest, asynchronous=True), read_only=True, path="")
    return np.asarray(zarr.open_group(store, mode="r")["t"][...])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_the_values_stay(tmp_path: Path, compression: str | None, zarr_format: Any) -> None:
    values = np.zeros((8, 6), "i4")
    values[2, 1] = 7
    values[7, 5] = 1
    path = file_with(tmp_path, values, chunks=(2, 3), compression=compression)
    manifest = refmaker.scan(path, zarr_format=zarr_format)
    fewer = refmaker.drop_fill_chunks(manifest)
    assert (len(manifest.arrays["t"].references), len(fewer.arrays["t"].references)) == (8, 2)
    np.testing.assert_array_equal(shown(fewer), values)
    (line,) = [line for line in fewer.objects if line.path == "/t"]
    assert line.notes[-2 if zarr_format == 2 else -1].startswith("6 of 8 chunks hold nothing but the fill value 0")
    assert ("xarray masks 0" in line.notes[-1]) is (zarr_format == 2)
    fewer.to_json(tmp_path / "a.json")
    assert refmaker.verify(tmp_path / "a.json", sample=None, xarray=False).differences == 0


def test_background(tmp_path: Path) -> None:
    """Without a fill value of its own, an array takes the value that most chunks hold alone."""
    values = np.full((8, 4), 255, "u1")
    values[0] = 0
    values[:1, 2:] = 3
    path = file_with(tmp_path, values, chunks=(1, 4), compression="gzip")
    fewer = refmaker.drop_fill_chunks(refmaker.scan(path))
    assert fewer.arrays["t"].metadata.fill_value == 255
    assert fewer.arrays["t"].references.cell.tolist() == [0]
    np.testing.assert_array_equal(shown(fewer), values)


def test_what_is_masked_already_is_not_noted(tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("t", data=np.array([-1.0, -1, 2, 3]), chunks=(2,), fillvalue=-1.0)
        dataset.attrs["_FillValue"] = -1.0
    fewer = refmaker.drop_fill_chunks(refmaker.scan(path))
    assert fewer.arrays["t"].references.cell.tolist() == [1]
    assert [note for line in fewer.objects for note in line.notes if "masks" in note] == []


def test_bits_decide(tmp_path: Path) -> None:
    """Minus zero is equal to zero, and not the same."""
    values = np.array([0.0, 0.0, -0.0, -0.0, -0.0, 0.0, 1.0, 1.0])
    path = file_with(tmp_path, values, chunks=(2,), compression="gzip", fillvalue=0.0)
    fewer = refmaker.drop_fill_chunks(refmaker.scan(path, zarr_format=3))
    assert fewer.arrays["t"].references.cell.tolist() == [1, 2, 3]


def test_text_stays(tmp_path: Path) -> None:
    path = file_with(tmp_path, np.array(["", ""], object), dtype=h5py.string_dtype())
    manifest = refmaker.scan(path)
    assert refmaker.drop_fill_chunks(manifest).arrays == manifest.arrays


def test_a_file_that_changed_is_an_error(tmp_path: Path) -> None:
    path = file_with(tmp_path, np.zeros(4), chunks=(2,))
    manifest = refmaker.scan(path)
    Path(path).write_bytes(b"x" * 10_000)
    with pytest.raises(SourceError):
        refmaker.drop_fill_chunks(manifest)


def test_command_line(tmp_path: Path, run: Run) -> None:
    path = file_with(tmp_path, np.zeros(6), chunks=(2,), compression="gzip")
    out = str(tmp_path / "a.json")
    done = run("scan", path, "-o", out, "--drop-fill-chunks")
    assert done.exit_code == 0
    assert "0 chunks" in done.stderr
    assert "3 of 3 chunks hold nothing but the fill value" in done.stderr
    assert refmaker.open_manifest(out).chunks == 0
