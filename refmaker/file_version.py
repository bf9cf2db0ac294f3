"""Which version of a file was seen, and the one rule for whether it is still that one.

Contract: pure. `FileVersion` holds what a store says of a file: size, ETag, modification time; None where it does not
say. `Target` is a file with its version, as a manifest records it. `FileVersion.difference` is the only place where two
versions are compared: scanning, replay, batches, combining and `refmaker verify` all ask it.

The rule, for what was seen then and what is seen now:

| what both sides know | they are the same file when |
|---|---|
| sizes | the sizes are equal; this always counts |
| strong ETags | the ETags are equal; times are not looked at: equal contents may be uploaded again |
| ETags, one or both weak | the ETags are equal but for the `W/`, and the times are equal where both are known |
| no ETags, but times | the times are equal: within a microsecond, or in whole seconds where a store has no finer ones |
| neither | nothing speaks against it, and `FileVersion.basis` says that nothing but the size was compared |

A weak ETag says that two contents are as good as each other for readers of the page, not that their bytes are equal
(RFC 9110, 8.8.1): chunks of one file may not be read from the other. So it never decides alone where there is more to
go by. What one side does not know cannot differ.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from refmaker.errors import RefmakerError, TargetChanged
from refmaker.redaction import redact

__all__ = [
    "SAME_TIME",
    "Basis",
    "Check",
    "FileVersion",
    "Target",
    "check_unchanged",
    "etag_of",
    "is_weak",
    "opaque",
    "same_strong",
    "time_of",
]

Check: TypeAlias = Literal["strict", "size", "off"]
"""How closely is looked: all of the rule, sizes only, not at all."""

Basis: TypeAlias = Literal["strong ETag", "modification time", "weak ETag", "size", "nothing"]
"""The strongest of what could be compared; a weak ETag beside a time counts as the time."""

SAME_TIME: Final = 1e-6
"""Seconds: a double holds a time of this century to a quarter of a microsecond."""

_ETAGS = ("ETag", "etag")
_TIMES = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created")
_SHOWN = 100
"""Characters of an ETag that messages repeat: a server may send any."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What tells a version of a file from the next; None where it is not known.

    Attributes
    ----------
    size
        In bytes.
    etag
        As the store gave it: `"…"`, `W/"…"`, or without quotes.
    modified
        Seconds since the epoch.
    coarse
        Whether `modified` is in whole seconds because the store has no finer times, as HTTP has none.
    """

    size: int | None = None
    etag: str | None = None
    modified: float | None = None
    coarse: bool = False

    @staticmethod
    def of(info: Mapping[str, Any], *, coarse: bool = False) -> FileVersion:
        """Return what a filesystem of fsspec, a client of S3 or the headers of an answer say of a file."""
        size = info.get("size")
        known = isinstance(size, int) and not isinstance(size, bool)
        return FileVersion(size if known else None, etag_of(info), time_of(info), coarse)

    @staticmethod
    def of_headers(size: int | None, headers: Mapping[str, str]) -> FileVersion:
        """Return what an HTTP answer says of the whole file (RFC 9110, 8.8), which has `size` bytes."""
        modified = time_of({"Last-Modified": headers.get("Last-Modified")})
        return FileVersion(size, etag_of(headers), modified, coarse=True)

    @staticmethod
    def of_status(status: os.stat_result) -> FileVersion:
        """Return what the system says of a local file."""
        return FileVersion(status.st_size, None, status.st_mtime)

    @property
    def known_size(self) -> int:
        """The size of a file that was opened: no store opens one without."""
        if self.size is None:
            raise RefmakerError("the size of an opened file is not known", expected="bytes", got=None)
        return self.size

    def difference(self, now: FileVersion, check: Check = "strict") -> str | None:
        """Return what is not as it was then (`self`), None where it is the same file by the rule above.

        Parameters
        ----------
        now
            What is seen of the file now.
        check
            How closely to look.
        """
        return "; ".join(self.differences(now, check)) or None

    def differences(self, now: FileVersion, check: Check = "strict") -> list[str]:
        """Return the parts of `difference`, one by one."""
        found: list[str] = []
        if check == "off":
            return found
        if self.size is not None and now.size is not None and self.size != now.size:
            found.append(f"{self.size} bytes then, {now.size} now")
        if check == "size":
            return found
        if self.etag is not None and now.etag is not None and opaque(self.etag) != opaque(now.etag):
            found.append(f"ETag {_shown(self.etag)} then, {_shown(now.etag)} now")
        elif self.basis(now) == "modification time" and not self._same_time(now):
            found.append(f"modified {_date(self.modified)} then, {_date(now.modified)} now")
        return found

    def basis(self, now: FileVersion) -> Basis:
        """Return the strongest of what two versions can be compared by."""
        etags = self.etag is not None and now.etag is not None
        if etags and not (is_weak(self.etag) or is_weak(now.etag)):
            return "strong ETag"
        if self.modified is not None and now.modified is not None:
            return "modification time"
        if etags:
            return "weak ETag"
        return "size" if self.size is not None and now.size is not None else "nothing"

    def _same_time(self, now: FileVersion) -> bool:
        then, there = self.modified or 0.0, now.modified or 0.0
        if self.coarse or now.coarse:
            # The one who knows better may have rounded, or cut.
            return abs(then // 1 - there // 1) < SAME_TIME
        return abs(then - there) <= SAME_TIME


@dataclass(frozen=True, slots=True)
class Target:
    """A file that references point into, as it was seen at scan time. Unknown parts are None.

    `mtime` is in seconds since the epoch, `size` in bytes.

    Examples
    --------
    >>> import refmaker
    >>> refmaker.Target("s3://bucket/air.nc", size=2064)
    Target(url='s3://bucket/air.nc', size=2064, etag=None, mtime=None)
    """

    url: str
    size: int | None = None
    etag: str | None = None
    mtime: float | None = None

    @staticmethod
    def of(url: str, version: FileVersion) -> Target:
        """Return the record of a file that was seen in a version."""
        return Target(url, version.size, version.etag, version.modified)

    @property
    def version(self) -> FileVersion:
        """What was seen of the file, without where it is."""
        return FileVersion(self.size, self.etag, self.mtime)

    def __repr__(self) -> str:
        return f"Target(url={redact(self.url)!r}, size={self.size}, etag={self.etag!r}, mtime={self.mtime})"


def check_unchanged(url: str, then: FileVersion, now: FileVersion) -> None:
    """Raise `TargetChanged` unless a file is still the one that a scan has opened."""
    differences = then.difference(now)
    if differences is not None:
        raise TargetChanged(f"the file changed while it was scanned; scan it again ({differences})", source=url)


def is_weak(etag: str | None) -> bool:
    """Return whether an ETag is none that stands for the very bytes (RFC 9110, 8.8.1)."""
    return etag is None or etag.startswith(("W/", "w/"))


def same_strong(one: str, other: str | None) -> bool:
    """Return whether two ETags are strong and equal, which ranges of one answer must have (RFC 9110, 13.1.5)."""
    return other is not None and not is_weak(one) and one == other


def opaque(etag: str) -> str:
    """Return an ETag without the marks that stores add or leave out (RFC 9110, 8.8.3)."""
    return (etag[2:] if is_weak(etag) else etag).strip('"')


def etag_of(info: Mapping[str, Any]) -> str | None:
    """Return the ETag, as it stands there."""
    return next((str(info[name]) for name in _ETAGS if info.get(name)), None)


def time_of(info: Mapping[str, Any]) -> float | None:
    """Return the time of the last modification in seconds since the epoch."""
    times = map(_seconds, map(info.get, _TIMES))
    return next((time for time in times if time is not None), None)


def _seconds(value: object) -> float | None:
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e18 else None
    if not isinstance(value, str):
        return None
    from email.utils import parsedate_to_datetime  # takes as long to import as all of this package's sources

    for parse in (dt.datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(value).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _date(seconds: float | None) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds or 0.0, dt.UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def _shown(etag: str) -> str:
    """Return an ETag as a message may repeat it, on one line and not too long."""
    text = etag if etag.isprintable() else ascii(etag)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
