"""The ASGI application: what is asked for under which path.

Contract: `/` and `/~page/` the page, `/~api/` what it shows, `/healthz`, `/metrics`; `/NAME/KEY` a key of a manifest in
the tree that the application was made for, `/~v2-stored/NAME/KEY` and the like one in another tree. Every answer is
counted and logged, once. The application needs no lifespan, so that it can be mounted anywhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from refmaker.errors import RefmakerError
from refmaker.redaction import redact
from refmaker.serve.answers import Broken, Receive, Scope, Send, answer_key, headers_of, send_whole
from refmaker.serve.budget import Budget, Busy
from refmaker.serve.catalogue import Catalogue, NotServed
from refmaker.serve.guard import Guard
from refmaker.serve.metrics import Metrics
from refmaker.serve.names import Names
from refmaker.serve.pages import answer_page
from refmaker.serve.status import BUSY, Failure, failure_of
from refmaker.serve.tree import TreeKind, ViewName

__all__ = ["Application", "app"]

MEMORY = 256 << 20
"""Bytes of answers that are in memory at a time."""

_access = logging.getLogger("refmaker.serve.access")
_ABSENT = Failure(404, "absent", "there is nothing at this path")
_METHOD = Failure(405, "method", "only GET and HEAD are answered")


def app(
    *sources: str,
    view: ViewName = "as-stored",
    zarr_format: Literal[2, 3] | None = None,
    cors: Sequence[str] = (),
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    max_age: int = 0,
    memory: int = MEMORY,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return an ASGI application that serves manifests as Zarr trees.

    Parameters
    ----------
    sources
        Paths or urls of manifests, or of directories of them; `NAME=MANIFEST` names one.
    view, zarr_format
        Of the trees at `/NAME/`: chunks as stored or decoded, Zarr 2 or 3; None: the format of the manifest.
    cors
        Origins whose pages may read what is served; "*" for all.
    token
        What clients have to send.
    hosts
        Names by which the server may be addressed; None: any.
    max_age
        Seconds for which clients may keep chunks without asking; 0: they ask each time, and are told by the ETag.
    memory
        Bytes of answers that may be in memory at a time.
    storage_options
        For the filesystem that the manifests are in.
    options
        Of `refmaker.FileSystem`, for the targets: `remote_options`, `allow`, `check`, …

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> refmaker.write_manifest(refmaker.scan("air.h5"), "air.json")
    >>> app = refmaker.serve.app("air.json")  # uvicorn.run(app)
    """
    names = Names(sources, dict(storage_options or {}))
    catalogue = Catalogue(names, TreeKind(zarr_format, view), options)
    made = Application(catalogue, Guard(token, hosts), max_age, Budget(memory))
    if not cors:
        return made
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        made,
        allow_origins=list(cors),
        allow_methods=["GET", "HEAD"],
        allow_headers=["Authorization", "If-None-Match", "If-Range", "Range"],
        expose_headers=["Accept-Ranges", "Content-Length", "Content-Range", "ETag"],
        max_age=3600,
    )


@dataclass(slots=True)
class _Record:
    """What an answer came to, for the log and the metrics."""

    send: Send
    status: int = 0
    sent: int = 0
    cause: str = ""
    message: str = ""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent += len(message.get("body", b""))
        await self.send(message)


@dataclass(slots=True)
class Application:
    """Answers requests; see `app`."""

    catalogue: Catalogue
    guard: Guard
    max_age: int
    budget: Budget
    metrics: Metrics = field(default_factory=Metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        began, record = time.perf_counter(), _Record(send)
        self.metrics.running += 1
        try:
            await self._answered(scope, receive, record)
        except asyncio.CancelledError:
            record.cause = record.cause or "cancelled"
            raise
        finally:
            self.metrics.running -= 1
            seconds = time.perf_counter() - began
            self.metrics.record(record.status, record.cause, record.sent, seconds)
            if _access.isEnabledFor(logging.INFO):
                _log(scope, record, seconds)

    async def _answered(self, scope: Scope, receive: Receive, record: _Record) -> None:
        path = scope["path"]
        root = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        refusal = self.guard.refusal(path, headers_of(scope))
        if refusal is None and scope["method"] not in ("GET", "HEAD"):
            refusal = _METHOD
        if refusal is not None:
            await _fail(record, scope, refusal, path)
            return
        try:
            await self._dispatch(path, scope, receive, record)
        except Broken as error:
            record.cause, record.message = "broken", error.cause
            self.metrics.broken += 1
        except Busy:
            await _fail(record, scope, BUSY, path)
        except (FileNotFoundError, NotServed, RefmakerError) as error:
            await _fail(record, scope, failure_of(error), path)

    async def _dispatch(self, path: str, scope: Scope, receive: Receive, record: _Record) -> None:
        if path == "/healthz":
            await _text(record, scope, "text/plain", "ok\n")
        elif path == "/metrics":
            await _text(record, scope, "text/plain; version=0.0.4", self.metrics.text(self.budget.used))
        elif path in ("/", "") or path.startswith(("/~page/", "/~api/")):
            if not await answer_page(self.catalogue, path, scope, receive, record):
                await _fail(record, scope, _ABSENT, path)
        else:
            await self._key(path[1:], scope, receive, record)

    async def _key(self, path: str, scope: Scope, receive: Receive, record: _Record) -> None:
        place = await self.catalogue.place(path)
        tree = await self.catalogue.tree(place.name, place.kind)
        try:
            entity = await tree.entity(place.key)
            await answer_key(tree, entity, scope, receive, record, budget=self.budget, max_age=self.max_age)
        except RefmakerError as error:
            tree.conceal(error)
            raise


async def _fail(record: _Record, scope: Scope, failure: Failure, path: str) -> None:
    record.cause, record.message = failure.cause, failure.message
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if failure.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="refmaker", charset="UTF-8"'))
    elif failure.status == 503:
        headers.append((b"retry-after", b"1"))
    elif failure.status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send_whole(record, failure.status, headers, failure.body(path), head=scope["method"] == "HEAD")


async def _text(record: _Record, scope: Scope, kind: str, text: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
    await send_whole(record, 200, headers, text.encode(), head=scope["method"] == "HEAD")


async def _live(receive: Receive, send: Send) -> None:
    """Say yes to the beginning and the end of the server: there is nothing to be done."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _log(scope: Scope, record: _Record, seconds: float) -> None:
    """Write a line of the access log: JSON, without queries, which may hold secrets."""
    client = scope.get("client")
    line = {
        "time": round(time.time(), 3),
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": redact(scope["path"]),
        "status": record.status,
        "bytes": record.sent,
        "seconds": round(seconds, 6),
    }
    if record.cause:
        line |= {"cause": record.cause, "message": record.message}
    _access.info("%s", json.dumps(line))
