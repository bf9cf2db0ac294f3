"""Answers to requests for keys: whole or a range, from memory or streamed, never more and never less than announced.

Contract: nothing is sent before the first bytes are there, so that what fails is a status. What fails later ends the
connection before the announced length, which every client takes for an error. Bytes in memory are held to a budget;
clients that take nothing for `PATIENCE` seconds, or went away, are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from refmaker.errors import RefmakerError, SourceError
from refmaker.file_version import same_strong
from refmaker.serve.budget import Budget
from refmaker.serve.byte_range import UnsatisfiableRange, byte_range
from refmaker.serve.tree import Entity, Tree

__all__ = ["PATIENCE", "PIECE", "Broken", "Receive", "Scope", "Send", "answer_key", "headers_of", "send_whole"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PIECE = 1 << 22
"""Bytes that are read from a target at a time for a long answer."""

_SLICE = 1 << 18
"""Bytes that are handed to the connection at a time."""

PATIENCE = 60.0
"""Seconds that a client may take for a slice."""


class Broken(Exception):
    """An answer that ended before its announced length; `cause` is what the client could not be told."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _Asked:
    """What of an entity is sent: bytes from `start` to before `stop`."""

    start: int
    stop: int
    size: int
    partial: bool


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers of a request by their names in lower case; of several of one name, the last."""
    return dict(scope["headers"])


async def answer_key(
    tree: Tree, entity: Entity, scope: Scope, receive: Receive, send: Send, *, budget: Budget, max_age: int
) -> None:
    """Answer a GET or HEAD for what stands under a key.

    Raises
    ------
    RefmakerError
        It cannot be read, and nothing was sent yet.
    Broken
        It cannot be read to its end.
    """
    headers = headers_of(scope)
    head = scope["method"] == "HEAD"
    fixed = _fixed_headers(entity, max_age)
    if entity.etag is not None and _matches(headers.get(b"if-none-match"), entity.etag):
        await send_whole(send, 304, fixed, b"", head=True)
        return
    size = entity.size if entity.size is not None else await tree.size(entity.key)
    if size is None:
        await _answer_unsized(tree, entity, send, fixed, head=head)
        return
    conditional = headers.get(b"if-range")
    unchanged = conditional is None or same_strong(conditional.decode("latin-1"), entity.etag)
    wanted = headers.get(b"range") if unchanged else None
    try:
        found = byte_range(None if wanted is None else wanted.decode("latin-1"), size)
    except UnsatisfiableRange:
        await send_whole(send, 416, [(b"content-range", b"bytes */%d" % size)], b"", head=head)
        return
    asked = _Asked(0, size, size, False) if found is None else _Asked(*found, size, True)
    if asked.partial:
        fixed.append((b"content-range", b"bytes %d-%d/%d" % (asked.start, asked.stop - 1, size)))
    if head:
        length = (b"content-length", b"%d" % (asked.stop - asked.start))
        await _start(send, 206 if asked.partial else 200, [*fixed, length])
        await send({"type": "http.response.body", "body": b""})
    elif entity.data is not None:
        await send_whole(send, 206 if asked.partial else 200, fixed, entity.data[asked.start : asked.stop])
    else:
        await _stream(tree, entity, asked, receive, send, fixed, budget)


async def send_whole(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, head: bool = False
) -> None:
    """Send an answer whose bytes are there; to HEAD without them."""
    length = [] if status == 304 else [(b"content-length", b"%d" % len(body))]
    await _start(send, status, [*headers, *length])
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _answer_unsized(
    tree: Tree, entity: Entity, send: Send, fixed: list[tuple[bytes, bytes]], *, head: bool
) -> None:
    """Answer with a whole target of a size that nobody knows before it is read."""
    data = await tree.read(entity.key)
    await send_whole(send, 200, [one for one in fixed if one[0] != b"accept-ranges"], data, head=head)


async def _stream(
    tree: Tree,
    entity: Entity,
    asked: _Asked,
    receive: Receive,
    send: Send,
    fixed: list[tuple[bytes, bytes]],
    budget: Budget,
) -> None:
    """Send bytes of a target, piece by piece where they are many."""
    status, length = 206 if asked.partial else 200, asked.stop - asked.start
    whole = tree.kind.view == "decoded" or length <= PIECE  # a decoded chunk would be decoded for each piece of it
    held = (entity.size or length) if whole and tree.kind.view == "decoded" else min(length, PIECE)
    async with budget.held(held):
        data = await _piece(tree, entity, asked, asked.start, asked.stop if whole else asked.start + PIECE)
        if len(data) == length and length <= _SLICE:
            await send_whole(send, status, fixed, data)
            return
        await _start(send, status, [*fixed, (b"content-length", b"%d" % length)])
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await _send_pieces(tree, entity, asked, data, send, gone)
        finally:
            gone.cancel()


async def _send_pieces(
    tree: Tree, entity: Entity, asked: _Asked, data: bytes, send: Send, gone: asyncio.Future[None]
) -> None:
    at = asked.start
    while True:
        view = memoryview(data)
        for first in range(0, len(data), _SLICE):
            part = view[first : first + _SLICE]
            more = at + first + len(part) < asked.stop
            await _send_slice(send, bytes(part), more, gone)
        at += len(data)
        if at >= asked.stop:
            return
        try:
            data = await _piece(tree, entity, asked, at, min(at + PIECE, asked.stop))
        except RefmakerError as error:
            tree.conceal(error)
            raise Broken(str(error)) from error


async def _send_slice(send: Send, data: bytes, more: bool, gone: asyncio.Future[None]) -> None:
    if gone.done():
        raise Broken("the client went away")
    try:
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": data, "more_body": more})
    except TimeoutError as error:
        raise Broken(f"the client took nothing for {PATIENCE:g} seconds") from error


async def _gone(receive: Receive) -> None:
    """Wait until the client goes away."""
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            continue


async def _piece(tree: Tree, entity: Entity, asked: _Asked, start: int, stop: int) -> bytes:
    """Read bytes of a key, exactly as many as were asked for."""
    everything = start == 0 and stop == asked.size
    data = await (tree.read(entity.key) if everything else tree.read(entity.key, start, stop))
    if len(data) != stop - start:
        raise SourceError(
            "the answer is not as long as it should be", path=entity.key, expected=stop - start, got=len(data)
        )
    return data


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


def _fixed_headers(entity: Entity, max_age: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that do not depend on what part is asked for. Metadata are asked for anew each time."""
    kind = b"application/octet-stream" if entity.chunk or not entity.key.endswith(_JSON) else b"application/json"
    headers = [(b"content-type", kind), (b"accept-ranges", b"bytes")]
    if entity.etag is None:
        headers.append((b"cache-control", b"no-store"))
    else:
        fresh = b"max-age=%d" % max_age if max_age and entity.chunk else b"no-cache"
        headers += [(b"etag", entity.etag.encode()), (b"cache-control", fresh)]
    return headers


_JSON = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def _matches(header: bytes | None, etag: str) -> bool:
    """Return whether If-None-Match names an entity tag; weak ones count as RFC 9110 has it."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.decode("latin-1").split(",")]
    return etag in tags or tags == ["*"]
