"""Whether a target is still the file that was scanned.

Contract: compares what the manifest recorded with what a store says now; a part that either side does not know cannot
differ. An ETag decides where both have one, else the modification time; the size always counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from refmaker.errors import TargetChanged
from refmaker.manifest.manifest import Target
from refmaker.sources.identity import SAME_TIME, etag_of, opaque, time_of

__all__ = ["Check", "Seen", "changed"]

Check: TypeAlias = Literal["strict", "size", "off"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What tells a version of a target from the next; None where the store does not say.

    `coarse`: the store tells times in whole seconds.
    """

    size: int | None
    etag: str | None
    mtime: float | None
    coarse: bool = False

    @staticmethod
    def of(info: Mapping[str, Any]) -> Seen:
        """Read what a filesystem of fsspec says of a file."""
        return Seen(info.get("size"), etag_of(info), time_of(info))

    @staticmethod
    def of_headers(size: int | None, headers: Mapping[str, str]) -> Seen:
        """Read what an HTTP answer says of the whole file (RFC 9110, 8.8)."""
        try:
            mtime = parsedate_to_datetime(headers["Last-Modified"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            mtime = None
        return Seen(size, headers.get("ETag"), mtime, coarse=True)

    def differences(self, record: Target, check: Check) -> list[str]:
        """List what is not as it was when the target was scanned."""
        found: list[str] = []
        if check == "off":
            return found
        if record.size is not None and self.size is not None and record.size != self.size:
            found.append(f"{record.size} bytes then, {self.size} now")
        if check == "size":
            return found
        if record.etag is not None and self.etag is not None:
            if opaque(record.etag) != opaque(self.etag):
                found.append(f"ETag {record.etag} then, {self.etag} now")
        elif record.mtime is not None and self.mtime is not None:
            then = record.mtime // 1 if self.coarse else record.mtime
            if abs(then - self.mtime) > SAME_TIME:
                found.append(f"modified {_date(record.mtime)} then, {_date(self.mtime)} now")
        return found


def changed(url: str, key: str, differences: Sequence[str]) -> TargetChanged:
    """Make the error for a target that differs, which says what can be done."""
    return TargetChanged(
        f"the file is not the one that was scanned ({'; '.join(differences)}). Scan it again; or compare the two by "
        "`refmaker verify` and accept the file as it is now; or open with check='size' or check='off' to look at less",
        source=url,
        path=key,
    )


def _date(seconds: float) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
