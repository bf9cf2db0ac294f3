"""Files over HTTP and HTTPS, on the session of fsspec's HTTP filesystem.

Contract: see `refmaker.stores.request`. RFC 9110 has the size of the file in Content-Range, ETag and Last-Modified
beside it. A server may ignore Range (14.2): then its answer is the whole file, and says so. A compressed answer is
refused: a range of it would be one of something else than the file.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from refmaker.errors import SourceError
from refmaker.file_version import FileVersion
from refmaker.stores.answers import content_range, explanation, http_body, refuse_compressed
from refmaker.stores.request import Admit, Answer, Came, Head, NoSuchRange, NotMatched

__all__ = ["HttpFile", "head_of"]

_GONE = (404, 410)


class HttpFile:
    """A file over HTTP.

    Parameters
    ----------
    filesystem
        fsspec's HTTP filesystem, of the event loop that requests are made on.
    """

    # As many connections as aiohttp keeps.
    concurrency = 100
    cost = 3e-4

    def __init__(self, filesystem: Any, path: str) -> None:
        self.filesystem = filesystem
        self.path = path

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """See `RangeFile.loop`."""
        loop: asyncio.AbstractEventLoop = self.filesystem.loop
        return loop

    async def request(
        self, start: int, stop: int | None, admit: Admit, *, match: str | None = None, came: Came | None = None
    ) -> Answer:
        """See `RangeFile.request`."""
        options = dict(self.filesystem.kwargs)
        headers = {**(options.pop("headers", None) or {}), "Accept-Encoding": "identity"}
        if stop is not None:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        if match is not None:
            headers["If-Match"] = match
        session = await self.filesystem.set_session()
        began = perf_counter()
        async with session.get(self.filesystem.encode_url(self.path), headers=headers, **options) as answer:
            waited = perf_counter() - began
            await _raise_for_status(answer)
            head = head_of(answer)
            data = await http_body(answer, admit(head), came)
        return Answer(head, data, waited, perf_counter() - began - waited)


async def _raise_for_status(answer: Any) -> None:
    """Raise for failures. That a file, a version or a range is not there is told apart from that it cannot be had."""
    if answer.status == 412:
        raise NotMatched(answer.headers.get("ETag"))
    if answer.status == 416:
        size = answer.headers.get("Content-Range", "").rpartition("*/")[2]
        raise NoSuchRange(int(size) if size.isascii() and size.isdecimal() else None, await explanation(answer))
    if answer.status in _GONE:
        raise FileNotFoundError(f"status {answer.status}, {answer.reason}")
    answer.raise_for_status()


def head_of(answer: Any) -> Head:
    """Return what a successful answer says of itself. Raises `SourceError` where it is no file."""
    headers = answer.headers
    refuse_compressed(headers)
    size = answer.content_length
    part = answer.status == 206
    shown = f"status {answer.status}, {answer.content_type}, {'unknown' if size is None else size} bytes"
    if not part and answer.status != 200:
        raise SourceError("the server sent no file", got=shown)
    found = content_range(headers.get("Content-Range")) if part else None
    return Head(
        part,
        None if found is None else found[:2],
        FileVersion.of_headers(size if not part else None if found is None else found[2], headers),
        size,
        headers.get("Content-Range", "none") if part else shown,
        size is not None or headers.get("Transfer-Encoding", "").lower() == "chunked",
        headers.get("Accept-Ranges", "").strip().lower() != "none",
    )
