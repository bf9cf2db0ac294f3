"""Large JSON manifests as columns on the disk, so that each is parsed once on a machine.

Contract: an entry is named by the SHA-256 of the manifest's bytes, and by the version that parsed them; it can be
thrown away at any time. Which content a location had is remembered as long as the location says that it has not
changed: size, times and inode of a local file that was not written to just now, the ETag of any other. Processes that
open the same manifest wait for the one that parses it. Whatever is wrong with the cache (no room, not writable,
damaged, of another user), manifests are read as if there were none.

The folder is `$REFMAKER_CACHE_DIR`, by default `refmaker` in `$XDG_CACHE_HOME` or `~/.cache`; an empty
`REFMAKER_CACHE_DIR` turns the cache off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Literal

from refmaker import limits
from refmaker._version import __version__
from refmaker.atomic import atomic_write
from refmaker.errors import ManifestError, OutputError, SourceError
from refmaker.file_version import is_weak
from refmaker.kerchunk.cache_file import FORMAT, read_columns, write_columns
from refmaker.kerchunk.compression import unpacked
from refmaker.kerchunk.fetch import fetch
from refmaker.kerchunk.json_reader import read_json
from refmaker.kerchunk.open import is_parquet, open_manifest
from refmaker.manifest.manifest import Manifest

__all__ = ["cache_folder", "local_state", "open_cached"]

MIN_SIZE = 1 << 20
"""Bytes of a manifest as it is stored, below which parsing it is as fast as looking for it."""

ROOM = limits.CACHE_ROOM
"""Bytes of all entries; those that were not used for longest go first."""

SETTLED = 2.0
"""Seconds: a local file that was changed more recently can change again and look the same."""

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process that parses the same manifest."""

_ENTRY, _SEEN, _LOCK = ".columns", ".seen", ".lock"


def open_cached(
    location: str,
    options: Mapping[str, Any],
    state: Hashable | None,
    missing_shards: Literal["error", "empty"] = "error",
) -> Manifest:
    """Open a manifest, from the cache where it is there; put it there where it is large.

    Parameters
    ----------
    location, options
        Absolute path or url, and options for its filesystem.
    state
        What tells this version of the manifest from the next one; None where nothing does.
    missing_shards
        For `open_manifest`.
    """
    folder = cache_folder()
    if folder is None or is_parquet(location, options):
        return open_manifest(location, storage_options=options, missing_shards=missing_shards)
    seen = None if state is None else os.path.join(folder, _name(repr((location, state)).encode()) + _SEEN)
    known = None if seen is None else _seen_entry(folder, seen)
    if known is not None:
        return known
    read_at = time.time()
    try:
        data = fetch(location, options)
    except SourceError:
        # It may be a folder after all.
        return open_manifest(location, storage_options=options, missing_shards=missing_shards)
    if len(data) < MIN_SIZE:
        return read_json(unpacked(data, location), source=location)
    name = _name(data)
    entry = os.path.join(folder, name + _ENTRY)
    found = _entry(entry)
    if found is None:
        with _only_one(os.path.join(folder, name + _LOCK)):
            found = _entry(entry) or _parsed(data, location, entry)
        del data
        _give_back()
    if seen is not None and _is_settled(location, state, read_at):
        with contextlib.suppress(OutputError), atomic_write(seen, durable=False) as file:
            file.write(name.encode())
    return found


def local_state(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a version of a local file from the next."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def cache_folder() -> str | None:
    """Return the folder of the cache, made if it is not there; None where there is to be none, or can be none."""
    named = os.environ.get("REFMAKER_CACHE_DIR")
    if named == "":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.abspath(named or os.path.join(base, "refmaker"))
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.stat(folder)
    except OSError:
        return None
    if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022):
        return None  # others could have put anything there
    return folder


def _name(data: bytes) -> str:
    version = f"refmaker {__version__}, columns {FORMAT}\n".encode()
    return hashlib.sha256(version + hashlib.sha256(data).digest()).hexdigest()


def _seen_entry(folder: str, seen: str) -> Manifest | None:
    try:
        with open(seen, "rb") as file:
            name = file.read(65).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return _entry(os.path.join(folder, name + _ENTRY)) if len(name) == 64 and name.isalnum() else None


def _entry(path: str) -> Manifest | None:
    try:
        found = read_columns(path)
        os.utime(path)
    except OSError:
        return None
    except ManifestError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None
    return found


def _parsed(data: bytes, location: str, entry: str) -> Manifest:
    """Parse a manifest and keep it; give it as it will be found, mapped, where that can be."""
    found = read_json(unpacked(data, location), source=location)
    _keep(found, entry)
    return _entry(entry) or found


def _give_back() -> None:
    """Have the C library give free memory back to the system: parsing took several times what is left of it."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):  # there is one that can in glibc
        ctypes.CDLL(None).malloc_trim(0)


def _keep(manifest: Manifest, entry: str) -> None:
    if manifest.composites:
        return  # their columns are in the document, and as quickly read from there
    with contextlib.suppress(OutputError):
        write_columns(manifest, entry)
        _make_room(os.path.dirname(entry))


def _make_room(folder: str) -> None:
    """Remove the entries that were used longest ago, until the rest fits; and what only they gave sense to."""
    found = []
    with contextlib.suppress(OSError):
        for item in os.scandir(folder):
            with contextlib.suppress(OSError):
                found.append((item.stat().st_mtime, item.stat().st_size, item.path))
    total = sum(size for _, size, _ in found)
    for when, size, path in sorted(found):
        expired = path.endswith((_SEEN, _LOCK)) and time.time() - when > 30 * 86400
        if expired or (total > ROOM and path.endswith(_ENTRY)):
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def _is_settled(location: str, state: Hashable, read_at: float) -> bool:
    """Return whether a state stands for one content: then the content may be known by it."""
    if not os.path.isabs(location):
        marks = [mark for mark in state if isinstance(mark, tuple)] if isinstance(state, tuple) else []
        return any(mark[0] in ("ETag", "etag") and not is_weak(mark[1]) for mark in marks)
    try:
        status = os.stat(location)
    except OSError:
        return False
    return state == local_state(status) and read_at - max(status.st_mtime, status.st_ctime) > SETTLED


@contextlib.contextmanager
def _only_one(path: str) -> Iterator[None]:
    """Wait until no other process is in a block of the same lock, or patience ends: then both do the work."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
