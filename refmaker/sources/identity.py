"""What tells a version of a file from the next: size, ETag, modification time.

Contract: `etag_of`, `time_of` read what a filesystem of fsspec, an S3 client or HTTP headers say of a file;
`Identity.differences` compares, by the rule of `refmaker.file_version`.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import TargetChanged
from refmaker.file_version import SAME_TIME, FileVersion, etag_of, opaque, time_of

__all__ = ["SAME_TIME", "Identity", "etag_of", "opaque", "time_of"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What was seen of a file when it was opened; unknown parts are None. `mtime` in seconds since the epoch."""

    url: str
    size: int
    etag: str | None
    mtime: float | None

    @property
    def version(self) -> FileVersion:
        """What was seen, without where."""
        return FileVersion(self.size, self.etag, self.mtime)

    def differences(self, size: int | None, etag: str | None, mtime: float | None) -> list[str]:
        """List what is not as it was when the file was opened."""
        return self.version.differences(FileVersion(size, etag, mtime))

    def check(self, size: int | None, etag: str | None, mtime: float | None) -> None:
        """Raise `TargetChanged` unless the file is still the one that was opened."""
        differences = self.differences(size, etag, mtime)
        if differences:
            raise TargetChanged(
                f"the file changed while it was scanned; scan it again ({'; '.join(differences)})", source=self.url
            )
