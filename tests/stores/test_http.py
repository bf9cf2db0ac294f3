"""One request over HTTP: what is asked, what is said, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fsspec.implementations.http import HTTPFileSystem

from refmaker.stores.http import HttpFile
from refmaker.stores.request import Head, NoSuchRange, NotMatched
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]

DATA = bytes(range(100))


def ask(url: str, *asked: Any, **options: Any) -> Any:
    async def once() -> Any:
        filesystem = HTTPFileSystem(asynchronous=True, skip_instance_cache=True)
        try:
            return await HttpFile(filesystem, url).request(*asked, **options)
        finally:
            await (await filesystem.set_session()).close()

    return asyncio.run(once())


def test_a_range(range_server: RangeServer) -> None:
    url = range_server.add("a", DATA, etag='"e"')
    answer = ask(url, 10, 20, lambda head: 10)
    assert answer.data == DATA[10:20]
    assert (answer.head.part, answer.head.place, answer.head.version.size) == (True, (10, 20), 100)
    assert answer.head.version.etag == '"e"'
    assert ask(url, 0, None, lambda head: 100).data == DATA


def test_the_head_is_looked_at_before_the_body(range_server: RangeServer) -> None:
    def refuse(head: Head) -> int:
        raise LookupError(head.shown)

    with pytest.raises(LookupError, match="bytes 10-19/100"):
        ask(range_server.add("a", DATA), 10, 20, refuse)


def test_no_more_is_read_than_is_admitted(range_server: RangeServer) -> None:
    assert ask(range_server.add("a", DATA), 0, None, lambda head: 7).data == DATA[:8]


def test_what_callers_tell_apart(range_server: RangeServer) -> None:
    url = range_server.add("a", DATA, etag='"e"')
    with pytest.raises(NotMatched):
        ask(url, 0, 10, lambda head: 10, match='"f"')
    with pytest.raises(NoSuchRange):
        ask(url, 200, 210, lambda head: 10)
    with pytest.raises(FileNotFoundError, match="404"):
        ask(url + "b", 0, 10, lambda head: 10)
