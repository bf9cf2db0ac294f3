"""Manifests with absolute targets."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import refmaker
from refmaker.bridges.opening import opened


@pytest.mark.parametrize("form", ["m.json", "m.parq"])
def test_relative_targets_lie_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1]
    monkeypatch.chdir(tmp_path)
    manifest = refmaker.scan("a.h5")
    refmaker.write_manifest(manifest, form)
    monkeypatch.chdir("/")
    assert [target.url for target in opened(tmp_path / form).targets] == [str(tmp_path / "a.h5")]


def test_of_a_manifest_in_memory_they_lie_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"version": 1, "refs": {".zgroup": {"zarr_format": 2}}}
    manifest = refmaker.Manifest.from_dict(document)
    manifest.targets = (refmaker.Target("b.h5"), refmaker.Target("s3://bucket/a.h5"))
    monkeypatch.chdir(tmp_path)
    assert [target.url for target in opened(manifest).targets] == [str(tmp_path / "b.h5"), "s3://bucket/a.h5"]
