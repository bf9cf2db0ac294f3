from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.errors import ManifestError
from refmaker.path_filter import PathFilter
from refmaker.serve.subset import parse_selection, subset

EVERYTHING = PathFilter("", (), ())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cube.nc"
    with h5py.File(path, "w") as file:
        for name, length in (("time", 10), ("y", 7)):
            file[name] = np.arange(length, dtype="f8")
            file[name].make_scale(name)
        for name, fill in (("t", None), ("sparse", -5)):
            made = file.create_dataset(name, (10, 7), "i4", chunks=(3, 2), fillvalue=fill, compression="gzip")
            made.dims[0].attach_scale(file["time"])
            made.dims[1].attach_scale(file["y"])
        file["t"][:] = np.arange(70).reshape(10, 7)
        file["sparse"][4, 3] = 1
        file.create_group("g")["only"] = [1, 2]
    return path


@pytest.mark.parametrize(
    "selection", [{"time": (3, 8)}, {"time": (0, 3), "y": (4, None)}, {"y": (2, 3)}, {"y": (0, 99)}]
)
def test_values_are_those_of_the_range(source: Path, selection: dict[str, tuple[int, int | None]]) -> None:
    part = subset(refmaker.scan(source, inline_limit=0), PathFilter("", ("t", "sparse"), ()), selection)
    refmaker.write_manifest(part, source.parent / "part.json")
    store = refmaker.FileSystem(str(source.parent / "part.json")).get_mapper()
    slices = {name: slice(*bounds) for name, bounds in selection.items()}
    with (
        xr.open_dataset(store, engine="zarr", consolidated=False, mask_and_scale=False) as found,
        xr.open_dataset(source, engine="netcdf4", mask_and_scale=False) as truth,
    ):
        for name in ("t", "sparse"):
            expected = truth[name].isel(slices)
            np.testing.assert_array_equal(found[name].values, expected.values)


def test_a_group_becomes_the_root(source: Path) -> None:
    part = subset(refmaker.scan(source), PathFilter("g", (), ()), {})
    assert (list(part.arrays), list(part.groups)) == (["only"], [""])


@pytest.mark.parametrize(
    ("filter_", "selection", "message"),
    [
        (EVERYTHING, {"time": (1, 3)}, "begin at 0 or 3"),
        (EVERYTHING, {"time": (9, 9)}, "holds nothing"),
        (EVERYTHING, {"x": (0, 1)}, "no array has this dimension"),
        (PathFilter("", ("nothing",), ()), {}, "no array of the manifest"),
    ],
)
def test_what_cannot_be_done(
    source: Path, filter_: PathFilter, selection: dict[str, tuple[int, int | None]], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        subset(refmaker.scan(source), filter_, selection)


@pytest.mark.parametrize("text", ["time", "time=1", "=0:1", "time=a:b", "time=0:1:2"])
def test_no_selections(text: str) -> None:
    with pytest.raises(ValueError, match="no selection"):
        parse_selection((text,))


def test_a_dimension_twice() -> None:
    with pytest.raises(ValueError, match="once for each"):
        parse_selection(("a=0:1", "a=1:2"))
