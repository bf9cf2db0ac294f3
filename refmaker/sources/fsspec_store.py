"""Files behind any other filesystem of fsspec: gcs, abfs, memory, zip, sftp, chains.

Contract: see `refmaker.sources.async_store`. Size and version are what the filesystem says at the beginning and at the
end; ranges are checked for their length. An asynchronous filesystem is asked concurrently. A synchronous one is asked
by its `cat_ranges` and has times and attempts of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.retry import retry_after
from refmaker.sources.async_store import NO_SIZE, AsyncStore, cause_of
from refmaker.sources.range_planner import Rates
from refmaker.stores.fsspec import FsspecFile
from refmaker.stores.request import Answer, Head

__all__ = ["FsspecStore", "FsspecSyncStore"]


class FsspecStore(AsyncStore):
    """A file of an asynchronous filesystem."""

    def __init__(self, url: str, file: FsspecFile) -> None:
        super().__init__(url, file)
        self.file: FsspecFile = file

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """See `AsyncStore.first`: version and beginning are asked for at once."""
        began = perf_counter()
        beginning = self.file.request(0, size, _any)
        asked: Any = asyncio.gather(self.file.info(), beginning, return_exceptions=True)
        info, answer = await asked
        if isinstance(info, BaseException):
            raise info
        self.rates.note(perf_counter() - began)
        version = opened_version(self.url, info)
        # What went wrong with the beginning, or is of another length, shows when it is asked for again in its round.
        whole = isinstance(answer, Answer) and len(answer.data) == min(size, version.known_size)
        return version, answer.data if whole else b""

    async def range(self, start: int, stop: int) -> bytes:
        """See `AsyncStore.range`."""
        answer = await self.file.request(start, stop, _any)
        self.rates.note(answer.waited)
        return answer.data

    async def verify(self, time: asyncio.Timeout) -> None:
        """See `AsyncStore.verify`."""
        try:
            info = await self.file.info(fresh=True)
        except Exception as error:  # every filesystem raises errors of its own
            if retry_after(error) is not None:
                raise
            raise _went_away(self.url, error) from error
        check_unchanged(self.url, self.version, FileVersion.of(info))


def _any(head: Head) -> int:
    """Take whatever came: the length is checked afterwards, and nothing else is known."""
    return head.length or 0


class FsspecSyncStore:
    """A file of a synchronous filesystem."""

    concurrency = 1

    def __init__(self, url: str, filesystem: Any, path: str) -> None:
        self.url = url
        self.filesystem = filesystem
        self.path = path
        self.version = FileVersion()
        self.rates = Rates()

    def open(self, size: int) -> tuple[FileVersion, bytes]:
        """See `Store.open`: the beginning is left to the first round."""
        began = perf_counter()
        try:
            info = self.filesystem.info(self.path)
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {cause_of(error)}", source=self.url) from error
        self.rates.note(perf_counter() - began)
        self.version = opened_version(self.url, info)
        return self.version, b""

    def read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """See `Store.read`."""
        paths = [self.path] * len(starts)
        try:
            pieces = self.filesystem.cat_ranges(paths, list(starts), list(stops), on_error="return")
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be read: {cause_of(error)}", source=self.url) from error
        if not isinstance(pieces, Sequence) or len(pieces) != len(starts):
            raise SourceError("the filesystem gave something else than the ranges", source=self.url)
        for start, stop, piece in zip(starts, stops, pieces, strict=True):
            where = f"bytes {start} to {stop}"
            if isinstance(piece, BaseException):
                raise SourceError(f"{where} cannot be read: {cause_of(piece)}", source=self.url) from piece
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise SourceError(f"{where} came back as {type(piece).__name__}", source=self.url)
            if len(piece) != stop - start:
                raise SourceError(
                    f"{where} came back with another length: is it a server that ignores ranges, or a changed file?",
                    source=self.url,
                    expected=stop - start,
                    got=len(piece),
                )
        return [bytes(piece) for piece in pieces]

    def check(self) -> None:
        """See `Store.check`."""
        try:
            self.filesystem.invalidate_cache()
            info = self.filesystem.info(self.path)
        except Exception as error:  # every filesystem raises errors of its own
            raise _went_away(self.url, error) from error
        check_unchanged(self.url, self.version, FileVersion.of(info))


def opened_version(url: str, info: Mapping[str, Any]) -> FileVersion:
    """Read what a filesystem says of a file.

    Raises
    ------
    SourceError
        If it is a directory, or its size is not known.
    FormatError
        If it is empty.
    """
    size = info.get("size")
    if info.get("type") == "directory":
        raise SourceError("cannot be read: it is a directory", source=url)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise SourceError(NO_SIZE, source=url)
    if size == 0:
        raise FormatError("the file is empty", structure="superblock", address=0, source=url)
    return FileVersion.of(info)


def _went_away(url: str, error: Exception) -> TargetChanged:
    return TargetChanged(f"the file went away: {cause_of(error)}", source=url)
