"""Filesystems of targets, one set for every event loop.

Contract: an asynchronous filesystem is used only in the loop that it was made for; anything else is called in a
thread. Over HTTP, an answer that is not the range asked for is refused before its body is read: RFC 9110 allows a
server to ignore `Range`, and a login page has a length too.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from refmaker.errors import SourceError
from refmaker.replay.policy import Policy
from refmaker.stores.s3 import with_connections
from refmaker.urls import links, path_of, protocol_of

__all__ = ["Pool", "held", "pool", "weakly"]

T = TypeVar("T")

ANYWHERE = Policy()

_KEPT = 64
"""Filesystems of an event loop that are kept for whoever asks for the same again."""

_REMEMBERED = 10_000
"""Outcomes of `Pool.once` that are remembered."""


class Pool:
    """What belongs to one event loop: filesystems by protocol and options, and what was found out lately."""

    def __init__(self) -> None:
        self.filesystems: OrderedDict[Hashable, Any] = OrderedDict()
        self.sessions: list[Any] = []
        self._keeper = self._keep()
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self._done: dict[Hashable, tuple[float, Any]] = {}

    async def open(self) -> None:
        """Have the sessions closed when the loop shuts down its asynchronous generators, as `asyncio.run` makes it."""
        await anext(self._keeper)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            for session in self.sessions:
                await session.close()
            for filesystem in self.filesystems.values():
                client = getattr(filesystem, "_s3creator", None)
                if client is not None and filesystem.asynchronous:  # s3fs leaves that to its users
                    await client.__aexit__(None, None, None)

    def connect(self, url: str, options: Mapping[str, Any], policy: Policy = ANYWHERE) -> tuple[Any, str]:
        """Return the filesystem of `url`, and the path of `url` in it.

        Parameters
        ----------
        options
            For the filesystem, as fsspec takes them.
        policy
            What connections and redirects are held to.
        """
        import fsspec

        protocol = protocol_of(url)
        kind = fsspec.get_filesystem_class(protocol)
        http = protocol in ("http", "https")
        chained = len(links(url)) > 1
        kept = policy if policy.limits and (http or chained) else None
        if chained:
            key: Hashable = (url, repr(sorted(options.items())), kept)
            held = _chained(url, options, policy) if policy.limits else options
            filesystem, path = fsspec.core.url_to_fs(url, **_bound(kind, held))
            return self._keep_one(key, lambda: filesystem), path
        options = {**kind._get_kwargs_from_urls(url), **options}
        if protocol in ("s3", "s3a"):
            options = with_connections(options)
        key = (protocol, repr(sorted(options.items())), kept)
        made = partial(self._http, kind, options, policy) if http else partial(kind, **_bound(kind, options))
        return self._keep_one(key, made), path_of(kind, url)

    def _keep_one(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the filesystem of a key; the one that was asked for longest ago goes, to end with its last reader."""
        found = self.filesystems.get(key)
        if found is None:
            found = self.filesystems[key] = make()
            while len(self.filesystems) > _KEPT:
                self.filesystems.popitem(last=False)
        else:
            self.filesystems.move_to_end(key)
        return found

    def _http(self, kind: Any, options: Mapping[str, Any], policy: Policy) -> Any:
        """Make the filesystem for http and https; where the caller brings a client, it cannot be kept to a policy."""
        if "get_client" in options:
            options = {**options, "allow_redirects": False} if policy.limits else options
        else:
            client = dict(options.get("client_kwargs", {}))
            # A compressed answer would be a range of something else than the file.
            client["headers"] = {"Accept-Encoding": "identity", **client.get("headers", {})}
            options = {**options, "client_kwargs": client}
            if policy.limits:
                options["get_client"] = partial(_held_to, policy)
        filesystem = kind(**_bound(kind, options))
        if filesystem.asynchronous:  # then fsspec leaves it to its users to close sessions
            filesystem.get_client = partial(self._session, filesystem.get_client, weakref.ref(filesystem))
        return filesystem

    async def _session(self, make: Callable[..., Awaitable[Any]], owner: Callable[[], Any], **options: Any) -> Any:
        """Make a client session that ends with its loop, its filesystem, or the process."""
        session = await make(**options)
        self.sessions = [other for other in self.sessions if not other.closed]
        self.sessions.append(session)
        weakref.finalize(owner(), type(owner()).close_session, asyncio.get_running_loop(), session)
        return session

    async def once(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], *, valid: float) -> T:
        """Return the outcome of `work`, from within the last `valid` seconds if it was asked for before.

        Who asks while the work is being done waits for its outcome, or its failure. A failure is not remembered.
        """
        when, known = self._done.get(key, (float("-inf"), None))
        if time.monotonic() - when < valid:
            return cast(T, known)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(partial(self._finished, key))
        return cast(T, await asyncio.shield(task))

    def forget(self, key: Hashable) -> None:
        """Drop an outcome of `once`."""
        self._done.pop(key, None)

    def _finished(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled() and task.exception() is None:
            self._done.pop(key, None)
            self._done[key] = (time.monotonic(), task.result())
            while len(self._done) > _REMEMBERED:
                del self._done[next(iter(self._done))]


_pools: dict[asyncio.AbstractEventLoop, Pool] = {}


async def pool() -> Pool:
    """Return the pool of the running event loop. Those of closed loops are dropped."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        for other in [other for other in list(_pools) if other.is_closed()]:
            _pools.pop(other, None)
        found = _pools[loop] = Pool()
        await found.open()
    return found


def _after_fork() -> None:
    """Leave the sessions to the process that this one was forked from.

    Their event loops run in a thread of that process, and their sockets are shared with it: closing one here fails,
    or takes it out of the selector that the other process waits on. Neither must they be destroyed, which closes too.
    """
    kept: list[object] = [dict(_pools)]
    _pools.clear()
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        found = finalizer.peek()
        if found is None or getattr(found[1], "__name__", "") != "close_session":  # as fsspec's filesystems call it
            continue
        if any(isinstance(one, asyncio.AbstractEventLoop) for one in found[2]):
            kept.append(finalizer.detach())
    if len(kept) > 1:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def weakly(method: Callable[..., T]) -> Callable[..., T]:
    """Return a bound method as a function that does not keep its object alive."""
    reference = weakref.WeakMethod(method)

    def called(*args: Any) -> T:
        found = reference()
        if found is None:
            raise SourceError("nobody waits for this read any more: its filesystem is gone")
        return found(*args)

    return called


def held(url: str, options: Mapping[str, Any], policy: Policy) -> Mapping[str, Any]:
    """Return options for a filesystem that somebody else makes, which keep it to a policy."""
    if not policy.limits:
        return options
    if len(links(url)) > 1:
        return _chained(url, options, policy)
    if protocol_of(url) not in ("http", "https"):
        return options
    return {**options, "get_client": partial(_held_to, policy)}


def _chained(url: str, options: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """Return options of a chained url that keep its parts to a policy."""
    held = dict(options)
    for protocol in {protocol_of(bit) for bit in links(url)} & {"http", "https"}:
        held[str(protocol)] = {**options.get(str(protocol), {}), "get_client": partial(_held_to, policy)}
    return held


async def _held_to(policy: Policy, **options: Any) -> Any:
    """Make a client session that goes only where a policy lets it: as to redirects, and to addresses behind names."""
    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Resolver(AbstractResolver):
        def __init__(self) -> None:
            self.inner = aiohttp.ThreadedResolver()

        async def resolve(self, host: str, port: int = 0, *args: Any, **kwargs: Any) -> Any:
            found = await self.inner.resolve(host, port, *args, **kwargs)
            if not policy.exempt(host, port) and not all(policy.admits(one["host"]) for one in found):
                raise SourceError(f"{host} is an address that is not public, where the manifest may not lead")
            return found

        async def close(self) -> None:
            await self.inner.close()

    async def redirected(session: Any, context: Any, params: Any) -> None:
        headers = params.response.headers
        where = headers.get("Location") or headers.get("URI")
        if where is not None:
            policy.check(str(params.response.url.join(type(params.url)(where))))

    async def started(session: Any, context: Any, params: Any) -> None:
        policy.check(str(params.url))  # as the client understands it

    watch = aiohttp.TraceConfig()
    watch.on_request_start.append(started)
    watch.on_request_redirect.append(redirected)
    traces = [*(options.pop("trace_configs", None) or []), watch]
    connector = options.pop("connector", None) or aiohttp.TCPConnector(resolver=Resolver())
    return aiohttp.ClientSession(connector=connector, trace_configs=traces, **options)


def _bound(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Add what binds an asynchronous filesystem to the running loop. fsspec's own loop needs nothing."""
    from fsspec import asyn

    rest = {name: value for name, value in options.items() if name not in ("asynchronous", "loop")}
    if kind.async_impl and asyn.loop[0] is not asyncio.get_running_loop():
        return {**rest, "asynchronous": True, "skip_instance_cache": True}
    return rest
