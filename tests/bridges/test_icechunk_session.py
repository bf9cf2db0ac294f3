"""What a session holds of a manifest: groups as they were, or as they are to be."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")

import icechunk
import zarr

import refmaker
from refmaker.bridges.icechunk_session import Placement, write_session
from refmaker.errors import OutputError
from refmaker.manifest.manifest import Manifest
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["title"] = "a"
        file["g/h/x"] = [1]
    return refmaker.scan(tmp_path / "a.h5", zarr_format=3, inline_threshold=64)


def test_groups_above_are_made(manifest: Manifest) -> None:
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    report = write_session(session, manifest, {}, Placement("deep/er", None, False, frozenset()))
    root = zarr.open_group(session.store, mode="r")
    assert root["deep/er/g/h/x"][:] == [1]
    assert dict(root["deep/er"].attrs) == {"title": "a"}
    assert (report["arrays"], report["chunks"], report["inlined"]) == (1, 1, 1)


def test_attributes_of_a_group_that_is_there_stay(manifest: Manifest) -> None:
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    zarr.create_group(session.store, attributes={"title": "b"})
    report = write_session(session, manifest, {}, Placement("", None, False, frozenset()))
    assert dict(zarr.open_group(session.store, mode="r").attrs) == {"title": "b"}
    assert len(report["notes"]) == 1


def test_an_array_where_a_group_is_to_be(manifest: Manifest) -> None:
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    zarr.create_group(session.store).create_array("g", shape=(1,), dtype="i4")
    with pytest.raises(OutputError, match="array where a group"):
        write_session(session, manifest, {}, Placement("", None, False, frozenset()))


def test_arrays_that_are_refused_are_left_out(manifest: Manifest) -> None:
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    report = write_session(session, manifest, {}, Placement("", None, False, frozenset({"g/h/x"})))
    assert report["arrays"] == 0
    assert "x" not in zarr.open_group(session.store, mode="r")["g/h"]
