"""Source files where a manifest is expected: told by content, scanned, called what they are called."""

from __future__ import annotations

from pathlib import Path

import fsspec
import h5py
import pytest

import refmaker
from refmaker.replay.source_files import of_source, source_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "air.h5"
    with h5py.File(path, "w") as file:
        file["t"] = [1.0, 2.0]
    return path


@pytest.mark.parametrize("name", ["air.h5", "air", "air.json"])
def test_files_are_told_by_content(source: Path, name: str) -> None:
    other = source.rename(source.parent / name)
    found = of_source(str(other), {})
    assert isinstance(found, refmaker.Manifest)
    assert [target.url for target in found.targets] == [str(other)]


def test_anything_else_is_left_as_it_is(source: Path) -> None:
    manifest = refmaker.scan(source)
    manifest.to_json(source.parent / "m.json")
    (source.parent / "none").write_text("nothing")
    for one in (str(source.parent / "m.json"), str(source.parent / "none"), str(source.parent), manifest, {}, None):
        assert of_source(one, {}) is one
    assert of_source(str(source), {"target_protocol": "file"}) == str(source)


@pytest.mark.parametrize("name", ["air.h5", "air"])
def test_remote_files(source: Path, name: str) -> None:
    fsspec.filesystem("memory").pipe(f"/source_files/{name}", source.read_bytes())
    found = of_source(f"memory://source_files/{name}", {})
    assert isinstance(found, refmaker.Manifest)


@pytest.mark.parametrize("name", ["none", "m.json", "set.parq"])
def test_remote_names_that_are_no_files(name: str) -> None:
    assert of_source(f"memory://nowhere/{name}", {}) == f"memory://nowhere/{name}"


def test_the_file_of_a_manifest(source: Path, tmp_path: Path) -> None:
    manifest = refmaker.scan(source)
    assert source_of(manifest, None) == str(source)
    manifest.targets = (refmaker.Target("air.h5"),)
    assert source_of(manifest, "s3://bucket/dir/m.json") == "s3://bucket/dir/air.h5"
    manifest.targets = (refmaker.Target("a.h5"), refmaker.Target("b.h5"))
    assert source_of(manifest, None) is None
