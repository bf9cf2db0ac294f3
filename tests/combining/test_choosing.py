"""Which arrays are combined: group, include, exclude."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.combining.records import CombineError


def _files(tmp_path: Path) -> list[str]:
    files = []
    for day in (0, 1):
        path = tmp_path / f"{day}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for group in (file, file.createGroup("forecast")):
                group.createDimension("time", 1)
                time = group.createVariable("time", "i4", ("time",))
                time.units = "days since 2000-01-01"
                time[:] = [day]
                group.createVariable("t", "f4", ("time",))[:] = [day]
                group.createVariable("ntimes", "i4", ())[...] = 240 + day
            file.createVariable("scaled", "i2", ("time",)).scale_factor = 1.0 + day
        files.append(str(path))
    return files


def test_group_becomes_the_root(tmp_path: Path) -> None:
    files = _files(tmp_path)
    made = refmaker.combine(files, group="/forecast", exclude=["*ntimes"])
    assert sorted(made.arrays) == ["t", "time"]
    with xr.open_dataset(made, engine="refmaker") as opened:
        np.testing.assert_array_equal(opened["t"].values, [0, 1])
        assert opened["time"].dtype.kind == "M"


def test_include_and_exclude(tmp_path: Path) -> None:
    files = _files(tmp_path)
    made = refmaker.combine(files, include=["time", "t"])
    assert sorted(made.arrays) == ["t", "time"]
    made = refmaker.combine(files, exclude=["ntimes", "scaled", "forecast"])
    assert sorted(made.arrays) == ["t", "time"]
    grown = refmaker.append(refmaker.combine(files[:1], include=["t*"]), files[1], include=["t*"])
    assert grown.arrays["t"].metadata.shape == (2,)


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(CombineError, match="leave no array: the inputs have /"):
        refmaker.combine(_files(tmp_path), include=["other"])
    with pytest.raises(CombineError, match="combine --group"):
        refmaker.append(refmaker.combine(_files(tmp_path), include=["t*"]), _files(tmp_path), group="forecast")


def test_refusals_show_scalars_and_name_the_option(tmp_path: Path) -> None:
    files = _files(tmp_path)
    with pytest.raises(CombineError, match=r"240.*241.*--exclude '/ntimes'"):
        refmaker.combine(files, exclude=["forecast", "scaled"])


def test_command(tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    arguments = ["combine", *_files(tmp_path), "--include", "t*", "--exclude", "forecast", "-o", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "refmaker_cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert out.exists()


def test_bounds_that_differ_come_along(tmp_path: Path) -> None:
    """As GOES files have it: a scalar time with bounds."""
    files = []
    for number in range(2):
        path = tmp_path / f"g{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("x", 3)
            file.createDimension("nb", 2)
            t = file.createVariable("t", "f8", ())
            t.setncatts({"units": "seconds since 2000-01-01 12:00:00", "bounds": "time_bounds"})
            t[...] = 300.0 * number
            file.createVariable("time_bounds", "f8", ("nb",))[:] = [300 * number - 1, 300 * number + 1]
            file.createVariable("v", "f4", ("x",))[:] = number
        files.append(str(path))
    made = refmaker.combine(files, concat="t")
    parts = [xr.open_dataset(one).set_coords(["t", "time_bounds"]).load() for one in files]
    want = xr.concat(parts, "t", data_vars="all", coords="different", compat="equals", join="exact")
    with xr.open_dataset(made, engine="refmaker") as opened:
        xr.testing.assert_identical(opened.load(), want.reset_coords("time_bounds"))
