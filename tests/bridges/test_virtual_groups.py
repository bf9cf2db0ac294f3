"""Manifests as groups of VirtualiZarr: what cannot be one is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("virtualizarr", reason="VirtualiZarr needs Python 3.12 and the extra of its name")

import refmaker
from refmaker import limits
from refmaker.bridges.virtual_groups import virtual_group
from refmaker.errors import Unsupported
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


def document(array: dict[str, Any], **chunks: Any) -> refmaker.Manifest:
    """A manifest as others write it."""
    metadata = {
        "zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "fill_value": None, "compressor": None,
        "filters": None, "order": "C", **array,
    }  # fmt: skip
    refs = {".zgroup": {"zarr_format": 2}, "x/.zarray": metadata, "x/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}}
    return refmaker.Manifest.from_dict({"version": 1, "refs": {**refs, **{f"x/{k}": v for k, v in chunks.items()}}})


def test_a_file_that_is_a_chunk_as_a_whole() -> None:
    group, refusals = virtual_group(document({}, **{"0": ["s3://bucket/a"]}))
    assert list(refusals) == ["/x"]
    assert group.arrays == {}


def test_groups_that_only_their_members_imply(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/c/x"] = [1]
        file.create_group("a/empty/e")
    group, refusals = virtual_group(refmaker.scan(tmp_path / "a.h5"))
    assert refusals == {}
    assert list(group.groups["a"].groups) == ["b", "empty"] or set(group.groups["a"].groups) == {"b", "empty"}
    assert list(group.groups["a"].groups["b"].groups["c"].arrays) == ["x"]
    assert list(group.groups["a"].groups["empty"].groups) == ["e"]


def test_a_grid_that_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = document({"shape": [limits.VIRTUAL_CELLS * 2 + 2], "fill_value": 0}, **{"0": ["s3://bucket/a", 0, 8]})
    huge.arrays["x"].attributes["_FillValue"] = 0
    group, refusals = virtual_group(huge)
    assert "memory" in refusals["/x"]
    assert group.arrays == {}


def test_a_chunk_of_no_bytes() -> None:
    _, refusals = virtual_group(document({}, **{"0": ["s3://bucket/a", 4, 0]}))
    assert "no bytes" in refusals["/x"]


def test_absent_chunks_have_no_path(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        sparse = file.create_dataset("x", (8,), "i4", chunks=(2,))
        sparse[2:4] = [1, 2]
    group, _ = virtual_group(refmaker.scan(tmp_path / "a.h5", zarr_format=3))
    manifest = group.arrays["x"].manifest
    assert [str(path) != "" for path in manifest._paths] == [False, True, False, False]
    assert np.flatnonzero(manifest._lengths).tolist() == [1]


def test_an_array_at_the_root() -> None:
    metadata = {
        "zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "fill_value": None, "compressor": None,
        "filters": None, "order": "C",
    }  # fmt: skip
    root = refmaker.Manifest.from_dict({"version": 1, "refs": {".zarray": metadata, "0": ["s3://bucket/a", 0, 8]}})
    with pytest.raises(Unsupported, match="root"):
        virtual_group(root)
