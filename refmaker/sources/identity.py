"""What tells a version of a file from the next: size, ETag, modification time.

Contract: `etag_of`, `time_of` read what a filesystem of fsspec, an S3 client or HTTP headers say of a file;
`Identity.differences` compares. A part that either side does not know cannot differ; the size always counts. An ETag
decides where both have a strong one, else the modification time counts too (RFC 9110, 8.8 and 13.1).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import TargetChanged

__all__ = ["SAME_TIME", "Identity", "etag_of", "opaque", "time_of"]

SAME_TIME = 1e-6
"""Seconds: a double holds a time of this century to a quarter of a microsecond."""

_ETAGS = ("ETag", "etag")
_TIMES = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class Identity:
    """What was seen of a file when it was opened; unknown parts are None. `mtime` in seconds since the epoch."""

    url: str
    size: int
    etag: str | None
    mtime: float | None

    def differences(self, size: int | None, etag: str | None, mtime: float | None) -> list[str]:
        """List what is not as it was when the file was opened."""
        found = []
        if size is not None and size != self.size:
            found.append(f"{self.size} bytes then, {size} now")
        strong = False
        if self.etag is not None and etag is not None:
            strong = not (self.etag.startswith("W/") or etag.startswith("W/"))
            if opaque(self.etag) != opaque(etag):
                found.append(f"ETag {self.etag} then, {etag} now")
        if not strong and self.mtime is not None and mtime is not None and abs(self.mtime - mtime) > SAME_TIME:
            found.append(f"modified {self.mtime} then, {mtime} now")
        return found

    def check(self, size: int | None, etag: str | None, mtime: float | None) -> None:
        """Raise `TargetChanged` unless the file is still the one that was opened."""
        differences = self.differences(size, etag, mtime)
        if differences:
            raise TargetChanged(
                f"the file changed while it was scanned; scan it again ({'; '.join(differences)})", source=self.url
            )


def etag_of(info: Mapping[str, Any]) -> str | None:
    """Return the ETag, as it stands there."""
    return next((str(info[name]) for name in _ETAGS if info.get(name)), None)


def time_of(info: Mapping[str, Any]) -> float | None:
    """Return the time of the last modification in seconds since the epoch."""
    times = map(_seconds, map(info.get, _TIMES))
    return next((time for time in times if time is not None), None)


def opaque(etag: str) -> str:
    """Return an ETag without the marks that stores add or leave out (RFC 9110, 8.8.3)."""
    return etag.removeprefix("W/").strip('"')


def _seconds(value: object) -> float | None:
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    from email.utils import parsedate_to_datetime  # takes as long to import as all of this package's sources

    for parse in (dt.datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(value).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
