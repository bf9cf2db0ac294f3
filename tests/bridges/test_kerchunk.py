"""kerchunk's classes over refmaker: the same values through stock readers, arguments that mean nothing are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import kerchunk.combine
import kerchunk.hdf
import kerchunk.netCDF3
import numpy as np
import pytest
import xarray as xr

from refmaker.bridges.kerchunk import MultiZarrToZarr, NetCDF3ToZarr, SingleHdf5ToZarr


def opened(document: dict[str, Any]) -> xr.Dataset:
    options = {
        "fo": document,
        "remote_protocol": "file",
        "remote_options": {"asynchronous": True},
        "asynchronous": True,
    }
    found: xr.Dataset = xr.open_dataset("reference://", engine="zarr", consolidated=False, storage_options=options)
    return found


def day(folder: Path, at: int, **options: Any) -> str:
    path = folder / f"{at}.nc"
    data = {"t": (("time", "x"), np.arange(6.0).reshape(2, 3) + 10 * at)}
    xr.Dataset(data, {"time": [2 * at, 2 * at + 1]}).to_netcdf(path, **options)
    return str(path)


@pytest.mark.parametrize(
    ("ours", "engine", "form"),
    [(SingleHdf5ToZarr, "netcdf4", "NETCDF4"), (NetCDF3ToZarr, "netcdf4", "NETCDF3_64BIT")],
)
def test_one_file(tmp_path: Path, ours: Any, engine: Any, form: str) -> None:
    path = day(tmp_path, 1, engine=engine, format=form)
    found = ours(path, inline_threshold=0).translate()
    assert found["version"] == 1
    with xr.open_dataset(path) as expected:
        np.testing.assert_array_equal(opened(found)["t"].values, expected["t"].values)
        np.testing.assert_array_equal(opened(found)["time"].values, expected["time"].values)


def test_small_chunks_are_inlined(tmp_path: Path) -> None:
    refs = SingleHdf5ToZarr(day(tmp_path, 0, engine="netcdf4"), inline_threshold=100).translate()["refs"]
    assert isinstance(refs["t/0.0"], str)


def test_an_open_file_with_its_url(tmp_path: Path) -> None:
    path = day(tmp_path, 0, engine="netcdf4")
    with open(path, "rb") as file:
        refs = SingleHdf5ToZarr(file, "s3://bucket/0.nc", inline_threshold=0).translate()["refs"]
    assert refs["t/0.0"][0] == "s3://bucket/0.nc"


def test_several_documents(tmp_path: Path) -> None:
    documents = [SingleHdf5ToZarr(day(tmp_path, at, engine="netcdf4")).translate() for at in range(3)]
    found = opened(MultiZarrToZarr(documents, concat_dims=["time"]).translate())
    np.testing.assert_array_equal(found["t"].values[:, 0], [0, 3, 10, 13, 20, 23])


def test_what_is_not_in_the_references_is_a_warning(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1]
        file["link"] = h5py.SoftLink("/nowhere")
    with pytest.warns(UserWarning, match="/link"):
        SingleHdf5ToZarr(tmp_path / "a.h5").translate()


@pytest.mark.parametrize(
    ("ours", "theirs", "own"),
    [
        (SingleHdf5ToZarr, kerchunk.hdf.SingleHdf5ToZarr, {"h5f", "url", "inline_threshold", "storage_options"}),
        (NetCDF3ToZarr, kerchunk.netCDF3.NetCDF3ToZarr, {"filename", "inline_threshold", "storage_options"}),
        (MultiZarrToZarr, kerchunk.combine.MultiZarrToZarr, {"path", "concat_dims", "remote_options"}),
    ],
)
def test_every_argument_of_kerchunk_has_an_answer(ours: Any, theirs: Any, own: set[str]) -> None:
    import inspect

    parameters = inspect.signature(theirs.__init__).parameters.values()
    names = {one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD} - {"self"}
    for name in sorted(names - own - {"args"}):
        with pytest.raises(TypeError, match=f"takes no '{name}'") as raised:
            ours([], **{name: None})
        assert "kerchunk's either" not in str(raised.value), name
