"""Values in the names of inputs: numbers, text, dates."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.combining.names import NamePattern
from refmaker.combining.records import CombineError


@pytest.mark.parametrize(
    ("pattern", "name", "value"),
    [
        (r"_(\d+)", "a_12.nc", 12),
        (r"\d+\.\d", "a_1.5.nc", 1.5),
        (r"_([a-z]+)", "a_control.nc", "control"),
        (r"(?:run|member)(\d)", "member3.nc", 3),
    ],
)
def test_values(pattern: str, name: str, value: object) -> None:
    assert NamePattern.of(pattern).values({4: name, 5: "-"}) == {4: value}


@pytest.mark.parametrize(
    ("pattern", "name", "time"),
    [
        (r"_(\d{8}):%Y%m%d", "f_20240229.nc", "2024-02-29"),
        (r"(\d{4})(\d\d)(\d\d):%Y%m%d", "d/f20210915.nc", "2021-09-15"),
        (r"(\d{4})/(\d{3}):%Y%j", "2023/365/f.nc", "2023-12-31"),
        (r"_(\d{4}):%Y", "test_2001.nc", "2001-01-01"),
        (r"_(\d\d:\d\d)_(\d{8}):%H:%M%Y%m%d", "x_06:30_19691231.nc", "1969-12-31T06:30"),
        (r"_(\S+)\.nc:%Y-%m-%dT%H%z", "x_2020-01-01T06+0200.nc", "2020-01-01T04:00"),
    ],
)
def test_dates(pattern: str, name: str, time: str) -> None:
    (value,) = NamePattern.of(pattern).values({0: name}).values()
    assert np.datetime64(value, "s") == np.datetime64(time)


@pytest.mark.parametrize(
    ("pattern", "message"), [("(", "invalid regular"), (r"(\d)(\d)", "several groups"), (r"(\d+):%Y%m%d", "no time")]
)
def test_what_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(CombineError, match=message):
        NamePattern.of(pattern).values({0: "f_20211301.nc"})


def _file(path: Path, value: float) -> str:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("lat", 2)
        file.createVariable("lat", "f8", ("lat",))[:] = [1, 2]
        file.createVariable("v", "f4", ("lat",))[:] = value
    return str(path)


def test_files_without_a_time(tmp_path: Path) -> None:
    days = ("20210915", "20210916", "20211001")
    files = [_file(tmp_path / f"file_{day}.nc", int(day)) for day in days]
    made = refmaker.combine(files[::-1][1:], concat=r"time=_(\d{8}):%Y%m%d")
    made = refmaker.append(made, files[2], concat=r"time=_(\d{8}):%Y%m%d")
    times = np.array([f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in days], "M8[ns]")
    want = xr.concat([xr.open_dataset(one).load() for one in files], xr.Variable("time", times), data_vars="all",
                     join="exact", coords="minimal", compat="override")  # fmt: skip
    with xr.open_dataset(made, engine="refmaker") as opened:
        xr.testing.assert_identical(opened.load(), want)
