"""The xarray engine: by name, by content, in groups, in dask's processes."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from refmaker.errors import ManifestError, SourceError
from refmaker.replay.xarray_backend import RefmakerBackend
from refmaker.scanning.scan import scan


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    source, manifest = tmp_path / "a.nc", tmp_path / "m.json"
    with netCDF4.Dataset(source, "w") as file:
        file.createDimension("time", 5)
        time = file.createVariable("time", "i4", ("time",))
        time.units, time[:] = "days since 2000-01-01", np.arange(5)
        t = file.createVariable("t", "i2", ("time",), zlib=True, fill_value=-1)
        t.scale_factor, t.add_offset = 0.5, 10.0
        t.set_auto_maskandscale(False)
        t[:] = [0, 2, -1, 6, 8]
        group = file.createGroup("forecast")
        group.createVariable("q", "f4", ("time",))[:] = np.arange(5)
    scan(str(source)).to_json(str(manifest))
    return source, manifest


@pytest.mark.parametrize("group", [None, "forecast"])
def test_as_netcdf4(files: tuple[Path, Path], group: str | None) -> None:
    source, manifest = files
    with (
        xr.open_dataset(source, engine="netcdf4", group=group) as expected,
        xr.open_dataset(manifest, engine=RefmakerBackend, group=group) as found,
    ):
        xr.testing.assert_identical(found.load(), expected.load())


def test_decoding_is_xarrays(files: tuple[Path, Path]) -> None:
    source, manifest = files
    options = {"mask_and_scale": False, "decode_times": False, "drop_variables": "time"}
    with (
        xr.open_dataset(source, engine="netcdf4", **options) as expected,
        xr.open_dataset(str(manifest), engine=RefmakerBackend, **options) as found,
    ):
        assert list(found.variables) == ["t"]
        xr.testing.assert_identical(found.load(), expected.load())


def test_named_by_an_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["xarray.backends"] == {
        "refmaker": f"{RefmakerBackend.__module__}:{RefmakerBackend.__name__}"
    }


def test_guesses_by_content(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, manifest = files
    backend = RefmakerBackend()
    assert backend.guess_can_open(manifest)
    assert not backend.guess_can_open(str(source))
    assert not backend.guess_can_open(tmp_path / "none.json")
    assert not backend.guess_can_open("s3://bucket/m.json")
    assert not backend.guess_can_open(b"{}")


def test_options_reach_the_filesystem(files: tuple[Path, Path]) -> None:
    source, manifest = files
    source.write_bytes(source.read_bytes() + b"x")
    with pytest.raises(SourceError), xr.open_dataset(manifest, engine=RefmakerBackend) as found:
        found.load()
    with xr.open_dataset(manifest, engine=RefmakerBackend, check="off", chunks={}) as found:
        assert found["t"].values[3] == 13
    with xr.open_dataset(manifest, engine=RefmakerBackend, storage_options={"check": "off"}) as found:
        assert found["t"].values[3] == 13
    with pytest.raises(TypeError):
        xr.open_dataset(manifest, engine=RefmakerBackend, nonsense=1)


def test_what_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("[]")
    with pytest.raises(ManifestError):
        xr.open_dataset(tmp_path / "m.json", engine=RefmakerBackend)


def test_lazy_and_small_when_pickled(files: tuple[Path, Path]) -> None:
    with xr.open_dataset(files[1], engine=RefmakerBackend, chunks={}) as found:
        assert found["t"].chunks == ((5,),)
        again = pickle.loads(pickle.dumps(found))
        assert again["t"].values[3] == 13
