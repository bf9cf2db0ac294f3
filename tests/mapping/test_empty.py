"""Null dataspaces: objects without values are empty, not refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.cli.conftest import Run, run

__all__ = ["run"]


def test_reported_as_empty(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
        for name, dtype in (("e", "<f4"), ("c", [("a", "<i4"), ("v", "<f4", (2,))]), ("s", h5py.string_dtype())):
            file[name] = h5py.Empty(dtype)
        file["e"].attrs["units"] = "m"
        file["x"].attrs["none"] = h5py.Empty("<f4")
        file["x"].attrs["text"] = h5py.Empty("S3")
        file["again"] = file["e"]
    manifest = scan(str(path), strict=True)
    found = {line.path: line for line in manifest.objects}
    assert {path: line.status for path, line in found.items() if path != "/"} == {
        "/x": "mapped", "/again": "empty", "/e": "empty", "/c": "empty", "/s": "empty",
    }  # fmt: skip
    assert (found["/e"].kind, found["/again"].kind) == ("link", "dataset")
    assert all(line.reason for line in found.values() if line.status == "empty")
    assert found["/again"].notes == ["attributes left out: units"]
    assert (manifest.refusals, list(manifest.arrays)) == ({}, ["x"])
    attributes = manifest.arrays["x"].attributes
    assert (attributes["none"], attributes["text"]) == ([], "")
    written = tmp_path / "m.json"
    assert run("scan", path, "-o", written).exit_code == 0
    assert run("info", written).exit_code == 0
    assert run("info", path).exit_code == 0
    assert verify(str(written)).differences == 0


@pytest.mark.parametrize("where", ["/", "/g"])
def test_scales_without_values_name_dimensions(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = h5py.Empty("<f4")
        file["x"].make_scale("x")
        group = file.require_group(where)
        for name, shape in (("a", (3,)), ("b", (3, 2)), ("c", (5,))):
            group[name] = np.zeros(shape)
            group[name].dims[0].attach_scale(file["x"])
    manifest = scan(str(path))
    named = {path.rpartition("/")[2]: array.attributes["_ARRAY_DIMENSIONS"] for path, array in manifest.arrays.items()}
    assert (named["a"], named["b"][0]) == (["x"], "x")
    assert named["c"] != ["x"]  # of another length
    assert manifest.refusals == {}
