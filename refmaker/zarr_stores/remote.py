"""Zarr stores behind any filesystem of fsspec: object stores, which are listed, and web servers, which list nothing.

Contract: see `zarr_stores.store.Store`. Of a server that lists nothing, every chunk is asked for by name; what is not
there, and only that, is a chunk that is missing: any other failure is an error. Reads go out together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refmaker import limits
from refmaker.errors import FormatError, SourceError, cause_of
from refmaker.file_version import FileVersion, Target, check_unchanged
from refmaker.urls import filesystem_of, protocol_of
from refmaker.zarr_stores.store import Entry, Range, check_count

__all__ = ["RemoteStore"]

_UNLISTED = ("http", "https")
_MARKS = (".zmetadata", "zarr.json", ".zgroup", ".zarray", ".zattrs")


@dataclass(slots=True)
class RemoteStore:
    """A folder of a filesystem of fsspec."""

    url: str
    filesystem: Any
    path: str
    listed: bool
    targets: list[Target] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    @staticmethod
    def open(url: str, options: Mapping[str, Any] | None) -> RemoteStore | None:
        """List a store; None where there are no metadata of one at this url."""
        base = url.rstrip("/")
        listed = protocol_of(url) not in _UNLISTED
        try:
            filesystem, path = filesystem_of(base, {} if options is None else options)
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {cause_of(error)}", source=url) from error
        store = RemoteStore(base, filesystem, path.rstrip("/"), listed)
        store.look_up(_MARKS)
        if not store.entries:
            return None
        if listed:
            store.entries, store.targets = {}, []
            store._list()
        return store

    def _list(self) -> None:
        try:
            found = self.filesystem.find(self.path, detail=True)
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be listed: {cause_of(error)}", source=self.url) from error
        check_count(len(found), self.url)
        head = self.path.strip("/") + "/"
        for name, info in found.items():
            plain = str(name).lstrip("/")
            if not plain.startswith(head):
                raise SourceError("the listing names files of another place", source=self.url, got=str(name)[:200])
            self._add(plain.removeprefix(head), info)

    def _add(self, key: str, info: Mapping[str, Any]) -> None:
        version = FileVersion.of(info, coarse=not self.listed)
        if version.size is None:
            raise SourceError("the server does not say how large the file is", path=key, source=self.url)
        self.entries[key] = Entry(len(self.targets), 0, version.size)
        self.targets.append(Target.of(f"{self.url}/{key}", version))

    def look_up(self, keys: Iterable[str]) -> None:
        """See `Store.look_up`."""
        wanted = [key for key in keys if key not in self.entries]
        if len(wanted) + len(self.targets) > limits.STORE_REQUESTS:
            message = "the server lists nothing, and there are more chunks than are asked for one by one"
            raise FormatError(message, source=self.url, expected=f"<= {limits.STORE_REQUESTS}", got=len(wanted))
        for key, info in zip(wanted, self._infos([f"{self.path}/{key}" for key in wanted]), strict=True):
            if isinstance(info, Mapping):
                if info.get("type", "file") == "file":
                    self._add(key, info)
            elif not _says_missing(info):
                raise SourceError(f"cannot be reached: {cause_of(info)}", path=key, source=self.url) from info

    def _infos(self, paths: Sequence[str]) -> list[Any]:
        """Return what the filesystem says of files, or the errors, asynchronous ones many at a time."""
        if self.filesystem.async_impl:
            from fsspec.asyn import _run_coros_in_chunks, sync

            asked = [self.filesystem._info(path) for path in paths]
            found: list[Any] = sync(
                self.filesystem.loop, _run_coros_in_chunks, asked, batch_size=64, return_exceptions=True
            )
            return found
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> Any:
        try:
            return self.filesystem.info(path)
        except FileNotFoundError as error:
            return error
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {cause_of(error)}", source=self.url) from error

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Store.read`."""
        if not ranges:
            return []
        paths = [f"{self.path}/{one.key}" for one in ranges]
        starts, stops = [one.start for one in ranges], [one.start + one.size for one in ranges]
        self.used |= {self.entries[one.key].target for one in ranges}
        try:
            pieces = self.filesystem.cat_ranges(paths, starts, stops, on_error="return")
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be read: {cause_of(error)}", source=self.url) from error
        for one, piece in zip(ranges, pieces, strict=True):
            if isinstance(piece, BaseException):
                message = f"cannot be read: {cause_of(piece)}"
                raise SourceError(message, path=one.key, address=one.start, source=self.url) from piece
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise SourceError(f"came back as {type(piece).__name__}", path=one.key, source=self.url)
        return [bytes(piece) for piece in pieces]

    def check_unchanged(self) -> None:
        """See `Store.check_unchanged`."""
        self.filesystem.invalidate_cache()
        codes = sorted(self.used)
        paths = [f"{self.path}{self.targets[code].url.removeprefix(self.url)}" for code in codes]
        for code, info in zip(codes, self._infos(paths), strict=True):
            target = self.targets[code]
            if not isinstance(info, Mapping):
                raise SourceError(f"cannot be reached: {cause_of(info)}", source=target.url) from info
            check_unchanged(target.url, target.version, FileVersion.of(info, coarse=not self.listed))


def _says_missing(error: BaseException) -> bool:
    """Return whether a file is known not to be there: fsspec has one error for all that goes wrong over HTTP."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return False
    first = error
    while first.__cause__ is not None:
        first = first.__cause__  # type: ignore[assignment]
    status = getattr(first, "status", None)
    return status in (404, 410) if status is not None else isinstance(first, FileNotFoundError | NotADirectoryError)
