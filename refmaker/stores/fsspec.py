"""Files in any filesystem of fsspec, which gives bytes and says nothing of them.

Contract: see `refmaker.stores.request`; heads of answers only say which range came. What version the file is of has to
be asked for (`version`). A coroutine is awaited where it belongs to the running loop; all else is called in a thread.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from refmaker.file_version import FileVersion
from refmaker.stores.answers import as_bytes
from refmaker.stores.request import Admit, Answer, Came, Head

__all__ = ["FsspecFile", "belongs_here", "call"]


class FsspecFile:
    """A file in a filesystem."""

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
        """See `RangeFile.request`. No version can be asked for: `match` is passed over."""
        began = perf_counter()
        asked = {} if stop is None else {"start": start, "end": stop}
        data = as_bytes(await call(self.filesystem, "cat_file", self.path, **asked))
        head = Head(stop is not None, (start, start + len(data)), FileVersion(), len(data), f"{len(data)} bytes")
        admit(head)
        return Answer(head, data, perf_counter() - began, 0.0)

    async def info(self, *, fresh: bool = False) -> Any:
        """Ask what the filesystem says of the file; `fresh`: now, and not of a listing that it kept."""
        if fresh:
            self.filesystem.invalidate_cache()
        return await call(self.filesystem, "info", self.path)


async def call(filesystem: Any, method: str, *args: Any, **options: Any) -> Any:
    """Call a method of any filesystem from the running loop: directly where it belongs here, else in a thread."""
    if belongs_here(filesystem):
        return await getattr(filesystem, f"_{method}")(*args, **options)
    return await asyncio.to_thread(getattr(filesystem, method), *args, **options)


def belongs_here(filesystem: Any) -> bool:
    """Return whether the coroutines of a filesystem can be awaited in the running loop."""
    return bool(filesystem.async_impl and (filesystem.asynchronous or filesystem.loop is asyncio.get_running_loop()))
