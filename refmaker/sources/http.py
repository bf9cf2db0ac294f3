"""Files over HTTP and HTTPS, on the session of fsspec's HTTP filesystem.

Contract: see `refmaker.sources.async_store`. The first request asks for a range and learns all there is to know: RFC
9110 has the size in Content-Range, ETag and Last-Modified beside it. Every answer has to be the range that was asked
for, of a file with the same size, ETag and time, so that no condition (If-Match, which some servers fail for weak
ETags) and no check at the end is needed. A server may ignore Range (14.2): then its first answer is the file, which is
taken if it is not too large.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.sources.async_store import NO_SIZE, WHOLE_LIMIT, AsyncStore
from refmaker.stores.answers import content_range, explanation, http_body, refuse_compressed

__all__ = ["HttpStore"]

_GONE = (404, 410)


class HttpStore(AsyncStore):
    """A file over HTTP."""

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """See `AsyncStore.first`."""
        began = perf_counter()
        async with await self._get(0, size) as response:
            waited = perf_counter() - began
            refuse_compressed(response.headers)
            if response.status == 416 and response.headers.get("Content-Range", "").endswith("*/0"):
                raise FormatError("the file is empty", structure="superblock", address=0, source=self.url)
            await self._raise_for_416(response)
            self._raise_for_status(response)
            version, data = await (
                self._part(response, size) if response.status == 206 else self._whole(response, time)
            )
            none = response.headers.get("Accept-Ranges", "").strip().lower() == "none"
            whole = response.status == 200
        if whole and len(data) > 1:
            # A whole file that was asked for as a range that holds all of it says nothing.
            self.ranged = not none and len(data) <= size and await self._serves_ranges(len(data))
        self.rates.note(waited, len(data), perf_counter() - began - waited)
        return version, data

    async def range(self, start: int, stop: int) -> bytes:
        """See `AsyncStore.range`."""
        began = perf_counter()
        async with await self._get(start, stop) as response:
            waited = perf_counter() - began
            refuse_compressed(response.headers)
            if response.status in (*_GONE, 412, 416):
                raise TargetChanged(
                    f"the file changed while it was scanned: it is gone, or shorter (status {response.status})",
                    source=self.url,
                )
            self._raise_for_status(response)
            self._check_range(response, start, stop)
            data = await http_body(response, stop - start)
        self.rates.note(waited, len(data), perf_counter() - began - waited)
        return data

    async def _get(self, start: int, stop: int) -> Any:
        """Return the request of a range as an asynchronous context."""
        options = dict(self.filesystem.kwargs)
        # A compressed answer would be a range of something else than the file.
        headers = {
            **options.pop("headers", {}),
            "Range": f"bytes={start}-{stop - 1}",
            "Accept-Encoding": "identity",
        }
        session = await self.filesystem.set_session()
        return session.get(self.filesystem.encode_url(self.path), headers=headers, **options)

    async def _part(self, response: Any, size: int) -> tuple[FileVersion, bytes]:
        found = content_range(response.headers.get("Content-Range"))
        if found is None or found[2] is None:
            raise SourceError(NO_SIZE, source=self.url, got=response.headers.get("Content-Range"))
        total = found[2]
        if found[:2] != (0, min(size, total)):
            raise _another_range(self.url, f"bytes 0 to {min(size, total)}", response)
        data = await http_body(response, min(size, total))
        if len(data) != min(size, total):
            raise ConnectionError(f"an answer of {len(data)} bytes instead of {min(size, total)}")
        return FileVersion.of_headers(total, response.headers), data

    async def _whole(self, response: Any, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """Take the file from a server that ignores ranges."""
        size = response.content_length
        if size is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
            raise SourceError(
                "the server does not tell the file's size; download it and scan the copy", source=self.url
            )
        until = time.when() or 0.0

        def came(number: int) -> None:  # a server that sends slowly for ever is not waited for
            time.reschedule(until + number / self.policy.slowest)

        data = b"" if size is not None and size > WHOLE_LIMIT else await http_body(response, WHOLE_LIMIT, came)
        if size == 0 or (size is None and not data):
            raise FormatError("the file is empty", structure="superblock", address=0, source=self.url)
        if len(data) > WHOLE_LIMIT or not data:
            raise SourceError(
                "the server ignores ranges, and the file is too large to be read whole; download it and scan the copy",
                source=self.url,
                expected=f"<= {WHOLE_LIMIT} bytes",
                got=len(data) if size is None else size,
            )
        if size is not None and len(data) != size:
            raise ConnectionError(f"an answer of {len(data)} bytes instead of {size}")
        return FileVersion.of_headers(len(data), response.headers), data

    async def _serves_ranges(self, size: int) -> bool:
        """Return whether a server that sent the file for a range that holds all of it knows ranges nevertheless."""
        async with await self._get(size - 1, size) as response:
            return bool(response.status == 206 or response.status >= 400)

    async def _raise_for_416(self, response: Any) -> None:
        """Raise for a server that refuses ranges, in its own words: ERDDAP says there what to do."""
        if response.status == 416:
            raise SourceError(
                "the server refuses to send a part of the file (status 416); download it and scan the copy",
                source=self.url,
                got=await explanation(response),
            )

    def _check_range(self, response: Any, start: int, stop: int) -> None:
        """Raise unless an answer is the range that was asked for, of the file that was opened."""
        found = content_range(response.headers.get("Content-Range"))
        size = response.content_length if response.status == 200 else None if found is None else found[2]
        check_unchanged(self.url, self.version, FileVersion.of_headers(size, response.headers))
        if response.status != 206:
            raise SourceError(f"the server ignored the range (status {response.status})", source=self.url)
        if found is None or found[:2] != (start, stop):
            raise _another_range(self.url, f"bytes {start} to {stop}", response)

    def _raise_for_status(self, response: Any) -> None:
        """Raise for failures. That a file is not there is told apart from that it cannot be reached."""
        if response.status in _GONE:
            raise FileNotFoundError(f"status {response.status}, {self.url}")
        response.raise_for_status()


def _another_range(url: str, expected: str, response: Any) -> SourceError:
    return SourceError(
        "the server sent another range",
        source=url,
        expected=expected,
        got=response.headers.get("Content-Range", "none"),
    )
