"""Whether a target is still the file that was scanned.

Contract: compares what the manifest recorded with what a store says now, by the rule of `refmaker.file_version`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refmaker.errors import TargetChanged
from refmaker.file_version import Basis, Check, FileVersion, time_of
from refmaker.manifest.manifest import Target

__all__ = ["Check", "Seen", "changed", "recorded"]


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
        seen = FileVersion.of(info)
        return Seen(seen.size, seen.etag, seen.modified)

    @staticmethod
    def of_headers(size: int | None, headers: Mapping[str, str]) -> Seen:
        """Read what an HTTP answer says of the whole file (RFC 9110, 8.8)."""
        modified = time_of({"Last-Modified": headers.get("Last-Modified")})
        return Seen(size, headers.get("ETag"), modified, coarse=True)

    @property
    def version(self) -> FileVersion:
        """The same as a version of a file."""
        return FileVersion(self.size, self.etag, self.mtime, self.coarse)

    def differences(self, record: Target, check: Check) -> list[str]:
        """List what is not as it was when the target was scanned."""
        return recorded(record).differences(self.version, check)

    def basis(self, record: Target) -> Basis:
        """Return the strongest of what a target can be compared by."""
        return recorded(record).basis(self.version)


def recorded(record: Target) -> FileVersion:
    """Return the version of a target that a manifest recorded."""
    return FileVersion(record.size, record.etag, record.mtime)


def changed(url: str, key: str, differences: Sequence[str]) -> TargetChanged:
    """Make the error for a target that differs, which says what can be done."""
    return TargetChanged(
        f"the file is not the one that was scanned ({'; '.join(differences)}). Scan it again; or compare the two by "
        "`refmaker verify` and accept the file as it is now; or open with check='size' or check='off' to look at less",
        source=url,
        path=key,
    )
