"""Objects of S3 through obstore, where it is installed: its requests take a fraction of the time of botocore's.

Contract: as `refmaker.stores.s3`. obstore is asked only where it is told all that s3fs would know of the store
(`refmaker.stores.s3_options`); s3fs reads all else. Errors become those of `refmaker.stores.request`, or an
`ObstoreError` with the status and code of the answer.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from refmaker.file_version import FileVersion
from refmaker.stores.gates import most_in_flight
from refmaker.stores.request import Admit, Answer, Came, Head, NoSuchRange, NotMatched
from refmaker.stores.s3_options import obstore_options

__all__ = ["ObstoreError", "ObstoreFile", "file_for"]

# Several attempts, their pauses and their times are ours: see `refmaker.retry`.
_ONCE: Final = {"max_retries": 0}
_TIMEOUT: Final = "1 hour"
_IDLE: Final = "30s"
"""After which a connection that nobody uses is closed."""

_CODE = re.compile("<Code>([A-Za-z0-9.]{1,64})</Code>")
_NO_DESCRIPTOR = re.compile(r"\bcode: (?:23|24),|\(os error (?:23|24)\)")
_LONGEST: Final = 240
"""Characters: longer texts are left out of errors, and their causes with them."""

_LASTING = ("NotPartial", "MissingContentLength", "ParseContentRange", "UnexpectedRange")
"""What no new attempt puts right, as obstore's messages name it."""


class ObstoreError(Exception):
    """What obstore says has gone wrong; `response` has status and code of the answer, as in errors of botocore.

    Its text is one short line: obstore's own is a page, which errors do not hand on.

    Attributes
    ----------
    is_unresolved, is_unreachable
        The name of the server stands for no address; no connection to it could be made.
    """

    def __init__(self, said: str, status: int | None) -> None:
        code = _CODE.search(said)
        lead = [f"status {status}"] if status is not None else []
        lead += [code[1]] if code is not None else []
        super().__init__(_line(": ".join([*(["/".join(lead)] if lead else []), said])))
        self.status = status
        self.response = {
            "Error": {"Code": None if code is None else code[1]},
            "ResponseMetadata": {} if status is None else {"HTTPStatusCode": status},
        }
        self.is_transient = status is None and not any(kind in said for kind in _LASTING)
        self.is_unresolved = status is None and "dns error" in said
        self.is_unreachable = status is None and "kind: Connect," in said


def _line(said: str) -> str:
    """Return the beginning of the first line of a text."""
    line = said.partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


class ObstoreFile:
    """An object of S3.

    Parameters
    ----------
    client
        `obstore.store.S3Store` of the bucket.
    """

    concurrency = 100
    cost = 3e-4

    def __init__(self, client: Any, key: str) -> None:
        self.client = client
        self.path = key

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """See `RangeFile.loop`: that of fsspec, as obstore has none of its own."""
        from fsspec.asyn import get_loop

        loop: asyncio.AbstractEventLoop = get_loop()
        return loop

    async def request(
        self, start: int, stop: int | None, admit: Admit, *, match: str | None = None, came: Came | None = None
    ) -> Answer:
        """See `RangeFile.request`."""
        asked: dict[str, Any] = {} if stop is None else {"range": (start, stop)}
        if match is not None:
            asked["if_match"] = match
        began = perf_counter()
        try:
            answer = await self.client.get_async(self.path, options=asked)
            waited = perf_counter() - began
            head = _head_of(answer, part=stop is not None)
            admit(head)
            data = bytes(await answer.bytes_async())
        except Exception as error:  # obstore has one class for most errors
            raise _told(error, start) from error
        return Answer(head, data, waited, perf_counter() - began - waited)


def _head_of(answer: Any, *, part: bool) -> Head:
    meta, place = answer.meta, tuple(answer.range)
    version = FileVersion(meta["size"], meta["e_tag"], meta["last_modified"].timestamp())
    return Head(part, (place[0], place[1]), version, place[1] - place[0], f"bytes {place[0]} to {place[1]}")


def _told(error: Exception, start: int) -> Exception:
    """Return an error of obstore as callers tell them apart; others as they are."""
    from obstore.exceptions import BaseError, PreconditionError

    if not isinstance(error, BaseError) or isinstance(error, FileNotFoundError):
        return error
    said = str(error)
    status = _status(said)
    if isinstance(error, PreconditionError) or status == 412:
        return NotMatched()
    if status == 416:
        return NoSuchRange(None if start else 0, _line(said))
    if "UnexpectedRange" in said:  # obstore's own check: the file ends before
        return NoSuchRange(None, _line(said))
    if _NO_DESCRIPTOR.search(said):
        return OSError(errno.EMFILE, _line(said))
    return ObstoreError(said, status)


def _status(said: str) -> int | None:
    """Return the HTTP status that an error of obstore tells, in its text alone."""
    _, told, rest = said.partition("status code: ")
    return int(rest[:3]) if told and rest[:3].isdecimal() else None


def file_for(url: str, options: Mapping[str, Any]) -> ObstoreFile | None:
    """Return the file of an S3 url, None where obstore is not installed or s3fs has to be asked."""
    bucket, _, key = url.partition("://")[2].partition("/")
    if not key or "?versionId=" in key or _forked:
        return None
    config = obstore_options(options)
    if config is None:
        return None
    with _making:
        client = _client(bucket, tuple(sorted(config.items())))
    return None if client is None else ObstoreFile(client, key)


_making = threading.Lock()
"""Scans that begin together would make a client each, all of which keep connections."""


@lru_cache(16)
def _client(bucket: str, config: tuple[tuple[str, Any], ...]) -> Any:
    """Make the client of a bucket, which keeps its connections for the next file.

    None where obstore is not installed, or the certificates are not there.
    """
    told = dict(config)
    bundle = told.pop("ca_bundle", None)
    try:
        from obstore.store import S3Store

        certificates = {} if bundle is None else {"root_certificate": Path(bundle).read_bytes()}
    except (ImportError, OSError):
        return None
    client: Any = {
        **certificates,
        "allow_http": str(told.get("endpoint", "")).startswith("http://"),
        "timeout": _TIMEOUT,
        "connect_timeout": "30s",
        "pool_idle_timeout": _IDLE,
        "pool_max_idle_per_host": str(most_in_flight(ObstoreFile.concurrency)),
    }
    made: Any = S3Store
    return made(bucket, config=told, client_options=client, retry_config=_ONCE)


_forked = False
"""Whether this process was forked from one whose obstore had threads: they are not here, and nothing would answer."""


def _after_fork() -> None:
    global _forked, _making
    _making = threading.Lock()
    _forked = _client.cache_info().currsize > 0 or _forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
