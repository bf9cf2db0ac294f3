"""Targets behind filesystems of fsspec: ranges of them, every answer checked.

Contract: `read` gives bytes of the file that was scanned. HTTP and S3 say with every answer which part of which version
of the file it is, and are asked for that version (If-Match), so that no look at the file goes before the first read.
Of any other store the length of an answer is checked by the caller, and size, ETag and time are asked for now and
then.

Sources: RFC 9110, 13.1.1 (If-Match), 14.4 (Content-Range), 8.8.3 (ETag); Amazon S3 API, GetObject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from refmaker import limits
from refmaker.errors import SourceError
from refmaker.file_version import Check, FileVersion, Target
from refmaker.replay.connections import Pool, belongs_here, call
from refmaker.replay.read_errors import IncompleteRead, VersionMismatch
from refmaker.stores.answers import (
    as_bytes,
    bounded_body,
    content_range,
    error_code,
    explanation,
    http_body,
    refuse_compressed,
)

__all__ = ["FsspecStore", "HttpStore", "S3Store", "Store", "store_of"]

_VALID = 300.0
"""Seconds for which a target that was found unchanged is not looked up again."""


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


class FsspecStore:
    """A target in a filesystem that only gives bytes.

    Parameters
    ----------
    record, check
        What the file must be, and how closely that is looked at.
    pool
        Of the running event loop.
    """

    gap = 64 * 1024
    block = 4 << 20

    def __init__(self, filesystem: Any, path: str, record: Target, check: Check, pool: Pool) -> None:
        self.filesystem = filesystem
        self.path = path
        self.record = record
        self.check = check
        self.pool = pool

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """See `Store.now`."""
        return None

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        await self._look()
        if stop is None:
            return as_bytes(await call(self.filesystem, "cat_file", self.path))
        return as_bytes(await call(self.filesystem, "cat_file", self.path, start=start, end=stop))

    async def seen(self) -> FileVersion:
        """Look the target up."""
        return FileVersion.of(await call(self.filesystem, "info", self.path))

    async def _look(self) -> None:
        """Make sure that the target is the file that was scanned, unless that was done lately."""
        record, check = self.record, self.check
        marked = check == "strict" and (record.etag or record.mtime is not None)
        if check == "off" or not (record.size is not None or marked):
            return
        mark = (self.filesystem._fs_token, self.path)
        try:
            self.compare(await self.pool.once(mark, self.seen, valid=_VALID))
        except VersionMismatch:
            self.pool.forget(mark)
            raise

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

    def ranged(self, wanted: tuple[int, int], header: str) -> int | None:
        """Check what an answer says it is; give the size of the whole file."""
        found = content_range(header)
        start, stop = wanted
        if found is None or found[0] != start or found[1] > stop:
            message = "the server sent another range"
            raise SourceError(message, expected=f"bytes {start}-{stop - 1}", got=header or "none")
        size = found[2]
        self.compare(FileVersion(size))
        if found[1] != stop:
            kind = SourceError if size is not None and size < stop else IncompleteRead
            message = "the server sent another length: a changed file, or a server that does not serve ranges?"
            raise kind(message, expected=f"bytes {start}-{stop - 1}", got=header)
        return size


class HttpStore(FsspecStore):
    """A target behind HTTP, asked through the session of fsspec's filesystem."""

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        filesystem = self.filesystem
        options = dict(filesystem.kwargs)
        headers = dict(options.pop("headers", None) or {})
        if stop is not None:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        if self.match is not None:
            headers["If-Match"] = self.match
        session = await filesystem.set_session()
        async with session.get(filesystem.encode_url(self.path), headers=headers, **options) as answer:
            if answer.status == 416:
                raise SourceError(
                    "the server refuses the range (status 416): the file became shorter, or no ranges are served of it",
                    got=await explanation(answer),
                )
            self._check(answer, None if stop is None else (start, stop))
            body = await http_body(answer, self.most(start, stop))
        return self.whole(body, start, stop)

    def _check(self, answer: Any, wanted: tuple[int, int] | None) -> None:
        """Refuse an answer that is not the range, or not of the file, that was asked for."""
        headers = answer.headers
        if answer.status == 412:
            raise VersionMismatch(
                [f"ETag {self.record.etag} then, {ascii(headers.get('ETag', 'another')[:100])[1:-1]} now"]
            )
        if answer.status == 404:
            raise FileNotFoundError(f"status 404, {answer.reason}")
        answer.raise_for_status()
        refuse_compressed(headers)
        size = answer.content_length
        what = f"status {answer.status}, {answer.content_type}, {'unknown' if size is None else size} bytes"
        if wanted is not None and answer.status == 206:
            size = self.ranged(wanted, headers.get("Content-Range", ""))
        elif answer.status != 200:
            raise SourceError("the server sent no file", got=what)
        elif wanted is not None and (wanted[0] or size != wanted[1]):
            raise SourceError("the server ignored the range and sent something else", got=what)
        self.compare(FileVersion.of_headers(size, headers))


class S3Store(FsspecStore):
    """A target in S3, asked through s3fs."""

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        bucket, key, version = self.filesystem.split_path(self.path)
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version:
            asked["VersionId"] = version
        if stop is not None:
            asked["Range"] = f"bytes={start}-{stop - 1}"
        if self.match is not None:
            asked["IfMatch"] = self.match
        try:
            answer = await self.filesystem._call_s3("get_object", **asked)
        except OSError as error:
            if error_code(error) in ("PreconditionFailed", "412"):
                raise VersionMismatch([f"ETag {self.record.etag} then, another now"]) from error
            raise
        try:
            self._check(answer, None if stop is None else (start, stop))
            body = await bounded_body(answer["Body"].read, self.most(start, stop))
        finally:
            answer["Body"].close()
        return self.whole(body, start, stop)

    def _check(self, answer: Mapping[str, Any], wanted: tuple[int, int] | None) -> None:
        size = answer.get("ContentLength")
        if wanted is not None and "ContentRange" in answer:
            size = self.ranged(wanted, answer["ContentRange"])
        elif wanted is not None and (wanted[0] or size != wanted[1]):
            raise SourceError("the server ignored the range and sent something else", got=f"{size} bytes")
        self.compare(FileVersion.of({**answer, "size": size}))


def store_of(filesystem: Any, path: str, record: Target, check: Check, pool: Pool) -> Store:
    """Choose how to read a target behind a filesystem of fsspec; see `FsspecStore`."""
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    kind: type[FsspecStore] = FsspecStore
    if belongs_here(filesystem) and "http" in protocols and _reads_as(filesystem, "fsspec", "HTTPFileSystem"):
        kind = HttpStore
    elif belongs_here(filesystem) and "s3" in protocols and _reads_as(filesystem, "s3fs", "S3FileSystem"):
        kind = S3Store
    return kind(filesystem, path, record, check, pool)


def _reads_as(filesystem: Any, package: str, name: str) -> bool:
    """Return which class says how a filesystem reads: one that was derived may do otherwise."""
    kind = next((kind for kind in type(filesystem).__mro__ if "_cat_file" in vars(kind)), object)
    return kind.__module__.partition(".")[0] == package and kind.__name__ == name
