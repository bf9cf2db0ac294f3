"""Files on S3, through the client of s3fs.

Contract: see `refmaker.sources.async_store`. As over HTTP, the first request gives size, ETag and time with the first
bytes, and every answer is compared with them. s3fs repeats requests that the service turns down; bodies that break off
are asked for again here.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.sources.async_store import AsyncStore
from refmaker.stores.answers import bounded_body, content_range, error_code

__all__ = ["CONNECTIONS", "S3Store"]

# botocore would open 10.
CONNECTIONS = 64


class S3Store(AsyncStore):
    """An object of S3."""

    concurrency = CONNECTIONS
    request = 2e-3

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """See `AsyncStore.first`."""
        try:
            answer, data, place = await self._get(0, size)
        except OSError as error:
            if error_code(error) in ("InvalidRange", "416"):
                raise FormatError("the file is empty", structure="superblock", address=0, source=self.url) from error
            raise
        if place is None or place[0] != 0 or place[2] is None:
            raise SourceError("the service sent something else than the range", source=self.url, got=place)
        if place[1] != min(size, place[2]) or len(data) != place[1]:
            raise ConnectionError(f"an answer of {len(data)} bytes instead of {min(size, place[2])}")
        return FileVersion.of({**answer, "size": place[2]}), data

    async def range(self, start: int, stop: int) -> bytes:
        """See `AsyncStore.range`."""
        try:
            answer, data, place = await self._get(start, stop)
        except FileNotFoundError as error:
            raise TargetChanged("the file went away while it was scanned", source=self.url) from error
        except OSError as error:
            if error_code(error) in ("InvalidRange", "416"):
                raise TargetChanged("the file became shorter while it was scanned", source=self.url) from error
            raise
        if place is not None:
            check_unchanged(self.url, self.version, FileVersion.of({**answer, "size": place[2]}))
        if place is None or place[:2] != (start, stop):
            raise SourceError(
                "the service sent another range", source=self.url, expected=f"bytes {start} to {stop}", got=place
            )
        return data

    async def _get(self, start: int, stop: int) -> tuple[Any, bytes, tuple[int, int, int | None] | None]:
        bucket, key, version = self.filesystem.split_path(self.path)
        options = {} if version is None else {"VersionId": version}
        began = perf_counter()
        answer = await self.filesystem._call_s3(
            "get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}", **options
        )
        waited = perf_counter() - began
        async with answer["Body"] as body:
            data = await bounded_body(body.read, stop - start)
        self.rates.note(waited, len(data), perf_counter() - began - waited)
        return answer, data, content_range(answer.get("ContentRange"))
