"""Manifests on their way into memory: loaded off the event loop, shared by all filesystems that replay them.

Contract: `load` returns at once with a future; the work is done in a thread of its own, so that neither an event loop
nor its pool of threads can wait for itself. A manifest that was loaded before is taken again only if it has not
changed since: by the times, size and inode of a local file, by what the store says of any other.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from refmaker.codecs.allowed import unknown_codecs
from refmaker.errors import RefmakerError, SourceError
from refmaker.kerchunk.cache import local_state, open_cached
from refmaker.kerchunk.json_writer import read_json
from refmaker.kerchunk.open import head_file, is_parquet
from refmaker.manifest.manifest import Manifest
from refmaker.replay.listing import Listing
from refmaker.replay.lookup import ChunkRef, Lookup
from refmaker.urls import is_local, locate

__all__ = ["LoadedManifest", "load", "without_unknown_codecs"]

T = TypeVar("T")

_READERS = 8
"""Shards that are read at a time."""

KEPT = 8
"""Manifests that are kept when no filesystem replays them: unpickled filesystems come and go with every task."""

_MARKS = ("ETag", "etag", "LastModified", "Last-Modified", "last_modified", "updated", "mtime", "generation", "created")
"""What stores call the version of a file."""


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """A manifest ready for replay. `location` is None for one made in memory."""

    location: str | None
    lookup: Lookup
    listing: Listing

    async def find(self, keys: Sequence[str]) -> list[bytes | ChunkRef | Exception]:
        """Return what `Lookup.find` does for each key, or its error; shards are read off the event loop."""
        if not self.lookup.sharded or all(map(self.lookup.is_loaded, keys)):
            return self._find(keys)
        return await self.run(self._find, keys)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function that looks at columns: in a thread where it may have to read shards."""
        if not self.lookup.sharded:
            return function(*args)
        return await asyncio.wrap_future(_readers().submit(function, *args))

    def fetch(self, function: Callable[[], object]) -> None:
        """Have a function called that reads shards, whatever comes of it."""
        _readers().submit(function)

    def _find(self, keys: Sequence[str]) -> list[bytes | ChunkRef | Exception]:
        found: list[bytes | ChunkRef | Exception] = []
        for key in keys:
            try:
                found.append(self.lookup.find(key))
            except (FileNotFoundError, RefmakerError) as error:
                found.append(error)
        return found


class _Cache:
    """Loaded manifests by location and options, the one used last at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.busy: dict[Hashable, threading.Lock] = {}
        self.opened: OrderedDict[Hashable, tuple[Hashable, LoadedManifest]] = OrderedDict()

    def get(self, location: str, options: Mapping[str, Any]) -> LoadedManifest:
        """Load a manifest, or give it from memory. Callers in other threads wait for one that loads the same."""
        key = (location, repr(sorted(options.items())))
        with self.lock:
            busy = self.busy.setdefault(key, threading.Lock())
        with busy:
            state = _state(location, options)
            known, opened = self.opened.get(key, (None, None))
            if opened is None or state is None or state != known:
                opened = _opened(open_cached(location, options, state), location)
            with self.lock:
                self.opened[key] = (state, opened)
                self.opened.move_to_end(key)
                while len(self.opened) > KEPT:
                    self.busy.pop(self.opened.popitem(last=False)[0], None)
        return opened


_cache = _Cache()


_pool: ThreadPoolExecutor | None = None


def _readers() -> ThreadPoolExecutor:
    """Return the threads that read shards: not those of an event loop, which reading from afar may need."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_READERS, "refmaker-shards")
    return _pool


def _forget() -> None:
    """Start afresh in a forked process: a lock may have been held by a thread that is not there."""
    global _cache, _pool
    _cache, _pool = _Cache(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def load(
    manifest: str | os.PathLike[str] | Mapping[str, Any] | Manifest | None,
    protocol: str | None,
    options: Mapping[str, Any],
) -> Future[LoadedManifest]:
    """Begin to load a manifest.

    Parameters
    ----------
    manifest
        Path or url of it, the reference document as a dict, or the manifest itself.
    protocol, options
        How to open a path or url, for fsspec.

    Returns
    -------
    future
        Ends in `SourceError` where the manifest cannot be fetched, in `ManifestError` where it is malformed.
    """
    worker = ThreadPoolExecutor(1, "refmaker")
    try:
        return worker.submit(_load, manifest, protocol, options)
    finally:
        worker.shutdown(wait=False)


def _load(manifest: Any, protocol: str | None, options: Mapping[str, Any]) -> LoadedManifest:
    if isinstance(manifest, Manifest):
        return _opened(manifest, None)
    if isinstance(manifest, Mapping):
        return _opened(read_json(json.dumps(manifest, default=_text).encode(), source="manifest in memory"), None)
    if not isinstance(manifest, str | os.PathLike):
        raise SourceError("no manifest: give its path or url as `fo`", got=type(manifest).__name__)
    options = {name: value for name, value in options.items() if name != "asynchronous"}
    if protocol is not None:
        options["protocol"] = protocol
    location = locate(os.fspath(manifest), protocol)
    if is_local(location) and set(options) <= {"protocol"}:
        options = {}
    return _cache.get(location, options)


def _text(value: object) -> str:
    """Spell data that a reference document made in memory may hold as bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"a reference document cannot hold {type(value).__name__}")
    return f"base64:{b64encode(value).decode()}"


def _opened(manifest: Manifest, location: str | None) -> LoadedManifest:
    lookup = Lookup(manifest)
    return LoadedManifest(None if location is None else location.rstrip("/"), lookup, Listing(lookup))


def without_unknown_codecs(opened: LoadedManifest) -> LoadedManifest:
    """Return a manifest from elsewhere without the arrays whose codecs are none that it may name."""
    withheld = {}
    for path, array in opened.lookup.manifest.arrays.items():
        unknown = unknown_codecs(array.metadata.document)
        if unknown:
            withheld[path] = (
                f"the codec {unknown[0][:80]!r} is none that a manifest from elsewhere may name; give allow_local=True "
                "if you trust it"
            )
    if not withheld:
        return opened
    lookup = Lookup(opened.lookup.manifest, withheld)
    return LoadedManifest(opened.location, lookup, Listing(lookup))


def _state(location: str, options: Mapping[str, Any]) -> Hashable | None:
    """Return what tells a version of a manifest from the next, None where nothing does."""
    parquet = is_parquet(location, options)
    if is_local(location):
        try:
            status = os.stat(head_file(location, parquet=parquet))
        except OSError as error:
            raise SourceError(f"cannot read the manifest: {error.strerror}", source=location) from error
        return local_state(status)
    import fsspec

    options = {name: value for name, value in options.items() if name != "compression"}
    try:
        filesystem, path = fsspec.core.url_to_fs(location, **options)
        filesystem.invalidate_cache()
        info = filesystem.info(head_file(path, parquet=parquet))
    except Exception as error:  # every filesystem raises errors of its own
        cause = f"{type(error).__name__}: {error}"
        raise SourceError(f"cannot read the manifest: {cause}", source=location) from error
    found = tuple((mark, str(info[mark])) for mark in _MARKS if info.get(mark))
    return (*found, info.get("size")) if found else None
