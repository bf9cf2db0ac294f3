"""Manifests on their way into memory: loaded off the event loop, shared by all filesystems that replay them.

Contract: `load` returns at once with a future; the work is done in a thread of its own, so that neither an event loop
nor its pool of threads can wait for itself. A manifest that was loaded before is taken again only if it has not
changed since: by the times, size and inode of a local file, by what the store says of any other.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from refmaker.codecs.allowed import unknown_codecs
from refmaker.errors import ManifestError, RefmakerError, SourceError, cause_of
from refmaker.file_version import is_weak
from refmaker.kerchunk.cache import local_state, open_cached
from refmaker.kerchunk.fetch import load_bytes
from refmaker.kerchunk.open import head_file, is_parquet
from refmaker.kerchunk.reference_document import (
    MetadataElsewhereError,
    Reading,
    as_text,
    metadata_elsewhere,
    read_document,
)
from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.references import ByteRange
from refmaker.replay.listing import Listing
from refmaker.replay.lookup import Lookup, ResolvedKey
from refmaker.urls import filesystem_of, is_local, locate

__all__ = ["LoadedManifest", "Pending", "load", "load_document", "manifest_state", "without_unknown_codecs"]

_FOR_JSON = "template_overrides= and target= are for kerchunk JSON"

T = TypeVar("T")

MissingShards: TypeAlias = Literal["error", "empty"]

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

    async def recorded(self, keys: Sequence[ResolvedKey]) -> list[bytes | ByteRange | Exception]:
        """Return what `Lookup.recorded` does for each key, or its error; shards are read off the event loop."""
        if not self.lookup.sharded or all(map(self.lookup.is_loaded, keys)):
            return self._recorded(keys)
        return await self.run(self._recorded, keys)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function that looks at columns: in a thread where it may have to read shards."""
        if not self.lookup.sharded:
            return function(*args)
        return await asyncio.wrap_future(_readers().submit(function, *args))

    def fetch(self, function: Callable[[], object]) -> None:
        """Have a function called that reads shards, whatever comes of it."""
        _readers().submit(function)

    def _recorded(self, keys: Sequence[ResolvedKey]) -> list[bytes | ByteRange | Exception]:
        found: list[bytes | ByteRange | Exception] = []
        for key in keys:
            try:
                found.append(self.lookup.recorded(key))
            except (FileNotFoundError, RefmakerError) as error:
                found.append(error)
        return found


@dataclass(frozen=True, slots=True)
class Pending:
    """A manifest whose metadata stand in other files: `wanted` says where, in `targets`, by key."""

    data: bytes
    location: str | None
    reading: Reading
    targets: list[Target]
    wanted: dict[str, ByteRange]

    def opened(self, metadata: Mapping[str, bytes]) -> LoadedManifest:
        """Open it with the metadata that were read."""
        found = _document(self.data, self.location, replace(self.reading, metadata=metadata), False)
        if isinstance(found, Pending):
            raise TypeError("metadata elsewhere were not asked for")
        return found


class _Cache:
    """Loaded manifests by location and options, the one used last at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.busy: dict[Hashable, threading.Lock] = {}
        self.opened: OrderedDict[Hashable, tuple[Hashable, LoadedManifest]] = OrderedDict()

    def get(self, location: str, options: Mapping[str, Any], missing_shards: MissingShards) -> LoadedManifest:
        """Load a manifest, or give it from memory. Callers in other threads wait for one that loads the same."""
        key = (location, repr(sorted(options.items())), missing_shards)
        with self.lock:
            busy = self.busy.setdefault(key, threading.Lock())
        with busy:
            try:
                state = manifest_state(location, options)
                known, opened = self.opened.get(key, (None, None))
                if opened is None or state is None or state != known:
                    opened = _opened(open_cached(location, options, state, missing_shards), location)
            except BaseException:
                if key not in self.opened:
                    self.busy.pop(key, None)
                raise
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
    missing_shards: MissingShards = "error",
) -> Future[LoadedManifest]:
    """Begin to load a manifest.

    Parameters
    ----------
    manifest
        Path or url of it, the reference document as a dict, or the manifest itself.
    protocol, options
        How to open a path or url, for fsspec.
    missing_shards
        For `open_manifest`.

    Returns
    -------
    future
        Ends in `SourceError` where the manifest cannot be fetched, in `ManifestError` where it is malformed.
    """
    worker = ThreadPoolExecutor(1, "refmaker")
    try:
        return worker.submit(_load_whole, manifest, protocol, options, missing_shards)
    finally:
        worker.shutdown(wait=False)


def load_document(
    manifest: str | os.PathLike[str] | Mapping[str, Any] | Manifest | None,
    protocol: str | None,
    options: Mapping[str, Any],
    reading: Reading,
) -> Future[LoadedManifest | Pending]:
    """Begin to load a manifest as its opener asks for; see `load`. Metadata of it may have to be read first."""
    worker = ThreadPoolExecutor(1, "refmaker")
    try:
        return worker.submit(_load, manifest, protocol, options, reading, True)
    finally:
        worker.shutdown(wait=False)


def _load_whole(
    manifest: Any, protocol: str | None, options: Mapping[str, Any], missing_shards: MissingShards
) -> LoadedManifest:
    opened = _load(manifest, protocol, options, Reading(missing_shards=missing_shards), False)
    if isinstance(opened, Pending):
        raise TypeError("metadata elsewhere were not asked for")
    return opened


def _load(
    manifest: Any, protocol: str | None, options: Mapping[str, Any], reading: Reading, elsewhere: bool
) -> LoadedManifest | Pending:
    if isinstance(manifest, Manifest):
        if reading.template_overrides or reading.target is not None:
            raise ManifestError(f"{_FOR_JSON}: not for a Manifest, which is read already")
        return _opened(manifest, None)
    if isinstance(manifest, Mapping):
        return _document(as_text(manifest), None, reading, elsewhere)
    if not isinstance(manifest, str | os.PathLike):
        raise SourceError("no manifest: give its path or url as `fo`", got=type(manifest).__name__)
    options = {name: value for name, value in options.items() if name != "asynchronous"}
    if protocol is not None:
        options["protocol"] = protocol
    location = locate(os.fsdecode(manifest), protocol)
    if is_local(location) and set(options) <= {"protocol"}:
        options = {}
    if reading.is_plain:
        try:
            return _cache.get(location, options, reading.missing_shards)
        except MetadataElsewhereError:
            if not elsewhere:
                raise
    elif is_parquet(location, options):
        if reading.template_overrides or reading.target is not None:
            raise ManifestError(f"{_FOR_JSON}: a Parquet set has neither templates nor null urls", source=location)
        return _cache.get(location, options, reading.missing_shards)  # whose every reference is one of a chunk
    return _document(load_bytes(location, storage_options=options), location, reading, elsewhere)


def _document(data: bytes, location: str | None, reading: Reading, elsewhere: bool) -> LoadedManifest | Pending:
    """Open kerchunk JSON; return it as it is where metadata of it stand elsewhere."""
    source = "manifest in memory" if location is None else location
    try:
        manifest, loose = read_document(data, source, reading)
    except MetadataElsewhereError:
        if not elsewhere or reading.metadata:
            raise
        return Pending(data, location, reading, *metadata_elsewhere(data, source, reading))
    return _opened(manifest, location, loose)


def _opened(manifest: Manifest, location: str | None, loose: Mapping[str, ByteRange] | None = None) -> LoadedManifest:
    lookup = Lookup(manifest, loose=loose)
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
    lookup = Lookup(opened.lookup.manifest, withheld, opened.lookup.loose)
    return LoadedManifest(opened.location, lookup, Listing(lookup))


def manifest_state(location: str, options: Mapping[str, Any]) -> Hashable | None:
    """Return what tells a version of a manifest from the next, None where nothing does."""
    parquet = is_parquet(location, options)
    if is_local(location):
        try:
            status = os.stat(head_file(location, parquet=parquet))
        except OSError as error:
            raise SourceError(f"cannot read the manifest: {error.strerror}", source=location) from error
        return local_state(status)
    options = {name: value for name, value in options.items() if name != "compression"}
    try:
        filesystem, path = filesystem_of(location, options)
        filesystem.invalidate_cache()
        info = filesystem.info(head_file(path, parquet=parquet))
    except Exception as error:  # every filesystem raises errors of its own
        cause = cause_of(error)
        raise SourceError(f"cannot read the manifest: {cause}", source=location) from error
    found = tuple((mark, str(info[mark])) for mark in _MARKS if info.get(mark))
    # Of versions behind one weak ETag nobody knows whether they are the same.
    tells = any(mark.lower() != "etag" or not is_weak(value) for mark, value in found)
    return (*found, info.get("size")) if tells else None
