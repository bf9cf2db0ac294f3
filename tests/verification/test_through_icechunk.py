"""A repository against its files: all the same, or what differs by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")

import icechunk
import zarr
from click.testing import CliRunner
from refmaker_cli.main import main

import refmaker
from refmaker.bridges.icechunk import commit, open_repository
from refmaker.errors import SourceError
from refmaker.verification.through_icechunk import verify_repository
from tests.bridges.conftest import QUIET
from tests.bridges.conftest import air as air  # a fixture

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


@pytest.fixture(autouse=True)
def quiet() -> None:
    icechunk.set_logs_filter("error")


def day(folder: Path, at: int) -> Path:
    path = folder / f"{at}.h5"
    with h5py.File(path, "w") as file:
        time_ = file.create_dataset("time", data=np.arange(4.0) + 4 * at, chunks=(2,), maxshape=(None,))
        time_.make_scale("time")
        v = file.create_dataset("v", data=np.arange(12.0).reshape(4, 3) + 100 * at, chunks=(2, 3), compression="gzip")
        v.dims[0].attach_scale(time_)
    os.utime(path, (time.time() - 100, time.time() - 100))
    return path


def statuses(report: refmaker.VerifyReport) -> dict[str, str]:
    return {array.path: array.status for array in report.arrays}


def test_a_file_of_everything(air: Path, tmp_path: Path) -> None:
    manifest = refmaker.scan(air)
    commit(manifest, tmp_path / "repo", group="a/b")
    report = verify_repository(manifest, tmp_path / "repo", group="a/b", sample=None)
    assert set(statuses(report).values()) == {"same"}
    assert len(report.arrays) == len(manifest.arrays)
    assert report.differences == report.skipped == 0


def test_appended(tmp_path: Path) -> None:
    manifests = [refmaker.scan(day(tmp_path, at)) for at in range(3)]
    commit(manifests[:2], tmp_path / "repo", append_dim="time")
    commit(manifests[2:], tmp_path / "repo", append_dim="time")
    report = verify_repository(manifests, tmp_path / "repo", append_dim="time", sample=None)
    assert statuses(report) == {"/time": "same", "/v": "same"}
    assert report.files == 3
    report = verify_repository(manifests[:2], tmp_path / "repo", append_dim="time")
    assert report.differences
    assert "in the repository" in str([array.reason for array in report.arrays])


def test_other_values_and_other_arrays(tmp_path: Path) -> None:
    manifest = refmaker.scan(day(tmp_path, 0))
    commit(manifest, tmp_path / "repo")
    session = open_repository(tmp_path / "repo").writable_session("main")
    root = zarr.open_group(session.store)
    root["v"][1, 1] = 77
    root.create_array("more", shape=(2,), dtype="i4")
    del root["time"]
    session.commit("otherwise")
    report = verify_repository(manifest, tmp_path / "repo", sample=None)
    assert statuses(report) == {"/time": "unreadable", "/v": "differs", "/more": "skipped"}
    (different,) = (array for array in report.arrays if array.path == "/v")
    assert (different.elements_different, different.chunks_different) == (1, 1)


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = day(tmp_path, 0)
    manifest = refmaker.scan(path)
    commit(manifest, tmp_path / "repo")
    os.utime(path)
    report = verify_repository(manifest, tmp_path / "repo", sample=None)
    assert statuses(report)["/v"] == "unreadable"
    assert [target.status for target in report.targets] == ["changed"]


@pytest.mark.parametrize("what", [{"branch": "x"}, {"group": "x"}])
def test_no_such_place(tmp_path: Path, what: dict[str, str]) -> None:
    manifest = refmaker.scan(day(tmp_path, 0))
    commit(manifest, tmp_path / "repo")
    with pytest.raises(SourceError, match="'x'"):
        verify_repository(manifest, tmp_path / "repo", **what)  # type: ignore[arg-type]


def test_the_command(tmp_path: Path) -> None:
    manifest, repo = str(tmp_path / "m.json"), str(tmp_path / "repo")
    refmaker.scan(day(tmp_path, 0)).to_json(manifest)
    commit(manifest, repo)
    found = CliRunner().invoke(main, ["verify", manifest, "--repo", repo, "--full"])
    assert (found.exit_code, found.output.count("2 of 2 arrays the same")) == (0, 1), found.output
    session = open_repository(repo).writable_session("main")
    zarr.open_group(session.store)["v"][0] = 5
    session.commit("otherwise")
    found = CliRunner().invoke(main, ["verify", manifest, "--repo", repo, "--full"])
    assert found.exit_code == 3
    assert "/v: differs" in found.output
    found = CliRunner().invoke(main, ["verify", manifest, "--branch", "main"])
    assert found.exit_code == 2
