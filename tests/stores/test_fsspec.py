"""Ranges of files in any filesystem of fsspec."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import fsspec
import pytest

from refmaker.stores.fsspec import FsspecFile, belongs_here, call
from refmaker.stores.request import Head


def admitted(head: Head) -> int:
    return head.length or 0


def test_a_filesystem_without_coroutines_is_asked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/of-fsspec", b"0123456789")
    threads: list[int] = []
    inner = filesystem.cat_file

    async def read() -> Any:
        file = FsspecFile(filesystem, "/of-fsspec")
        assert not belongs_here(filesystem)
        assert (await file.info())["size"] == 10
        return await file.request(2, 5, admitted), await file.request(0, None, admitted)

    def watched(*args: Any, **options: Any) -> bytes:
        threads.append(threading.get_ident())
        data: bytes = inner(*args, **options)
        return data

    monkeypatch.setattr(filesystem, "cat_file", watched, raising=False)
    part, whole = asyncio.run(read())
    assert (part.data, part.head.part, part.head.place) == (b"234", True, (2, 5))
    assert (whole.data, whole.head.part) == (b"0123456789", False)
    assert threads
    assert threading.get_ident() not in threads


def test_what_is_refused_is_not_given() -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/of-fsspec", b"0123456789")

    def refuse(head: Head) -> int:
        raise LookupError(head.shown)

    with pytest.raises(LookupError, match="3 bytes"):
        asyncio.run(FsspecFile(filesystem, "/of-fsspec").request(2, 5, refuse))


def test_coroutines_are_awaited_where_they_belong() -> None:
    class Mine:
        async_impl, asynchronous = True, True

        async def _info(self, path: str) -> str:
            return f"awaited {path}"

    assert asyncio.run(call(Mine(), "info", "a")) == "awaited a"
