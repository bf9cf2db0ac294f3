"""Sources behind any fsspec filesystem: http, s3, gcs, abfs, memory, zip, chains.

Contract: see `refmaker.sources.source.Source`. All that a round missed is merged into few ranges and fetched with one
`cat_ranges`, which asynchronous filesystems serve concurrently; every answer is checked for its length. Failures
of any kind are `SourceError`s that name url and range.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.ranges import coalesce
from refmaker.sources.pages import PagesWindow
from refmaker.sources.source import Identity
from refmaker.window import MissingBytes, Window

__all__ = ["RemoteSource"]

GAP = 1 << 18
BLOCK = 1 << 23


@dataclass(slots=True)
class RemoteSource:
    """A file behind an fsspec filesystem."""

    pages: PagesWindow
    identity: Identity
    filesystem: Any
    path: str

    @property
    def window(self) -> Window:
        """See `Source.window`."""
        return self.pages

    @staticmethod
    def open(url: str, storage_options: Mapping[str, Any] | None) -> RemoteSource:
        """Look the file up. Raises `SourceError` if it cannot be reached or its size is not known."""
        import fsspec

        try:
            filesystem, path = fsspec.core.url_to_fs(url, **dict(storage_options or {}))
            info = filesystem.info(path)
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {_cause(error)}", source=url) from error
        identity = _identity(url, info)
        return RemoteSource(PagesWindow(identity.size), identity, filesystem, path)

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """See `Source.fetch`."""
        addresses = np.concatenate([m.addresses for m in missing])
        sizes = np.concatenate([m.sizes for m in missing])
        starts, stops = coalesce(addresses, addresses + sizes, gap=GAP, block=BLOCK)
        first, last = starts.tolist(), stops.tolist()
        try:
            blocks = self.filesystem.cat_ranges([self.path] * len(first), first, last, on_error="return")
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be read: {_cause(error)}", source=self.identity.url) from error
        for start, stop, block in zip(first, last, blocks, strict=True):
            where = f"bytes {start} to {stop}"
            if isinstance(block, BaseException):
                raise SourceError(f"{where} cannot be read: {_cause(block)}", source=self.identity.url) from block
            if len(block) != stop - start:
                raise SourceError(
                    f"{where} came back with another length: is it a server that ignores ranges, or a changed file?",
                    source=self.identity.url,
                    expected=stop - start,
                    got=len(block),
                )
            self.pages.store(start, bytes(block))

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: size, and ETag or modification time where the store has them."""
        try:
            self.filesystem.invalidate_cache()
            info = self.filesystem.info(self.path)
        except Exception as error:  # every filesystem raises errors of its own
            raise TargetChanged(f"the file went away: {_cause(error)}", source=self.identity.url) from error
        now = _identity(self.identity.url, info)
        if now != self.identity:
            raise TargetChanged(
                "the file changed while it was scanned; scan it again",
                source=self.identity.url,
                expected=self.identity,
                got=now,
            )


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


def _identity(url: str, info: Mapping[str, Any]) -> Identity:
    size = info.get("size")
    if info.get("type") == "directory":
        raise SourceError("cannot be read: it is a directory", source=url)
    if not isinstance(size, int):
        raise SourceError("the server does not tell the file's size; download it and scan the copy", source=url)
    if size == 0:
        raise FormatError("the file is empty", structure="superblock", address=0, source=url)
    etag = next((str(info[k]) for k in ("ETag", "etag") if info.get(k)), None)
    keys = ("mtime", "LastModified", "last_modified", "updated", "created")
    return Identity(url, size, etag, next((t for k in keys if (t := _seconds(info.get(k))) is not None), None))


def _seconds(value: object) -> float | None:
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return None
