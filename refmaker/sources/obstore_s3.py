"""Files on S3 through obstore, where it is installed: its requests take a fraction of the time of botocore's.

Contract: as `refmaker.sources.s3`: every answer is compared with the size, ETag and time of the first one. `options_of`
says what obstore is told for options of s3fs, or None where they say something that it would have to be told otherwise
(profiles, sessions, addressing styles, a region that is not named): s3fs reads those files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import lru_cache
from time import perf_counter
from typing import Any

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.sources.async_store import AsyncStore

__all__ = ["ObstoreS3", "options_of", "store_for"]

_KEYS = {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token"}
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ADDRESSING_STYLE")
# Several attempts, their pauses and their times are ours: see `refmaker.retry`.
_ONCE = {"max_retries": 0}
_TIMEOUT = "1 hour"


class ObstoreS3(AsyncStore):
    """An object of S3."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of fsspec: obstore has none of its own."""
        from fsspec.asyn import get_loop

        loop: asyncio.AbstractEventLoop = get_loop()
        return loop

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """See `AsyncStore.first`."""
        try:
            meta, data, place = await self._get(0, size)
        except Exception as error:  # obstore has one class for most errors
            if _status(error) == 416:
                raise FormatError("the file is empty", structure="superblock", address=0, source=self.url) from error
            raise
        if place != (0, min(size, meta["size"])):
            raise SourceError("the service sent something else than the range", source=self.url, got=place)
        if len(data) != place[1]:
            raise ConnectionError(f"an answer of {len(data)} bytes instead of {place[1]}")
        return _version_of(meta), data

    async def range(self, start: int, stop: int) -> bytes:
        """See `AsyncStore.range`."""
        try:
            meta, data, place = await self._get(start, stop)
        except FileNotFoundError as error:
            raise TargetChanged("the file went away while it was scanned", source=self.url) from error
        except Exception as error:  # obstore has one class for most errors
            if _status(error) == 416 or "UnexpectedRange" in str(error):
                raise TargetChanged("the file became shorter while it was scanned", source=self.url) from error
            raise
        check_unchanged(self.url, self.version, _version_of(meta))
        if place != (start, stop):
            raise SourceError(
                "the service sent another range", source=self.url, expected=f"bytes {start} to {stop}", got=place
            )
        return data

    def retry_after(self, error: Exception) -> float | None:
        """See `AsyncStore.passing`."""
        from obstore.exceptions import GenericError

        if not isinstance(error, GenericError):
            return super().retry_after(error)
        status = _status(error)
        lasting = ("NotPartial", "MissingContentLength", "ParseContentRange", "UnexpectedRange")
        if status is None:
            return None if any(kind in str(error) for kind in lasting) else 0.0
        return 0.0 if status == 429 or status >= 500 else None

    async def _get(self, start: int, stop: int) -> tuple[Mapping[str, Any], bytes, tuple[int, int]]:
        began = perf_counter()
        answer = await self.filesystem.get_async(self.path, options={"range": (start, stop)})
        waited = perf_counter() - began
        data = bytes(await answer.bytes_async())
        self.rates.note(waited, len(data), perf_counter() - began - waited)
        return answer.meta, data, tuple(answer.range)


def _version_of(meta: Mapping[str, Any]) -> FileVersion:
    """Return what obstore says of an object."""
    return FileVersion(meta["size"], meta["e_tag"], meta["last_modified"].timestamp())


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of obstore tells, in its text alone."""
    _, told, rest = str(error).partition("status code: ")
    return int(rest[:3]) if told and rest[:3].isdecimal() else None


def options_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return obstore's configuration for options of s3fs; None where s3fs has to be asked."""
    client = dict(options.get("client_kwargs") or {})
    endpoint = options.get("endpoint_url") or client.pop("endpoint_url", None)
    region = client.pop("region_name", None) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    known = {*_KEYS, "anon", "endpoint_url", "client_kwargs"}
    if client or not options.keys() <= known or any(name in os.environ for name in _PROFILES):
        return None
    config = {theirs: options[ours] for ours, theirs in _KEYS.items() if options.get(ours)}
    if options.get("anon"):
        config = {"skip_signature": True}
    elif not {"access_key_id", "secret_access_key"} <= config.keys():
        return None
    if endpoint is None and region is None:
        return None
    found = config | {"region": region or "us-east-1"} | ({} if endpoint is None else {"endpoint": endpoint})
    return found if all(isinstance(value, str | bool) for value in found.values()) else None


def store_for(url: str, options: Mapping[str, Any]) -> ObstoreS3 | None:
    """Return the store of an S3 url, None where obstore is not installed or s3fs has to be asked."""
    config = options_of(options)
    bucket, _, key = url.partition("://")[2].partition("/")
    if config is None or not key or "?versionId=" in key:
        return None
    client = _client(bucket, tuple(sorted(config.items())))
    return None if client is None else ObstoreS3(url, client, key)


@lru_cache(16)
def _client(bucket: str, config: tuple[tuple[str, Any], ...]) -> Any:
    """Make the client of a bucket, which keeps its connections for the next file; None without obstore."""
    try:
        from obstore.store import S3Store
    except ImportError:
        return None
    http = str(dict(config).get("endpoint", "")).startswith("http://")
    client: Any = {"allow_http": http, "timeout": _TIMEOUT, "connect_timeout": "30s"}
    made: Any = S3Store
    return made(bucket, config=dict(config), client_options=client, retry_config=_ONCE)
