"""Stores that zarr-python reads as the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from refmaker.verification.values import MissingCounterpart
from refmaker.verification.zarr_originals import folders_above, is_store_zip, open_zarr_file, open_zarr_zip
from tests.zarr_stores.making import files_of, write_store

pytestmark = pytest.mark.filterwarnings("ignore")


def test_folders_above() -> None:
    there = {"/a/s/zarr.json", "/a/s/g/zarr.json", "/a/s/g/x/zarr.json"}
    assert folders_above("/a/s/g/x/c/0/1", there.__contains__) == ["/a/s/g/x", "/a/s/g", "/a/s"]
    assert folders_above("/a/s/zarr.json", there.__contains__) == ["/a/s"]
    assert folders_above("/b/air.nc", there.__contains__) == []
    assert folders_above("http://h/s/zarr.json", {"http://h/s/zarr.json"}.__contains__) == ["http://h/s"]


def test_from_any_file(tmp_path: Path) -> None:
    group = write_store(str(tmp_path / "s"), 3)
    for path in files_of(tmp_path / "s"):
        file = open_zarr_file(str(path), {})
        assert file is not None
        found = file.find("s/deep/y", np.dtype(">f8"))
        np.testing.assert_array_equal(found.read((slice(0, 5),)), group["s/deep/y"][:])
        with pytest.raises(MissingCounterpart):
            file.find("nothing", np.dtype("f8"))
    (tmp_path / "air.nc").write_bytes(b"x")
    assert open_zarr_file(str(tmp_path / "air.nc"), {}) is None


def test_zip(tmp_path: Path) -> None:
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="w")
    write_store(store, 3)
    store.close()
    assert is_store_zip(tmp_path / "a.zip")
    file = open_zarr_zip(str(tmp_path / "a.zip"))
    text = file.find("text", np.dtype(object))
    assert (text.dtype, text.read((slice(0, 3),)).tolist()) == (None, ["a", "", "ü"])
    file.close()
