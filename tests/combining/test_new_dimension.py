"""New dimensions: what xarray makes of files along a dimension that none of them has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
import refmaker.verification.verify
from refmaker.manifest.manifest import Manifest

from .making import shown


def member(path: Path, number: int, *, scalar: Any = None, attribute: Any = None, **options: Any) -> Path:
    """Write a file with `t2m(time, lat)`, bounds, a grid mapping, scalars, as members of an ensemble have them."""
    with netCDF4.Dataset(path, "w") as file:
        file.title = "member"
        if attribute is not None:
            file.setncattr("member", attribute)
        for name, extent in (("time", None), ("lat", 3), ("nv", 2)):
            file.createDimension(name, extent)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "hours since 2000-01-01", "bounds": "time_bnds"})
        time[:] = np.arange(4) + options.get("start", 0)
        edges = np.arange(4)[:, None] + [0, 1] + options.get("start", 0)
        file.createVariable("time_bnds", "f8", ("time", "nv"), chunksizes=(2, 2))[:] = edges
        file.createVariable("lat", "f8", ("lat",))[:] = np.arange(3) + options.get("shift", 0)
        crs = file.createVariable("crs", "i4", ())
        crs.grid_mapping_name = "latitude_longitude"
        crs[...] = 0
        if scalar is not None:
            made = file.createVariable("member", str if isinstance(scalar, str) else np.asarray(scalar).dtype, ())
            made.long_name = "member of the ensemble"
            made[...] = np.array(scalar, object) if isinstance(scalar, str) else scalar
        run = file.createVariable("run", "f8", ())
        run.units = "hours since 1999-01-01"
        run[...] = number if options.get("runs") else 0
        t2m = file.createVariable("t2m", options.get("dtype", "f4"), ("time", "lat"), chunksizes=(2, 2), zlib=True)
        t2m.setncatts({"coordinates": "run member", "grid_mapping": "crs"})
        t2m[:] = np.arange(12).reshape(4, 3) + 100 * number + options.get("start", 0)
        file.createVariable("weight", "f8", ())[...] = 0.5 * number
        file.createVariable("names", str, ("lat",))[:] = np.array([f"{number}{i}" for i in range(3)], object)
    return path


def together(paths: list[Path], dim: Any = "member") -> xr.Dataset:
    datasets = []
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            datasets.append(dataset.set_coords(["crs", "time_bnds"]).load())
    options: dict[str, Any] = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "exact"}
    return xr.concat(datasets, dim, combine_attrs="override", **options)


def read(manifest: Manifest) -> xr.Dataset:
    """Return what xarray shows, with what attributes name as coordinates."""
    return shown(manifest).set_coords(["crs", "time_bnds"])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("values", [(3, 1, 2), (0.5, 0.25, 4.0), ("b", "a", "c")])
@pytest.mark.parametrize("runs", [False, True])
def test_scalar_variable(values: tuple[Any, ...], runs: bool, zarr_format: Any, tmp_path: Path) -> None:
    paths = [member(tmp_path / f"{n}.nc", n, scalar=value, runs=runs) for n, value in enumerate(values)]
    manifest = refmaker.combine(paths, concat="member", zarr_format=zarr_format)
    expected = together(paths)
    if not isinstance(values[0], str):
        expected = expected.sortby("member")
    found = read(manifest)
    assert found.run.dims == (("member",) if runs else ())
    xr.testing.assert_identical(found, expected)
    spilled = refmaker.combine(paths, concat="member", zarr_format=zarr_format, spill=tmp_path)
    xr.testing.assert_identical(read(spilled), expected)
    report = refmaker.verification.verify.verify(manifest, sample=None)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("values", [(3, 1, 2), (0.5, 0.25, 4.0), ("b", "a", "c")])
def test_global_attribute(values: tuple[Any, ...], zarr_format: Any, tmp_path: Path) -> None:
    paths = [member(tmp_path / f"{n}.nc", n, attribute=value) for n, value in enumerate(values)]
    manifest = refmaker.combine(paths, concat="member", zarr_format=zarr_format)
    expected = together(
        paths,
        xr.DataArray(np.array(values, object if isinstance(values[0], str) else None), dims="member", name="member"),
    )
    if not isinstance(values[0], str):
        expected = expected.sortby("member")
        expected.attrs["member"] = values[1]
    xr.testing.assert_identical(read(manifest), expected)


def test_pattern_of_names(tmp_path: Path) -> None:
    paths = [member(tmp_path / f"t2m_r{n}i1.nc", n) for n in (10, 9, 2)]
    manifest = refmaker.combine(paths, concat=r"member=_r(\d+)i1")
    expected = together(paths, xr.DataArray([10, 9, 2], dims="member", name="member")).sortby("member")
    xr.testing.assert_identical(read(manifest), expected)
    report = refmaker.verification.verify.verify(manifest, sample=None)
    assert [(one.path, one.status) for one in report.arrays if one.status != "same"] == [("/member", "skipped")]
    with pytest.raises(refmaker.CombineError, match=r"/member: presence: a value .*, nothing .*other\.nc"):
        refmaker.combine([*paths, member(tmp_path / "other.nc", 5)], concat=r"member=_r(\d+)i1")
    with pytest.raises(refmaker.CombineError, match="invalid regular expression"):
        refmaker.combine(paths, concat="member=(")


def test_along_two_dimensions(tmp_path: Path) -> None:
    """A new one, and one that files have."""
    paths = [member(tmp_path / f"{n}_{start}.nc", n, scalar=n, start=start) for n in range(2) for start in (0, 6)]
    manifest = refmaker.combine(paths, concat=("member", "time"))
    by_member = [together([tmp_path / f"{n}_{start}.nc" for n in range(2)]) for start in (0, 6)]
    options: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "equals", "join": "exact"}
    xr.testing.assert_identical(read(manifest), xr.concat(by_member, "time", combine_attrs="override", **options))
    report = refmaker.verification.verify.verify(manifest, sample=None)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []


def test_other_values_along_one_of_two_dimensions(tmp_path: Path) -> None:
    paths = [
        member(tmp_path / f"{n}_{start}.nc", n + start, scalar=n, start=start) for n in range(2) for start in (0, 6)
    ]
    with pytest.raises(refmaker.CombineError, match="/weight: duplicates"):
        refmaker.combine(paths, concat=("member", "time"))


class TestAppending:
    @pytest.mark.parametrize("concat", [None, "member"])
    def test_scalar_variable(self, concat: str | None, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n, scalar=n) for n in range(4)]
        refmaker.combine(paths[:3], concat="member").to_json(tmp_path / "m.json")
        added = refmaker.append(tmp_path / "m.json", paths[3], concat=concat)
        xr.testing.assert_identical(read(added), together(paths))

    def test_attribute_and_pattern(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"r{n}.nc", n, attribute=n) for n in range(4)]
        for concat in ("member", r"member=r(\d)\.nc"):
            combined = refmaker.combine(paths[:2], concat=concat)
            for path in paths[2:]:
                combined = refmaker.append(combined, path, concat=concat)
            expected = together(paths, xr.DataArray(np.arange(4), dims="member", name="member"))
            xr.testing.assert_identical(read(combined), expected)

    def test_again(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n, scalar=n) for n in range(2)]
        combined = refmaker.combine(paths, concat="member")
        with pytest.raises(refmaker.CombineError, match="duplicates"):
            refmaker.append(combined, paths[1], concat="member")


class TestRefused:
    def test_same_value(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n, scalar=7) for n in range(2)]
        with pytest.raises(refmaker.CombineError, match="/t2m: duplicates"):
            refmaker.combine(paths, concat="member")

    def test_no_value(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / "0.nc", 0, scalar=1), member(tmp_path / "1.nc", 1)]
        with pytest.raises(refmaker.CombineError, match="have no value for the new dimension 'member'"):
            refmaker.combine(paths, concat="member")

    def test_nowhere(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n) for n in range(2)]
        with pytest.raises(refmaker.CombineError, match="no input has a dimension 'member'"):
            refmaker.combine(paths, concat="member")

    def test_other_grids(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n, scalar=n, shift=n) for n in range(2)]
        with pytest.raises(refmaker.CombineError, match="/lat: values"):
            refmaker.combine(paths, concat="member")

    def test_other_types(self, tmp_path: Path) -> None:
        paths = [member(tmp_path / f"{n}.nc", n, scalar=n, dtype=f"f{4 + 4 * n}") for n in range(2)]
        with pytest.raises(refmaker.CombineError, match="/t2m: dtype"):
            refmaker.combine(paths, concat="member", on_mismatch="refuse")
