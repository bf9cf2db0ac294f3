from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import aiohttp
import fsspec
import pytest
from fsspec.asyn import get_loop, sync

from refmaker.errors import SourceError
from refmaker.replay import connections
from refmaker.replay.connections import Pool, pool
from refmaker.stores.fsspec import call
from tests.servers import RangeServer, S3Server


class Work:
    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.runs = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> object:
        self.runs += 1
        await self.may_end.wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.asyncio
async def test_once_is_shared_and_remembered() -> None:
    work, shared = Work(1, 2), Pool()
    work.may_end.clear()
    waiting = [asyncio.ensure_future(shared.once("k", work, valid=60)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    work.may_end.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 4
    assert waiting[0].cancelled()
    assert await shared.once("k", work, valid=60) == 1
    assert work.runs == 1
    shared.forget("k")
    assert await shared.once("k", work, valid=60) == 2


@pytest.mark.asyncio
async def test_once_does_not_remember_failures_or_for_ever() -> None:
    work, shared = Work(SourceError("a"), 1, 2), Pool()
    with pytest.raises(SourceError):
        await shared.once("k", work, valid=60)
    assert await shared.once("k", work, valid=0) == 1
    assert await shared.once("k", work, valid=0) == 2
    shared.forget("never asked for")


def test_a_pool_a_loop() -> None:
    async def both() -> tuple[Pool, Pool]:
        return await pool(), await pool()

    first, again = asyncio.run(both())
    assert first is again
    other, _ = asyncio.run(both())
    assert other is not first
    assert [loop for loop in connections._pools if loop.is_closed()] != []
    assert first not in connections._pools.values()  # dropped when the other was made


@pytest.mark.asyncio
async def test_filesystems_are_bound_to_the_loop() -> None:
    http, path = (await pool()).connect("http://h/a?b", {"block_size": 1})
    assert http.asynchronous
    assert path == "http://h/a?b"
    assert (await pool()).connect("http://g/c", {"block_size": 1})[0] is http
    assert (await pool()).connect("http://g/c", {"block_size": 2})[0] is not http
    memory, path = (await pool()).connect("memory://a/b", {})
    assert (memory, path) == (fsspec.filesystem("memory"), "/a/b")

    async def in_the_loop_of_fsspec() -> bool:
        return (await pool()).connect("http://h/a", {})[0].asynchronous

    assert sync(get_loop(), in_the_loop_of_fsspec) is False


@pytest.mark.asyncio
async def test_chains(tmp_path_factory: pytest.TempPathFactory) -> None:
    fsspec.filesystem("memory").pipe("/chained/a", b"0123456789")
    options = {"simplecache": {"cache_storage": str(tmp_path_factory.mktemp("cache"))}}
    filesystem, path = (await pool()).connect("simplecache::memory://chained/a", options)
    assert await call(filesystem, "cat_file", path, start=2, end=5) == b"234"


@pytest.mark.asyncio
async def test_synchronous_filesystems_are_called_in_a_thread(range_server: RangeServer) -> None:
    url = range_server.add("a", b"0123456789")
    for asynchronous in (False, True):
        filesystem = fsspec.filesystem("http", asynchronous=asynchronous, skip_instance_cache=True)
        assert await call(filesystem, "cat_file", url, start=2, end=5) == b"234"
        if asynchronous:
            await filesystem._session.close()


def test_sessions_end_with_their_loop(range_server: RangeServer) -> None:
    url = range_server.add("a", b"0123456789")

    async def read() -> object:
        filesystem, path = (await pool()).connect(url, {})
        assert await call(filesystem, "cat_file", path, start=2, end=5) == b"234"
        return filesystem._session

    assert asyncio.run(read()).closed


def test_clients_of_s3_end_with_their_loop(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3_server.add("connections/a", b"0123456789")
    made = sessions_made(monkeypatch)

    async def read() -> None:
        filesystem, path = (await pool()).connect(url, s3_server.options)
        assert await call(filesystem, "cat_file", path, start=2, end=5) == b"234"
        assert [session.closed for session in made] == [False]

    asyncio.run(read())
    assert [session.closed for session in made] == [True]


def sessions_made(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Return the sessions that are made from now on in this thread, whatever other threads and the collector do."""
    made: list[aiohttp.ClientSession] = []
    make, thread = aiohttp.ClientSession.__init__, threading.get_ident()

    def remember(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        make(session, *args, **options)
        if threading.get_ident() == thread:
            made.append(session)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", remember)
    return made


def test_sessions_end_with_their_filesystem(range_server: RangeServer) -> None:
    url = range_server.add("a", b"0123456789")

    async def read() -> object:
        filesystem, path = (await pool()).connect(url, {})
        assert await call(filesystem, "cat_file", path, start=2, end=5) == b"234"
        session = filesystem._session
        (await pool()).filesystems.clear()
        del filesystem
        gc.collect()
        assert session.closed
        return session

    assert asyncio.run(read()).closed


@pytest.mark.asyncio
async def test_the_client_of_the_user_is_kept() -> None:
    async def mine(**options: object) -> None:
        raise NotImplementedError

    http, _ = (await pool()).connect("http://h/a", {"get_client": mine})
    assert http.client_kwargs == {}
    http, _ = (await pool()).connect("http://h/a", {"client_kwargs": {"headers": {"A": "b"}, "trust_env": True}})
    assert http.client_kwargs["headers"] == {"Accept-Encoding": "identity", "A": "b"}
    assert http.client_kwargs["trust_env"]
