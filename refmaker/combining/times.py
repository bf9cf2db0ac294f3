"""Times of CF conventions, brought to one encoding without losing any of them.

Contract: times are whole *ticks* since 1970-01-01: nanoseconds where all of them fit, else microseconds. Ticks are what
xarray decodes: numbers are multiplied in 64-bit floats and cut off in nanoseconds, integers exactly. Calendars that
agree with the proleptic Gregorian one after 1582-10-15 are reckoned by numpy, others by cftime where it is installed; a
time that cannot be reckoned exactly is `Unsupported`. Sources: CF 1.11, section 4.4; UDUNITS for the names of units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported

__all__ = ["TimeUnits", "before_reform", "check_plain", "encode", "same_calendar", "ticks", "time_units"]

_NS = {
    "nanosecond": 1,
    "microsecond": 10**3,
    "millisecond": 10**6,
    "second": 10**9,
    "minute": 60 * 10**9,
    "hour": 3600 * 10**9,
    "day": 86400 * 10**9,
}
_ALIASES = {
    "ns": "nanosecond",
    "us": "microsecond",
    "microsec": "microsecond",
    "ms": "millisecond",
    "msec": "millisecond",
    "millisec": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
}
_CALENDARS = {
    "gregorian": "standard",
    "noleap": "365_day",
    "all_leap": "366_day",
}
_NUMPY = ("standard", "proleptic_gregorian")
_SINCE = re.compile(r"([A-Za-z]+)\s+since\s+(\S.*)", re.IGNORECASE)
_DATE = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T\s]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{0,9}))?)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_ODD_ZONE = re.compile(r".*\s[+-]\d{1,2}(:\d{2})?")
"""A zone without minutes, or of one digit, which some readers take for one and others do not."""
_REFORM = int(np.datetime64("1582-10-15", "D").astype("i8"))
_NS_YEARS = (1678, 2261)
"""Years whose times are nanoseconds since 1970 in 64 bits."""


@dataclass(frozen=True, slots=True)
class TimeUnits:
    """`<unit> since <reference>`, in a calendar. `unit` is singular, `reference` as the attribute spells it."""

    unit: str
    reference: str
    calendar: str

    @property
    def text(self) -> str:
        """The attribute `units`."""
        return f"{self.unit}s since {self.reference}"


def time_units(attributes: Mapping[str, Any]) -> TimeUnits | None:
    """Read `units` and `calendar`; None for what is not time since something."""
    units, calendar = attributes.get("units"), attributes.get("calendar", "standard")
    found = _SINCE.fullmatch(units.strip()) if isinstance(units, str) else None
    if found is None or not isinstance(calendar, str):
        return None
    unit, calendar = found[1].lower(), calendar.lower()
    unit = _ALIASES.get(unit, _ALIASES.get(unit.removesuffix("s"), unit.removesuffix("s") if len(unit) > 1 else unit))
    return TimeUnits(unit, found[2], _CALENDARS.get(calendar, calendar))


def same_calendar(units: Sequence[TimeUnits]) -> bool:
    """Return whether times in these units may stand in one array."""
    calendars = {one.calendar for one in units}
    return len(calendars) == 1 or calendars <= set(_NUMPY)


def check_plain(attributes: Mapping[str, Any], values: npt.NDArray[Any]) -> None:
    """Make sure that numbers are times as they stand: not packed, none of them missing.

    Raises
    ------
    Unsupported
        They are not.
    """
    packed = [name for name in ("scale_factor", "add_offset", "_Unsigned") if name in attributes]
    if packed:
        raise Unsupported(f"times that are packed ({', '.join(packed)}) cannot be converted to other units")
    for name in ("_FillValue", "missing_value"):
        missing = attributes.get(name)
        if isinstance(missing, int | float) and (values == missing).any():
            raise Unsupported(f"times that are missing ({name}) cannot be converted to other units")


def ticks(values: Sequence[npt.NDArray[Any]], units: Sequence[TimeUnits]) -> tuple[list[npt.NDArray[np.int64]], int]:
    """Reckon times.

    Parameters
    ----------
    values
        Decoded numbers.
    units
        Of each of them; their calendars go together.

    Returns
    -------
    ticks, per second
        One array of ticks for each of `values`; how many ticks are a second.

    Raises
    ------
    Unsupported
        A unit has no fixed length, a reference is not understood or before the reform of the calendar, a time is
        missing or out of range.
    """
    known = {one: _reference(one) for one in dict.fromkeys(units)}
    if any(unit.unit not in _NS for unit in known):
        bad = next(unit.text for unit in known if unit.unit not in _NS)
        raise Unsupported(f"times in {bad!r} cannot be converted: the unit has no fixed length")
    fine = all(unit.calendar in _NUMPY for unit in known)
    if fine and all(_fits(v, known[u], _NS[u.unit]) for v, u in zip(values, units, strict=True)):
        return [_ticks(v, known[u], _NS[u.unit], 10**9) for v, u in zip(values, units, strict=True)], 10**9
    return [_ticks(v, known[u], _NS[u.unit], 10**6) for v, u in zip(values, units, strict=True)], 10**6


def _reference(units: TimeUnits) -> int:
    """Return nanoseconds from 1970-01-01 to the reference, both in the calendar."""
    if units.calendar in _NUMPY:
        found = _DATE.fullmatch(units.reference)
        if found is not None:
            seconds, nanoseconds = _parsed(found, units)
            if units.calendar == "proleptic_gregorian" or seconds >= _REFORM * 86400:
                return seconds * 10**9 + nanoseconds
    if _ODD_ZONE.fullmatch(units.reference):
        raise Unsupported(f"times in {units.text!r} cannot be converted: readers disagree about such a time zone")
    return _by_cftime(units)


def _parsed(found: re.Match[str], units: TimeUnits) -> tuple[int, int]:
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        days = int(np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D").astype("i8"))
    except ValueError as error:
        raise Unsupported(f"times in {units.text!r} cannot be converted: no such date") from error
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - _zone(found[8])
    return seconds, int((found[7] or "0").ljust(9, "0"))


def _zone(text: str | None) -> int:
    """Return the seconds by which a zone is ahead."""
    if not text or text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "")
    return (int(digits[:-2]) * 3600 + int(digits[-2:]) * 60) * (-1 if text[0] == "-" else 1)


def _by_cftime(units: TimeUnits) -> int:
    try:
        import cftime
    except ImportError as error:
        message = (
            f"times in {units.text!r} of the calendar {units.calendar!r} are converted by cftime: pip install cftime"
        )
        raise Unsupported(message) from error
    try:
        date = cftime.num2date(0, f"days since {units.reference}", units.calendar)
        away = cftime.date2num(date, "microseconds since 1970-01-01", units.calendar)
    except (ValueError, OverflowError) as error:
        raise Unsupported(f"times in {units.text!r} cannot be converted: {error}") from error
    return int(away) * 1000


def _bounds(values: npt.NDArray[Any]) -> tuple[int, int]:
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise Unsupported("times that are missing, or not numbers")
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def _fits(values: npt.NDArray[Any], reference: int, unit: int) -> bool:
    low, high = _bounds(values)
    first, last = (int(np.datetime64(f"{year}-01-01", "s").astype("i8")) * 10**9 for year in _NS_YEARS)
    products = (low - 1) * unit, (high + 1) * unit
    within = all(abs(one) < 1 << 63 and first <= reference + one <= last for one in products)
    return within and first <= reference <= last


def _ticks(values: npt.NDArray[Any], reference: int, unit: int, per_second: int) -> npt.NDArray[np.int64]:
    scale = 10**9 // per_second
    low, high = _bounds(values)
    if unit < scale or reference % scale:
        raise Unsupported("nanoseconds, outside the years that they can count")
    step, start = unit // scale, reference // scale
    ends = [(low - 1) * step, (high + 1) * step]
    if any(abs(end) >= 1 << 63 or abs(end + start) >= 1 << 63 for end in ends) or abs(start) >= 1 << 63:
        raise Unsupported("times out of range")
    if values.dtype.kind == "f":
        product = values.astype("f8") * float(step)
        # xarray cuts off nanoseconds, cftime rounds microseconds
        whole = product.astype("i8") if per_second == 10**9 else np.rint(product).astype("i8")
    else:
        whole = values.astype("i8") * step
    result: npt.NDArray[np.int64] = whole + start
    return result


def before_reform(found: Sequence[npt.NDArray[np.int64]], per_second: int) -> bool:
    """Return whether any of the ticks is before the reform of the calendar."""
    return any(bool((one < _REFORM * 86400 * per_second).any()) for one in found)


def encode(
    found: Sequence[npt.NDArray[np.int64]], per_second: int, wished: TimeUnits
) -> tuple[list[npt.NDArray[np.int64]], TimeUnits]:
    """Write times as whole numbers.

    Parameters
    ----------
    found, per_second
        From `ticks`.
    wished
        What to count in, as far as that is exact; else a smaller unit.

    Returns
    -------
    numbers, units
        One array for each of `found`.
    """
    reference = _reference(wished)
    calendar_is_fine = wished.calendar in _NUMPY
    for smallest in _SMALLER[_SMALLER.index(wished.unit) :]:
        units = TimeUnits(smallest, wished.reference, wished.calendar)
        start = reference
        if calendar_is_fine and _NS[smallest] < 10**9 and not _in_range(reference):
            # readers fall back to floats for references that nanoseconds do not reach
            units, start = TimeUnits(smallest, "1970-01-01", wished.calendar), 0
        scale = 10**9 // per_second
        step = _NS[smallest] // scale
        if not step or start % scale:
            continue
        whole, rest = divmod(start // scale, step)
        if abs(whole) < 1 << 62 and all(((one - rest) % step == 0).all() for one in found):
            return [(one - rest) // step - whole for one in found], units
    raise Unsupported("times that no unit counts exactly")


_SMALLER = ("day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond")


def _in_range(nanoseconds: int) -> bool:
    return abs(nanoseconds) < 1 << 63
