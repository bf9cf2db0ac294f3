"""Times against xarray's and cftime's reading of them."""

from __future__ import annotations

import warnings
from typing import Any

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xarray.coding.times import decode_cf_datetime

from refmaker.combining.times import TimeUnits, encode, same_calendar, ticks, time_units
from refmaker.errors import Unsupported


def units(text: str, calendar: str = "standard") -> TimeUnits:
    found = time_units({"units": text, "calendar": calendar})
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        "days since 2000-01-01",
        "days since 2000-1-1 0:0:0",
        "Hours since 1900-01-01T12:30:15.25Z",
        "hours since 2000-01-01 00:00 +05:30",
        "hr since 2000-01-01 00:00 -05:00",
        "seconds since 1970-01-01 00:00:00 UTC",
        "minutes since 1858-11-17",
        "milliseconds since 2001-02-03 04:05:06",
        "microseconds since 1999-12-31",
        "nanoseconds since 1999-12-31",
    ],
)
@pytest.mark.parametrize("numbers", [[0, 1, 86399], [0.1, 1 / 3, 40123.7]])
def test_ticks_are_what_xarray_decodes(text: str, numbers: list[float]) -> None:
    values = np.array(numbers)
    (found,), per_second = ticks([values], [units(text)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = decode_cf_datetime(values, text, "standard").astype("M8[ns]").astype("i8")
    assert per_second == 10**9
    if text.startswith("hr"):  # xarray leaves abbreviations to cftime, which rounds to microseconds
        assert np.abs(found - expected).max() <= 1000
    else:
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "all_leap", "julian", "standard", "proleptic_gregorian"])
@pytest.mark.parametrize("text", ["days since 0001-01-01", "hours since 1850-03-01 06:00"])
def test_ticks_of_other_calendars(text: str, calendar: str) -> None:
    values = np.array([0, 59, 60, 365, 400000])
    (found,), per_second = ticks([values], [units(text, calendar)])
    dates = cftime.num2date(values, text, calendar)
    assert (found // (per_second // 10**6)).tolist() == [
        cftime.date2num(date, "microseconds since 1970-01-01", calendar) for date in dates
    ]


@given(
    st.sampled_from(["days", "hours", "minutes", "seconds"]),
    st.sampled_from(["days", "hours", "minutes", "seconds", "milliseconds"]),
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=5),
    st.integers(0, 10**7),
)
def test_encoding_is_exact(unit: str, wished: str, numbers: list[int], seconds: int) -> None:
    reference = str(np.datetime64("2000-01-01T00:00:00") + np.timedelta64(seconds, "s")).replace("T", " ")
    found, per_second = ticks([np.array(numbers)], [units(f"{unit} since {reference}")])
    whole, chosen = encode(found, per_second, units(f"{wished} since 1990-05-05"))
    again, _ = ticks(whole, [chosen])
    assert whole[0].dtype == np.dtype("i8")
    assert again[0].tolist() == found[0].tolist()


@pytest.mark.parametrize(
    ("values", "text", "wished", "expected"),
    [
        ([24, 48], "hours since 2000-01-01", "days since 2000-01-01", "days since 2000-01-01"),
        ([24, 47], "hours since 2000-01-01", "days since 2000-01-01", "hours since 2000-01-01"),
        ([0.5], "seconds since 2000-01-01", "days since 2000-01-01", "milliseconds since 2000-01-01"),
        ([0.5], "seconds since 2000-01-01", "days since 0001-01-01", "milliseconds since 1970-01-01"),
    ],
)
def test_units_chosen(values: list[float], text: str, wished: str, expected: str) -> None:
    found, per_second = ticks([np.array(values)], [units(text)])
    assert encode(found, per_second, units(wished))[1].text == expected


@pytest.mark.parametrize(
    ("values", "text", "why"),
    [
        ([1], "months since 2000-01-01", "no fixed length"),
        ([1], "fortnights since 2000-01-01", "no fixed length"),
        ([1], "days since 2000-01-01 00:00 -5", "time zone"),
        ([1], "days since 2000-01-01 00:00 -5:00", "time zone"),
        ([1], "days since yesterday", "cannot be converted"),
        ([1], "days since 2000-13-01", "cannot be converted"),
        ([np.nan], "days since 2000-01-01", "missing"),
        ([np.inf], "days since 2000-01-01", "missing"),
        ([2**62], "days since 2000-01-01", "out of range"),
        ([1e300], "days since 2000-01-01", "out of range"),
        ([2**62], "nanoseconds since 1600-01-01", "can count"),
    ],
)
def test_unsupported(values: list[Any], text: str, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        ticks([np.array(values)], [units(text)])


@pytest.mark.parametrize("attributes", [{}, {"units": "K"}, {"units": 3}, {"units": "days since 2000", "calendar": 1}])
def test_no_times(attributes: dict[str, Any]) -> None:
    assert time_units(attributes) is None


def test_calendars_that_go_together() -> None:
    days = "days since 2000-01-01"
    assert same_calendar([units(days), units(days, "gregorian"), units(days, "proleptic_gregorian")])
    assert same_calendar([units(days, "noleap"), units(days, "365_day")])
    assert not same_calendar([units(days), units(days, "360_day")])


def test_without_cftime(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cftime", None)
    assert ticks([np.array([1])], [units("days since 2000-01-01")])[0][0].tolist() == [946771200 * 10**9]
    with pytest.raises(Unsupported, match="'360_day' are converted by cftime: pip install cftime"):
        ticks([np.array([1])], [units("days since 2000-01-01", "360_day")])
