"""Sources that a caller has at hand: bytes, an open file, a path in a filesystem of fsspec or in a store of obstore.

Contract: `open_object` returns a `Source` whose url is what the manifest refers to: the one given, else
the one that the object itself tells beyond doubt. Where it does not, and for what cannot be read at any position, a
`SourceError` says what to give. An open file is left at the position that it had.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import quote

from refmaker.errors import FormatError, SourceError
from refmaker.file_version import FileVersion
from refmaker.sources.local import LocalSource
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.memory_budget import MemoryBudget
from refmaker.urls import is_local, locate, protocol_of, text_of
from refmaker.window import MissingBytes, Source, Window

if TYPE_CHECKING:
    from refmaker.sources.remote import RemoteSource

__all__ = ["BinaryFile", "ReadableStore", "Scannable", "is_object", "open_object"]

_TOLD = frozenset({"memory", "http", "https", "s3", "s3a", "gs", "gcs"})
"""Filesystems whose paths say all that their urls do; others keep a host or an account to themselves."""


class BinaryFile(Protocol):
    """A file that is open to be read as bytes, and can be read at any position."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most `size` bytes."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Go to a position, and return it."""

    def tell(self) -> int:
        """Return the position."""


class ReadableStore(Protocol):
    """A store as obspec has it, and obstore: what is asked of it here."""

    def head(self, path: str) -> Any:
        """Return `size`, `e_tag` and `last_modified` of an object."""

    def get_ranges(self, path: str, *, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Any]:
        """Return ranges of an object."""


Scannable: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile
"""What can be scanned: a path or url, the bytes of a file, or a file that is open."""


def is_object(source: object, filesystem: object = None, store: object = None) -> bool:
    """Return whether a source is anything else than a path or url by itself."""
    return filesystem is not None or store is not None or not isinstance(source, str | os.PathLike)


def open_object(
    source: Scannable,
    *,
    url: str | os.PathLike[str] | None = None,
    filesystem: Any = None,
    store: ReadableStore | None = None,
    memory_budget: MemoryBudget | None = None,
) -> Source:
    """Open bytes, an open file, or a path in a filesystem or store.

    Parameters
    ----------
    source
        Bytes, an open file, or a path in `filesystem` or `store`.
    url
        What the manifest is to refer to; where an object tells its own, it may be left out.

    Raises
    ------
    SourceError
        The object cannot be read at any position, or it does not tell its url and none was given.
    FormatError
        It is empty.
    """
    if filesystem is not None and store is not None:
        raise TypeError("give a filesystem or a store, not both")
    known = None if url is None else locate(text_of(url))
    if isinstance(source, str | os.PathLike):
        if store is not None:
            return _in_store(os.fspath(source), known, store, memory_budget)
        return _in_filesystem(os.fspath(source), known, filesystem, memory_budget)
    if filesystem is not None or store is not None:
        raise TypeError(f"in a filesystem or store, a path is scanned, not {type(source).__name__}")
    if isinstance(source, bytes | bytearray | memoryview):
        return _BytesSource.of(bytes(source), _needed(known, "bytes"))
    return _in_file(source, known, memory_budget)


def _needed(url: str | None, what: str) -> str:
    if url is None:
        raise SourceError(f"{what} do not tell where they are from: give `url`, which the manifest is to refer to")
    return url


@dataclass(slots=True)
class _BytesSource:
    """A file of which all bytes are here."""

    window: Window
    url: str
    version: FileVersion

    @staticmethod
    def of(data: bytes, url: str) -> _BytesSource:
        if not data:
            raise FormatError("the file is empty", structure="superblock", address=0, source=url)
        return _BytesSource(MemoryWindow(data), url, FileVersion(len(data)))

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """Do nothing: all bytes are here."""

    def check_unchanged(self) -> None:
        """Do nothing: bytes do not change."""


def _in_filesystem(path: str, url: str | None, filesystem: Any, memory_budget: MemoryBudget | None) -> Source:
    from refmaker.sources.remote import RemoteSource, fitting_store

    if not hasattr(filesystem, "_strip_protocol"):
        raise TypeError(f"expected a filesystem of fsspec, got {type(filesystem).__name__}")
    inside = filesystem._strip_protocol(path)
    protocols = [filesystem.protocol] if isinstance(filesystem.protocol, str) else list(filesystem.protocol)
    if url is None and "file" in protocols:
        return LocalSource.open(inside)
    if url is None and not _TOLD.isdisjoint(protocols):
        url = path if protocol_of(path) in protocols else f"{protocols[0]}://{inside.lstrip('/')}"
    found = _needed(url, f"paths in a filesystem of {protocols[0]!r}")
    source = RemoteSource.over(found, fitting_store(found, filesystem, inside), memory_budget)
    return source if protocol_of(found) in protocols else _seen_elsewhere(source, protocols[0])


def _seen_elsewhere(source: RemoteSource, protocol: str | None) -> RemoteSource:
    """Leave out ETag and time of a copy on this machine: what stands at the url will have others."""
    if protocol in ("file", "memory") and protocol_of(source.url) != protocol:
        source.version = FileVersion(source.version.size)
    return source


def _in_store(path: str, url: str | None, store: ReadableStore, memory_budget: MemoryBudget | None) -> Source:
    from refmaker.sources.fsspec_store import FsspecSyncStore
    from refmaker.sources.remote import RemoteSource

    if not hasattr(store, "get_ranges") or not hasattr(store, "head"):
        raise TypeError(f"expected a store with `head` and `get_ranges`, got {type(store).__name__}")
    told = _url_in(store, path)
    if url is None and told is not None and is_local(told):
        return LocalSource.open(told)
    found = _needed(url or told, f"paths in a {type(store).__name__}")
    source = RemoteSource.over(found, FsspecSyncStore(found, _StoreFiles(store), path), memory_budget)
    return _seen_elsewhere(source, {"LocalStore": "file", "MemoryStore": "memory"}.get(type(store).__name__))


def _url_in(store: Any, path: str) -> str | None:
    """Return the url of a path in a store of obstore, None where it does not follow from what the store tells."""
    kind = type(store).__name__
    prefix = str(getattr(store, "prefix", None) or "").strip("/")
    below = "/".join(part for part in (prefix, path) if part)
    if kind == "LocalStore":
        return "/" + below if prefix else os.path.join("/", path)
    if kind == "HTTPStore" and quote(path) == path:
        return f"{str(store.url).rstrip('/')}/{path}"
    if kind in ("S3Store", "GCSStore"):
        bucket = dict(store.config).get("bucket")
        return f"{'s3' if kind == 'S3Store' else 'gs'}://{bucket}/{below}" if bucket else None
    return None


@dataclass(slots=True)
class _StoreFiles:
    """A store of obstore with the calls of a filesystem that a scan makes."""

    store: Any

    def info(self, path: str) -> dict[str, Any]:
        found = self.store.head(path)
        return {"size": found["size"], "etag": found.get("e_tag"), "last_modified": found.get("last_modified")}

    def cat_ranges(self, paths: list[str], starts: list[int], stops: list[int], on_error: str) -> list[bytes]:
        pieces = self.store.get_ranges(paths[0], starts=starts, ends=stops) if paths else []
        return [bytes(memoryview(piece)) for piece in pieces]

    def invalidate_cache(self) -> None:
        """Do nothing: a store keeps no listings."""


def _in_file(file: Any, url: str | None, memory_budget: MemoryBudget | None) -> Source:
    from refmaker.sources.fsspec_store import FsspecSyncStore
    from refmaker.sources.remote import RemoteSource

    if not all(hasattr(file, name) for name in ("read", "seek", "tell")):
        kind = type(file).__name__
        raise TypeError(f"expected a path, a url, bytes or a file opened to be read, got {kind}")
    if isinstance(file, io.TextIOBase):
        raise TypeError("the file is open as text: open it with mode 'rb'")
    if url is None:
        path = _path_of(file)
        if path is not None:
            return LocalSource.open(path)
        if _is_plain_remote(file):
            return _in_filesystem(file.path, None, file.fs, memory_budget)
    found = _needed(url, f"files of the type {type(file).__name__}")
    return RemoteSource.over(found, FsspecSyncStore(found, _OpenFile(file, threading.Lock()), found), memory_budget)


def _is_plain_remote(file: Any) -> bool:
    """Return whether a file of fsspec shows the bytes of its path: not unpacked, and no copy of another file."""
    from fsspec.spec import AbstractBufferedFile

    return isinstance(file, AbstractBufferedFile) and getattr(file, "compression", None) is None


def _path_of(file: Any) -> str | None:
    """Return the path of an open file of this machine, None where another file stands there, or none.

    What unpacks a file has the name of what it unpacks: only the system's own files count.
    """
    inner = getattr(file, "file", file)  # of tempfile's wrapper
    raw = getattr(inner, "raw", inner)
    if not isinstance(raw, io.FileIO) or not isinstance(raw.name, str | bytes):
        return None
    path = os.path.abspath(os.fsdecode(raw.name))
    try:
        same = os.path.samestat(os.stat(path), os.fstat(raw.fileno()))
    except OSError:
        return None
    return path if same and is_local(path) else None


@dataclass(slots=True)
class _OpenFile:
    """An open file with the calls of a filesystem that a scan makes."""

    file: Any
    lock: threading.Lock

    def info(self, path: str) -> dict[str, Any]:
        with self.lock:
            before = self.file.tell()
            try:
                return {"size": int(self.file.seek(0, os.SEEK_END))}
            finally:
                self.file.seek(before)

    def cat_ranges(self, paths: list[str], starts: list[int], stops: list[int], on_error: str) -> list[bytes]:
        with self.lock:
            before = self.file.tell()
            try:
                return [self._range(start, stop) for start, stop in zip(starts, stops, strict=True)]
            finally:
                self.file.seek(before)

    def _range(self, start: int, stop: int) -> bytes:
        self.file.seek(start)
        parts: list[bytes] = []
        while start < stop and (part := self.file.read(stop - start)):  # a raw file may give less at a time
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def invalidate_cache(self) -> None:
        """Do nothing: an open file stays what it is."""
