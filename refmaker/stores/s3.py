"""Objects of S3, through the client of s3fs.

Contract: see `refmaker.stores.request`. As over HTTP, every answer has size, ETag and time beside its bytes. s3fs
repeats requests that the service turns down; bodies that break off are for the caller.

Source: Amazon S3 API, GetObject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from refmaker.file_version import FileVersion
from refmaker.stores.answers import bounded_body, content_range, error_code
from refmaker.stores.gates import most_in_flight
from refmaker.stores.request import Admit, Answer, Came, Head, NoSuchRange, NotMatched

__all__ = ["CONNECTIONS", "S3File", "with_connections"]

# botocore would open 10.
CONNECTIONS = 64


def with_connections(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of s3fs that let it keep as many connections as there are requests in flight."""
    config = {"max_pool_connections": most_in_flight(CONNECTIONS), **(options.get("config_kwargs") or {})}
    return {**options, "config_kwargs": config}


class S3File:
    """An object of S3.

    Parameters
    ----------
    filesystem
        That of s3fs, of the event loop that requests are made on.
    """

    concurrency = CONNECTIONS
    cost = 2e-3

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
        began = perf_counter()
        answer = await self._get(start, stop, match)
        waited = perf_counter() - began
        try:
            head = _head_of(answer)
            data = await bounded_body(answer["Body"].read, admit(head), came)
        finally:
            answer["Body"].close()
        return Answer(head, data, waited, perf_counter() - began - waited)

    async def _get(self, start: int, stop: int | None, match: str | None) -> Any:
        bucket, key, version = self.filesystem.split_path(self.path)
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version:
            asked["VersionId"] = version
        if stop is not None:
            asked["Range"] = f"bytes={start}-{stop - 1}"
        if match is not None:
            asked["IfMatch"] = match
        try:
            return await self.filesystem._call_s3("get_object", **asked)
        except FileNotFoundError:
            raise
        except OSError as error:
            code = error_code(error)
            if code in ("PreconditionFailed", "412"):
                raise NotMatched from error
            if code in ("InvalidRange", "416"):
                raise NoSuchRange(None if start else 0, str(error)) from error
            raise


def _head_of(answer: Any) -> Head:
    """Return what an answer says of itself."""
    told, length = answer.get("ContentRange"), answer.get("ContentLength")
    found = content_range(told)
    size = length if told is None else None if found is None else found[2]
    return Head(
        told is not None,
        None if found is None else found[:2],
        FileVersion.of({**answer, "size": size}),
        length,
        f"{length} bytes" if told is None else str(told),
    )
