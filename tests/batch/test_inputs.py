"""Folders, patterns and archives as inputs of a combination."""

from __future__ import annotations

import shutil
from pathlib import Path

import fsspec
import pytest

import refmaker
from refmaker.batch.inputs import expand_inputs
from refmaker.errors import BatchError
from tests.batch.archives import run, write_archive, write_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "a", "deep/c"):
        manifest = refmaker.scan(write_file(tmp_path / f"files/{name}.nc"))
        (tmp_path / f"manifests/{name}").parent.mkdir(parents=True, exist_ok=True)
        manifest.to_json(tmp_path / f"manifests/{name}.json")
    manifest.to_parquet(tmp_path / "manifests/z.parq")
    (tmp_path / "manifests/.hidden.json").write_text("{}")
    (tmp_path / "manifests/notes.txt").write_text("none")
    return tmp_path


def test_a_folder_stands_for_its_manifests(folder: Path) -> None:
    names = ["a.json", "b.json", "deep/c.json", "z.parq"]
    assert expand_inputs([f"{folder}/manifests"]) == [f"{folder}/manifests/{name}" for name in names]


def test_a_folder_without_manifests_stands_for_its_files(folder: Path) -> None:
    names = ["a.nc", "b.nc", "deep/c.nc"]
    assert expand_inputs([f"{folder}/files/"]) == [f"{folder}/files/{name}" for name in names]


def test_one_input_stays_as_it_is(folder: Path) -> None:
    names = [f"{folder}/manifests/z.parq", f"{folder}/manifests/a.json", "not/there", "s3://bucket/a.nc"]
    assert expand_inputs(names) == names
    shutil.move(folder / "manifests/z.parq", folder / "manifests/set")
    assert expand_inputs([f"{folder}/manifests/set"]) == [f"{folder}/manifests/set"]


def test_patterns(folder: Path) -> None:
    assert expand_inputs([f"{folder}/manifests/*.json"]) == [f"{folder}/manifests/{name}.json" for name in "ab"]
    assert expand_inputs([f"{folder}/**/[c]*"]) == [f"{folder}/files/deep/c.nc", f"{folder}/manifests/deep/c.json"]
    odd = folder / "br[1].json"  # a name that is there is no pattern
    shutil.copy(folder / "manifests/a.json", odd)
    assert expand_inputs([str(odd)]) == [str(odd)]
    with pytest.raises(BatchError, match="no input matches"):
        expand_inputs([f"{folder}/*.zzz"])


def test_patterns_of_stores() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("2", "1"):
        memory.pipe_file(f"/inputs/{name}.json", b"{}")
    found = expand_inputs(["memory://inputs/*.json"])
    assert [name.rpartition("/")[2] for name in found] == ["1.json", "2.json"]


def test_an_archive_stands_for_what_its_ledger_records(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive")
    run(archive, tmp_path / "out")
    (tmp_path / "out/stray.json").write_text("{}")
    with pytest.raises(BatchError, match=r"1 of its files failed, and would be missing: .*damaged\.nc.*--skip-failed"):
        expand_inputs([str(tmp_path / "out")])
    skipped: dict[str, str] = {}
    found = expand_inputs([str(tmp_path / "out")], skipped=skipped)
    assert [name.removeprefix(f"{tmp_path}/out/") for name in found] == [
        *("a.nc.json", "deep/er/b.h5.json", "deep/refused.h5.json")
    ]
    assert list(skipped) == [f"{archive}/damaged.nc"]
