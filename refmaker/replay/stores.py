"""Targets in stores: ranges of them, every answer checked.

Contract: `read` gives bytes of the file that was scanned. HTTP and S3 say with every answer which part of which version
of the file it is, and are asked for that version (If-Match), so that no look at the file goes before the first read.
Of any other store the length of an answer is checked by the caller, and size, ETag and time are asked for now and
then. What asks is the same as for scans: `refmaker.stores`.

Sources: RFC 9110, 13.1.1 (If-Match), 14.4 (Content-Range), 8.8.3 (ETag).
"""

from __future__ import annotations

from typing import Any, Protocol

from refmaker import limits
from refmaker.errors import SourceError
from refmaker.file_version import Check, FileVersion, Target
from refmaker.replay.connections import Pool
from refmaker.replay.read_errors import IncompleteRead, VersionMismatch
from refmaker.stores.choice import file_in
from refmaker.stores.fsspec import FsspecFile, belongs_here
from refmaker.stores.request import Head, NoSuchRange, NotMatched, RangeFile

__all__ = ["LookedUpStore", "RangedStore", "Store", "store_of"]

_VALID = 300.0
"""Seconds for which a target that was found unchanged is not looked up again."""

_PROOFS = ("strong ETag", "modification time")
"""What an answer must have been compared by for its bytes to be kept as those of the version that was scanned."""


class Store(Protocol):
    """One target."""

    gap: int
    """Bytes between two ranges that are rather read than left out, at most."""

    block: int
    """Bytes that are read ahead in one request, at most."""

    async def read(self, start: int, stop: int | None) -> bytes:
        """Read a range, or all from `start`; less where the file ends before. Raises whatever the store does."""
        ...

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """Read a range if that takes no waiting."""
        ...


class RangedStore:
    """A target whose answers say which part of which version of it they are.

    Parameters
    ----------
    record, check
        What the file must be, and how closely that is looked at.
    """

    gap = 64 * 1024
    block = 4 << 20

    def __init__(self, file: RangeFile, record: Target, check: Check) -> None:
        self.file = file
        self.record = record
        self.check = check

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """See `Store.read_nowait`."""
        return None

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        return (await self.read_proved(start, stop))[0]

    async def read_proved(self, start: int, stop: int | None) -> tuple[bytes, bool]:
        """Read as `read` does; tell whether the answer itself proved that it is of the version that was scanned."""
        proved = False

        def admit(head: Head) -> int:
            nonlocal proved
            most = self.admit(start, stop, head)
            proved = self.check == "strict" and self.record.version.basis(head.version) in _PROOFS
            return most

        try:
            answer = await self.file.request(start, stop, admit, match=self.match)
        except NotMatched as error:
            now = "another" if error.etag is None else ascii(error.etag[:100])[1:-1]
            raise VersionMismatch([f"ETag {self.record.etag} then, {now} now"]) from error
        except NoSuchRange as error:
            raise SourceError(
                "the server refuses the range (status 416): the file became shorter, or no ranges are served of it",
                got=error.said,
            ) from error
        return self.whole(answer.data, start, stop), proved

    def admit(self, start: int, stop: int | None, head: Head) -> int:
        """Refuse an answer that is not the range, or not of the file, that was asked for; give its most bytes."""
        if stop is None:
            if head.part:
                raise SourceError("the server sent no file", got=head.shown)
        elif head.part:
            self.ranged(start, stop, head)
        elif start or head.version.size != stop:
            raise SourceError("the server ignored the range and sent something else", got=head.shown)
        self.compare(head.version)
        return self.most(start, stop)

    def ranged(self, start: int, stop: int, head: Head) -> None:
        """Check which part of the file an answer says it is."""
        if head.place is None or head.place[0] != start or head.place[1] > stop:
            raise SourceError(
                "the server sent another range", expected=f"bytes {start}-{stop - 1}", got=head.shown or "none"
            )
        size = head.version.size
        self.compare(FileVersion(size))
        if head.place[1] != stop:
            kind = SourceError if size is not None and size < stop else IncompleteRead
            message = "the server sent another length: a changed file, or a server that does not serve ranges?"
            raise kind(message, expected=f"bytes {start}-{stop - 1}", got=head.shown)

    def compare(self, seen: FileVersion) -> None:
        """Raise `VersionMismatch` if a version is not the one that was scanned."""
        if differences := self.record.version.differences(seen, self.check):
            raise VersionMismatch(differences)

    @property
    def match(self) -> str | None:
        """The ETag for If-Match, which takes none that is weak."""
        etag = self.record.etag if self.check == "strict" else None
        if not etag or etag.startswith("W/"):
            return None
        return '"{}"'.format(etag.strip('"'))

    def most(self, start: int, stop: int | None) -> int:
        """Return how many bytes an answer can have."""
        if stop is not None:
            return stop - start
        return limits.WHOLE_TARGET if self.record.size is None else self.record.size

    def whole(self, body: bytes, start: int, stop: int | None) -> bytes:
        """Check the length of a body."""
        if stop is not None and len(body) != stop - start:
            raise IncompleteRead("the server sent another length", expected=stop - start, got=len(body))
        if stop is None and len(body) > self.most(start, stop):
            expected = f"at most {self.most(start, stop)} bytes"
            raise SourceError("the server sends more than the target has, or may have", expected=expected)
        return body


class LookedUpStore(RangedStore):
    """A target in a filesystem that only gives bytes, and is asked now and then what file they are of.

    Parameters
    ----------
    pool
        Of the running event loop.
    """

    def __init__(self, file: FsspecFile, record: Target, check: Check, pool: Pool) -> None:
        super().__init__(file, record, check)
        self.file: FsspecFile = file
        self.pool = pool

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        return (await self.read_proved(start, stop))[0]

    async def read_proved(self, start: int, stop: int | None) -> tuple[bytes, bool]:
        """See `RangedStore.read_proved`: the target may have changed since it was looked up."""
        await self._look()
        return (await self.file.request(start, stop, lambda head: head.length or 0)).data, False

    async def seen(self) -> FileVersion:
        """Look the target up."""
        return FileVersion.of(await self.file.info())

    async def _look(self) -> None:
        """Make sure that the target is the file that was scanned, unless that was done lately."""
        record, check = self.record, self.check
        marked = check == "strict" and (record.etag or record.mtime is not None)
        if check == "off" or not (record.size is not None or marked):
            return
        mark = (self.file.filesystem._fs_token, self.file.path)
        try:
            self.compare(await self.pool.once(mark, self.seen, valid=_VALID))
        except VersionMismatch:
            self.pool.forget(mark)
            raise


def store_of(filesystem: Any, path: str, record: Target, check: Check, pool: Pool) -> RangedStore:
    """Choose how to read a target behind a filesystem of fsspec; see `RangedStore`, `LookedUpStore`."""
    file = file_in(filesystem, path) if belongs_here(filesystem) else FsspecFile(filesystem, path)
    return (
        LookedUpStore(file, record, check, pool) if isinstance(file, FsspecFile) else RangedStore(file, record, check)
    )
