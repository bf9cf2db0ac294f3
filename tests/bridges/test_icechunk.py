"""Commits to Icechunk: what is read back is what h5py reads; changed files are not read; nothing is half-committed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")

import icechunk
import zarr

import refmaker
from refmaker.bridges import icechunk as bridge
from refmaker.bridges.icechunk import commit, open_repository
from refmaker.errors import OutputError, SourceError, Unsupported
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


@pytest.fixture(autouse=True)
def quiet() -> None:
    icechunk.set_logs_filter("error")


def opened(repo: Path, branch: str = "main", group: str | None = None) -> xr.Dataset:
    session = open_repository(repo).readonly_session(branch)
    found: xr.Dataset = xr.open_zarr(session.store, group=group, consolidated=False, chunks=None)
    return found


Make = Callable[..., Path]


@pytest.fixture
def daily(tmp_path: Path) -> Make:
    """Make files of two steps each; `at` is the number of the file."""

    def make(
        at: int, *, units: str = "days since 2000-01-01", chunk: int = 2, folder: str = "days", **more: Any
    ) -> Path:
        path = tmp_path / folder / f"{at}.nc"
        path.parent.mkdir(exist_ok=True)
        values = 100 * at + np.arange(8, dtype="f4").reshape(2, 4)
        data = {"t": (("time", "x"), values, {"units": "K"}), "area": ("x", more.pop("area", np.arange(4.0)))}
        dataset = xr.Dataset(data, {"time": ("time", np.array([2 * at, 2 * at + 1]), {"units": units})})
        encoding = {"t": {"zlib": True, "chunksizes": (chunk, 2)}, "time": {"chunksizes": (2,)}}
        dataset.to_netcdf(path, engine="netcdf4", encoding=encoding, unlimited_dims=["time"])
        return path

    return make


def manifests(*paths: Path) -> list[refmaker.Manifest]:
    return [refmaker.scan(path) for path in paths]


def test_a_file_of_everything(air: Path, tmp_path: Path) -> None:
    """Groups, text, absent chunks, filter masks, scalars, fill values."""
    report = commit(refmaker.scan(air), tmp_path / "repo")
    assert report.refused == {}
    assert report.unchecked == 0
    root = zarr.open_group(open_repository(tmp_path / "repo").readonly_session("main").store, mode="r")
    with h5py.File(air) as file:
        for name in ("time", "t", "packed", "sparse", "scalar", "mask", "forecast/deep/q"):
            np.testing.assert_array_equal(root[name][()], file[name][()], name)
    with opened(tmp_path / "repo") as found, xr.open_dataset(air, engine="netcdf4") as expected:
        for name in ("time", "t", "packed", "name"):
            np.testing.assert_array_equal(found[name].values, expected[name].values, name)
        assert found.attrs["title"] == "air"
        assert np.isnan(found["t"].values[0, 0])


@pytest.mark.parametrize("form", ["m.json", "m.parq", "m3.json"])
def test_manifests_by_path(daily: Make, tmp_path: Path, form: str) -> None:
    manifest = refmaker.scan(daily(0), zarr_format=3 if "3" in form else 2)
    refmaker.write_manifest(manifest, tmp_path / form)
    commit(tmp_path / form, tmp_path / "repo")
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"].values, np.arange(8).reshape(2, 4))


def test_committed_and_appended(daily: Make, tmp_path: Path) -> None:
    first = commit(manifests(*(daily(at) for at in range(3))), tmp_path / "repo", append_dim="time")
    second = commit(manifests(*(daily(at) for at in range(3, 5))), tmp_path / "repo", append_dim="time")
    third = commit(manifests(daily(5)), tmp_path / "repo", append_dim="time")
    assert first.appended == {}
    assert second.appended == {"/t": 6, "/time": 6}
    assert third.appended == {"/t": 10, "/time": 10}
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"].values[:, 0], [100 * (at // 2) + 4 * (at % 2) for at in range(12)])
        assert found["time"].values[-1] == np.datetime64("2000-01-12")
        np.testing.assert_array_equal(found["area"].values, np.arange(4.0))


def test_the_message_says_what_it_holds(daily: Make, tmp_path: Path) -> None:
    report = commit(manifests(daily(0), daily(1)), tmp_path / "repo", append_dim="time")
    (info, *_) = open_repository(tmp_path / "repo").ancestry(branch="main")
    assert info.id == report.snapshot
    assert info.message.startswith("3 arrays, ")
    assert info.metadata["refmaker"]["files"] == 2
    assert info.metadata["refmaker"]["chunks"] == report.chunks


def test_a_replaced_file_fails_for_its_chunks_alone(daily: Make, tmp_path: Path) -> None:
    paths = [daily(at) for at in range(3)]
    for path in paths:
        os.utime(path, (time.time() - 100, time.time() - 100))
    commit(manifests(*paths), tmp_path / "repo", append_dim="time")
    daily(1)  # again, as another file of the same bytes
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"][:2, 0].values, [0, 4])
        np.testing.assert_array_equal(found["t"][4:, 0].values, [200, 204])
        with pytest.raises(icechunk.IcechunkError):
            found["t"][2:4].load()


def test_a_file_that_was_just_made_is_read(daily: Make, tmp_path: Path) -> None:
    """Icechunk keeps whole seconds."""
    commit(manifests(daily(0)), tmp_path / "repo")
    with opened(tmp_path / "repo") as found:
        assert found["t"].values[1, 3] == 7


@pytest.mark.parametrize("folder", ["a b", "é", "100%", "a%20b", "p+q", "h#h", "q?q"])
def test_names_of_folders(daily: Make, tmp_path: Path, folder: str) -> None:
    commit(manifests(daily(0, folder=folder)), tmp_path / "repo")
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"].values, np.arange(8).reshape(2, 4))


def test_another_group_and_another_branch(daily: Make, tmp_path: Path) -> None:
    commit(manifests(daily(0)), tmp_path / "repo", group="a/b")
    commit(manifests(daily(1)), tmp_path / "repo", group="a/c", branch="more")
    with opened(tmp_path / "repo", group="a/b") as found:
        assert found["t"].shape == (2, 4)
    with opened(tmp_path / "repo", "more", "a/c") as found:
        assert found["t"].values[0, 0] == 100
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "repo", "main", "a/c")


def test_what_is_there_already(daily: Make, tmp_path: Path) -> None:
    commit(manifests(daily(0)), tmp_path / "repo")
    before = open_repository(tmp_path / "repo").lookup_branch("main")
    with pytest.raises(OutputError, match="already"):
        commit(manifests(daily(1)), tmp_path / "repo")
    assert open_repository(tmp_path / "repo").lookup_branch("main") == before
    commit(manifests(daily(1)), tmp_path / "repo", overwrite=True)
    with opened(tmp_path / "repo") as found:
        assert found["t"].values[0, 0] == 100
        assert found["t"].shape == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "hours since 2000-01-01"}, "attribute units"),
        ({"area": np.ones(4)}, "values differ"),
    ],
)
def test_what_does_not_fit(daily: Make, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    commit(manifests(daily(0)), tmp_path / "repo", append_dim="time")
    with pytest.raises(OutputError, match=message):
        commit(manifests(daily(1, **change)), tmp_path / "repo", append_dim="time")
    with opened(tmp_path / "repo") as found:
        assert found["t"].shape == (2, 4)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_coordinates_go_on(daily: Make, tmp_path: Path, at: int) -> None:
    """What is there already, or would come before it, is not appended."""
    commit(manifests(daily(1), daily(2)), tmp_path / "repo", append_dim="time")
    with pytest.raises(OutputError, match="/time"):
        commit(manifests(daily(at, folder="again")), tmp_path / "repo", append_dim="time")


def test_arrays_that_would_be_too_short(daily: Make, tmp_path: Path) -> None:
    commit(manifests(daily(0)), tmp_path / "repo", append_dim="time")
    lacking = refmaker.scan(daily(1), exclude=["t"])
    with pytest.raises(OutputError, match="too short"):
        commit(lacking, tmp_path / "repo", append_dim="time")
    commit(lacking, tmp_path / "other", append_dim="time")
    with pytest.raises(OutputError, match="begin in the middle"):
        commit(manifests(daily(2)), tmp_path / "other", append_dim="time")


def test_a_last_chunk_that_is_not_whole(daily: Make, tmp_path: Path) -> None:
    """The values of what follows are written: chunks of the repository then, none of the file."""
    for at in range(3):
        report = commit(manifests(daily(at, chunk=4)), tmp_path / "repo", append_dim="time")
        assert report.chunks > 0
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"].values[:, 0], [0, 4, 100, 104, 200, 204])


def test_a_commit_that_was_overtaken(daily: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again, behind the other one."""
    commit(manifests(daily(0)), tmp_path / "repo", append_dim="time")
    write, rivals = bridge.write_session, [manifests(daily(1))]

    def overtaken(*args: Any) -> Any:
        found = write(*args)
        if rivals:
            commit(rivals.pop(), tmp_path / "repo", append_dim="time")
        return found

    monkeypatch.setattr(bridge, "write_session", overtaken)
    report = commit(manifests(daily(2)), tmp_path / "repo", append_dim="time")
    assert report.attempts == 2
    with opened(tmp_path / "repo") as found:
        np.testing.assert_array_equal(found["t"].values[:, 0], [0, 4, 100, 104, 200, 204])


def test_chunks_of_many_files_in_one_array(tmp_path: Path) -> None:
    """Files that lie between one another, and more than a window of them."""
    for at in range(5):
        (tmp_path / f"{at}.bin").write_bytes(np.arange(100 * at, 100 * at + 40, dtype="<i4").tobytes())
    metadata = {
        "zarr_format": 2, "shape": [10, 20], "chunks": [1, 1], "dtype": "<i4", "fill_value": -1, "compressor": None,
        "filters": None, "order": "C",
    }  # fmt: skip
    refs: dict[str, Any] = {".zgroup": {"zarr_format": 2}, "a/.zarray": metadata}
    refs["a/.zattrs"] = {"_ARRAY_DIMENSIONS": ["y", "x"], "_FillValue": -1}
    expected = np.full((10, 20), -1)
    for cell in range(200):
        y, x = divmod(cell, 20)
        if cell % 7:
            refs[f"a/{y}.{x}"] = [str(tmp_path / f"{cell % 5}.bin"), 4 * (cell % 40), 4]
            expected[y, x] = 100 * (cell % 5) + cell % 40
    report = commit(refmaker.Manifest.from_dict({"version": 1, "refs": refs}), tmp_path / "repo")
    assert report.unchecked == 5
    root = zarr.open_group(open_repository(tmp_path / "repo").readonly_session("main").store, mode="r")
    np.testing.assert_array_equal(root["a"][...], expected)


def test_files_that_icechunk_cannot_read(tmp_path: Path, daily: Make) -> None:
    manifest = refmaker.scan(daily(0).read_bytes(), url="memory://a.nc")
    report = commit(manifest, tmp_path / "repo")
    assert "/t" in report.refused
    assert "memory" in report.refused["/t"]


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no Icechunk repository"):
        open_repository(tmp_path / "none")
    with pytest.raises(Unsupported, match="ftp"):
        open_repository("ftp://host/repo")


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        commit([], tmp_path / "repo", append_dim="time", overwrite=True)
    with pytest.raises(ValueError, match="at least one"):
        commit([], tmp_path / "repo")
