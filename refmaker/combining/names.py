"""Values of a new dimension in the names of inputs: numbers, text, or dates by a format.

Contract: pure. `NAME=REGEX` finds a value, in its first group if it has any; `NAME=REGEX:FORMAT`, with a format of
`datetime.strptime` that begins with "%", a time: of all groups, one behind the other. Times are whole seconds since
1970-01-01, so that what is appended later has the same units.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.combining.records import CombineError

__all__ = ["TIME_ATTRIBUTES", "NamePattern"]

TIME_ATTRIBUTES = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}


@dataclass(frozen=True, slots=True)
class NamePattern:
    """How a value is found in a name.

    Attributes
    ----------
    regex
        Searched for in the name.
    date_format
        Of the time that it finds; None for numbers and text.
    """

    regex: re.Pattern[str]
    date_format: str | None = None

    @staticmethod
    def of(text: str) -> NamePattern:
        """Read `REGEX` or `REGEX:FORMAT`.

        Raises
        ------
        CombineError
            It is no regular expression, or has several groups that nothing joins.

        Examples
        --------
        >>> NamePattern.of("_([0-9]{8}):%Y%m%d").values({0: "a_20210915.nc"})
        {0: 1631664000}
        """
        pattern, colon, rest = text.partition(":%")
        date_format = "%" + rest if colon else None
        try:
            regex = re.compile(pattern)
        except re.error as error:
            raise CombineError(f"invalid regular expression {pattern!r}: {error}") from error
        if regex.groups > 1 and date_format is None:
            raise CombineError(
                f"several groups in {pattern!r}: use (?:…) for those that are not the value, or add a format that "
                "reads them one behind the other, such as ':%Y%m%d'"
            )
        return NamePattern(regex, date_format)

    def values(self, names: Mapping[int, str]) -> dict[int, Any]:
        """Return what is found in names, those left out in which nothing is.

        Raises
        ------
        CombineError
            What is found is no time of the format.
        """
        found: dict[int, str] = {}
        for number, name in names.items():
            match = self.regex.search(name)
            if match is not None:
                groups = match.groups() or (match.group(0),)
                found[number] = "".join(group or "" for group in groups)
        if self.date_format is None:
            return _numbers(found)
        return {number: _seconds(text, self.date_format, names[number]) for number, text in found.items()}


def _numbers(found: Mapping[int, str]) -> dict[int, Any]:
    """Return numbers, if all of them are."""
    for kind in (int, float):
        try:
            return {number: kind(text) for number, text in found.items()}
        except ValueError:
            continue
    return dict(found)


def _seconds(text: str, date_format: str, name: str) -> int:
    try:
        time = dt.datetime.strptime(text, date_format)
    except ValueError as error:
        raise CombineError(f"{text!r} is no time in the format {date_format!r}: {error}", source=name) from error
    aware = time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)
    since = aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    if since.microseconds:
        raise CombineError(f"{text!r} is no whole second", source=name)
    return since.days * 86400 + since.seconds
