"""`refmaker commit`: one commit of manifests, or of all manifests of an output directory."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from refmaker_cli.commands import main

import refmaker

QUIET = ("ignore:Numcodecs codecs are not in the Zarr version 3 specification", "ignore:The data type")
pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(one) for one in args], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    paths = []
    (tmp_path / "days").mkdir()
    for at in range(4):
        path = tmp_path / "days" / f"{at}.nc"
        xr.Dataset({"t": ("time", [float(at)])}, {"time": [at]}).to_netcdf(path, engine="netcdf4")
        paths.append(path)
    return paths


def test_without_icechunk(tmp_path: Path, days: list[Path]) -> None:
    """The error says what to install."""
    try:
        import icechunk  # noqa: F401
    except ImportError:
        refmaker.scan(days[0]).to_json(tmp_path / "m.json")
        status, output = run("commit", tmp_path / "m.json", "--repo", tmp_path / "repo")
        assert status == 1
        assert "pip install" in output
        assert "[icechunk]" in output


def test_manifests_and_more_of_them(tmp_path: Path, days: list[Path]) -> None:
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    from refmaker.bridges.icechunk import open_repository

    names = []
    for path in days:
        names.append(tmp_path / f"{path.stem}.json")
        refmaker.write_manifest(refmaker.scan(path), names[-1])
    status, output = run("commit", *names[:2], "--repo", tmp_path / "repo", "--append-dim", "time")
    assert status == 0
    assert "2 arrays" in output
    assert "in 2 files" in output
    status, _ = run("commit", *names[2:], "--repo", tmp_path / "repo", "--append-dim", "time", "-q", "-m", "more")
    assert status == 0
    repository = open_repository(tmp_path / "repo")
    assert next(iter(repository.ancestry(branch="main"))).message == "more"
    with xr.open_zarr(repository.readonly_session("main").store, consolidated=False) as found:
        np.testing.assert_array_equal(found["t"].values, [0, 1, 2, 3])
    status, output = run("commit", names[0], "--repo", tmp_path / "repo")
    assert status == 1
    assert "already" in output


def test_an_output_directory(tmp_path: Path, days: list[Path]) -> None:
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    assert run("batch", days[0].parent, "-o", tmp_path / "out", "--jobs", 1)[0] == 0
    status, output = run("commit", tmp_path / "out", "--repo", tmp_path / "repo", "--append-dim", "time")
    assert status == 0, output
    assert "in 4 files" in output


def test_what_is_refused_is_listed(tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1, 2]
        file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))[0] = [1]
    refmaker.scan(tmp_path / "a.h5").to_json(tmp_path / "m.json")
    status, output = run("commit", tmp_path / "m.json", "--repo", tmp_path / "repo")
    assert status == 3
    assert "/ragged: " in output


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    status, output = run("commit", "m.json", "--repo", "r", "--append-dim", "time", "--overwrite")
    assert status == 2
    assert "cannot be used together" in output
