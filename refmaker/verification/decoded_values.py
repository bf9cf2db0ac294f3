"""What raw values mean by their attributes: times, packed numbers; for arrays whose files have other encodings.

Contract: pure, and independent of how manifests are combined: times are reckoned by cftime, in whole microseconds.
Sources: CF 1.11, sections 4.4 and 8.1.
"""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import SourceError

__all__ = ["Encoding", "encoding_of", "meaning"]

_LENIENT = ("standard", "proleptic_gregorian")
_CALENDARS = {"gregorian": "standard", "noleap": "365_day", "all_leap": "366_day"}
_EPOCH = "microseconds since 1970-01-01"


@dataclass(frozen=True, slots=True)
class Encoding:
    """What decides what raw values mean, in a form that can be compared."""

    dtype: str
    units: str | None
    calendar: str | None
    scale: float
    offset: float
    missing: float | int | None

    @property
    def is_time(self) -> bool:
        """Whether values are times since something."""
        return self.units is not None and " since " in self.units.lower()


def encoding_of(dtype: np.dtype[Any], attributes: Mapping[str, Any], owner: Mapping[str, Any]) -> Encoding:
    """Read the encoding of an array.

    Parameters
    ----------
    attributes, owner
        Of the array, and of the coordinate that it is the bounds of (which has the units).
    """
    units = _text(attributes.get("units", owner.get("units")))
    calendar = _text(attributes.get("calendar", owner.get("calendar")))
    time = units is not None and " since " in units.lower()
    return Encoding(
        dtype.newbyteorder("=").str if dtype.kind in "biufc" else dtype.kind,
        units if time else None,
        _CALENDARS.get((calendar or "standard").lower(), (calendar or "standard").lower()) if time else None,
        _number(attributes.get("scale_factor"), 1.0),
        _number(attributes.get("add_offset"), 0.0),
        _missing(attributes.get("_FillValue")),
    )


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _single(value: Any) -> Any:
    array = np.asarray(value)
    return array.reshape(-1)[0].item() if array.size == 1 else None


def _number(value: Any, default: float) -> float:
    found = None if value is None else _single(value)
    return float(found) if isinstance(found, int | float) else default


def _missing(value: Any) -> float | int | None:
    if isinstance(value, str):  # as xarray has it in Zarr 3
        with contextlib.suppress(ValueError, struct.error):
            value = struct.unpack("<d", base64.b64decode(value, validate=True))[0]
    found = None if value is None else _single(value)
    return found if isinstance(found, int | float) and found == found else None


def meaning(values: npt.NDArray[Any], encoding: Encoding, calendar: str | None = None) -> npt.NDArray[Any]:
    """Return what can be compared with what values in another encoding mean.

    Parameters
    ----------
    calendar
        Of the times that are to be compared with; None: the own one.

    Returns
    -------
    times as int64 microseconds since 1970, numbers as float64 with NaN for missing ones, anything else as it is

    Raises
    ------
    SourceError
        Times that cannot be reckoned.
    """
    if values.dtype.kind not in "iuf":
        return values
    if encoding.is_time:
        return _times(values, encoding, calendar or encoding.calendar or "standard")
    numbers = values.astype("f8") * encoding.scale + encoding.offset
    if encoding.missing is not None:
        numbers[values == encoding.missing] = np.nan
    return numbers


def _times(values: npt.NDArray[Any], encoding: Encoding, calendar: str) -> npt.NDArray[np.int64]:
    try:
        import cftime
    except ImportError as error:
        raise SourceError("times in different encodings are compared by cftime, which is not installed") from error
    own = encoding.calendar or "standard"
    if own != calendar and not {own, calendar} <= set(_LENIENT):
        raise SourceError(f"times of the calendars {own} and {calendar} are not compared")
    try:
        numbers, units = values.ravel(), str(encoding.units)
        if units.lower().startswith(("nanosecond", "ns ")):  # of which cftime does not know
            numbers, units = numbers / 1000, "microseconds" + units[units.index(" ") :]
        dates = cftime.num2date(numbers, units, own, only_use_cftime_datetimes=True)
        if own != calendar:
            dates = [cftime.datetime(*one.timetuple()[:6], one.microsecond, calendar=calendar) for one in dates]
        found = cftime.date2num(dates, _EPOCH, calendar) if len(dates) else []
        return np.asarray(found, "i8").reshape(values.shape)
    except (ValueError, OverflowError, TypeError) as error:
        raise SourceError(f"times in {encoding.units!r} cannot be reckoned: {error}") from error
