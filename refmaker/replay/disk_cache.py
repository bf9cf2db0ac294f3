"""Ranges of targets that are kept in a folder, for later readers and for other processes of this machine.

Contract: what is found has the bytes that were put in, of exactly the version of the target that is asked for, or it is
not found; nothing here raises for what stands in the folder. Files appear under their names whole, so that a kill
leaves nothing but a file that the next trim removes; what a crash of the machine, a bad disk or a full one does to them
fails the checksums, and such a file is removed and read from the target again. The folder stays below a limit: what was
used longest ago goes first. The folder is trusted as its owner is: it is made for the owner alone.

Each target has a folder, named by what tells its version from any other; in it each file has one range and its name:

| bytes | field |
|---|---|
| 8 | magic: `RMRANGE1` |
| 32 | SHA-256 of the version of the target, as in the name of the folder |
| 8, 8 | start, stop of the range |
| 4 each | CRC-32 of each 64 KiB of the data, the last one may be shorter |
| 4 | CRC-32 of all of the above |
| | the data |
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import struct
import threading
import time
import zlib
from bisect import bisect_right
from functools import cache
from typing import NamedTuple

from refmaker import limits
from refmaker.file_version import Target, is_weak, opaque

__all__ = ["CachedRanges", "DiskCache", "disk_cache"]

_HEAD = struct.Struct("<8s32sQQ")
_CRC = struct.Struct("<I")
_MAGIC = b"RMRANGE1"
_BLOCK = 1 << 16
"""Bytes that have a checksum of their own, as slices of a range are asked for."""

_NAME = re.compile(r"(\d{1,19})-(\d{1,19})")
_UNFINISHED = ".part"
_STALE = 3600.0
"""Seconds after which nobody works on an unfinished file any more."""

_TOUCHED = 60.0
"""Seconds after which a file that is used is marked as used again."""

_PART = 16
"""A process looks at the size of the folder each time that it wrote this part of the limit."""

_OVERLAPS = 16
"""Ranges that are looked at for one that holds a place: more overlap only where readers cut differently each time."""


class _Range(NamedTuple):
    start: int
    stop: int


class DiskCache:
    """A folder of ranges.

    Parameters
    ----------
    folder
        Made where it is not there.
    limit
        Bytes of all files in it. Each process beside this one may go beyond by a sixteenth.
    """

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._written = limit  # the first file is put where room was made
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def ranges(self, record: Target, url: str) -> CachedRanges | None:
        """Return what is kept of a target at `url`, None where a manifest does not tell its version well enough."""
        strong = record.etag is not None and not is_weak(record.etag)
        if record.size is None or not (strong or record.mtime is not None):
            return None
        etag = opaque(record.etag) if strong and record.etag is not None else None
        version = repr((url, record.size, etag, None if strong else record.mtime))
        return CachedRanges(self, hashlib.sha256(version.encode()).digest())

    def write(self, folder: str, name: str, parts: tuple[bytes, ...]) -> bool:
        """Write a file; return False where that is not possible, or the file would be too large for the folder."""
        size = sum(map(len, parts))
        if size > self.limit // _PART:
            return False
        unfinished = os.path.join(folder, f"{name}.{os.getpid()}.{next(self._numbers)}{_UNFINISHED}")
        try:
            self._make_room(size)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            try:
                with open(unfinished, "xb") as file:
                    file.writelines(parts)
                os.replace(unfinished, os.path.join(folder, name))
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(unfinished)
                raise
        except OSError:
            return False  # a disk that is full, or a folder that is only to be read: there is no cache then
        return True

    def _make_room(self, size: int) -> None:
        with self._lock:
            self._written += size
            if self._written <= self.limit // _PART:
                return
            self._written = size
            self.trim()

    def trim(self) -> None:
        """Remove the files that were used longest ago where less than a part of the limit is left."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found: list[tuple[float, int, str]] = []
        now = time.time()
        for folder in os.scandir(self.folder):
            if not folder.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                for file in os.scandir(folder.path):
                    with contextlib.suppress(OSError):
                        status = file.stat(follow_symlinks=False)
                        if file.name.endswith(_UNFINISHED):
                            if now - status.st_mtime > _STALE:
                                os.unlink(file.path)
                        elif _NAME.fullmatch(file.name):
                            found.append((status.st_mtime, status.st_size, file.path))
        held = sum(size for _, size, _ in found)
        if held <= self.limit - self.limit // _PART:
            return
        for _, size, path in sorted(found):
            if held <= self.limit * 3 // 4:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            held -= size


class CachedRanges:
    """What is kept of one version of one target."""

    def __init__(self, kept: DiskCache, digest: bytes) -> None:
        self.kept = kept
        self.digest = digest
        self.folder = os.path.join(kept.folder, digest.hex())
        self._ranges: list[_Range] = []
        self._touched: dict[_Range, float] = {}
        self._seen: tuple[int, float, float] = (-1, 0.0, 0.0)
        self._lock = threading.Lock()

    def find(self, start: int, stop: int) -> bytes | None:
        """Return the bytes of a range if all of them are here, in one file or in several."""
        if stop <= start:
            return None
        found = self._pieces(start, stop)
        if found is None and self._look():
            found = self._pieces(start, stop)
        return found

    def put(self, start: int, data: bytes) -> None:
        """Keep bytes that stand at `start`."""
        stop = start + len(data)
        if not data or _Range(start, stop) in self._touched:
            return
        view = memoryview(data)
        sums = b"".join(_CRC.pack(zlib.crc32(view[at : at + _BLOCK])) for at in range(0, len(data), _BLOCK))
        head = _HEAD.pack(_MAGIC, self.digest, start, stop) + sums
        if self.kept.write(self.folder, f"{start}-{stop}", (head, _CRC.pack(zlib.crc32(head)), data)):
            with self._lock:
                self._ranges = sorted({*self._ranges, _Range(start, stop)})
                self._touched[_Range(start, stop)] = time.monotonic()

    def _pieces(self, start: int, stop: int) -> bytes | None:
        pieces: list[bytes] = []
        while start < stop:
            held = self._holding(start)
            piece = None if held is None else self._read(held, start, min(stop, held.stop))
            if piece is None:
                return None
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _holding(self, place: int) -> _Range | None:
        """Return the range that reaches farthest of those that hold a place."""
        ranges = self._ranges
        at = bisect_right(ranges, (place, 1 << 64))
        holding = [held for held in ranges[max(at - _OVERLAPS, 0) : at] if place < held.stop]
        return max(holding, key=lambda held: held.stop, default=None)

    def _read(self, held: _Range, start: int, stop: int) -> bytes | None:
        """Read a slice of a file whose checksums are right; remove one that is not as it was written."""
        path = os.path.join(self.folder, f"{held.start}-{held.stop}")
        size = held.stop - held.start
        blocks = -(-size // _BLOCK)
        data_at = _HEAD.size + _CRC.size * (blocks + 1)
        first, last = (start - held.start) // _BLOCK, -(-(stop - held.start) // _BLOCK)
        data = None
        try:
            with open(path, "rb", buffering=0) as file:
                head = file.read(data_at)
                if os.fstat(file.fileno()).st_size == data_at + size and self._is_head(head, held):
                    file.seek(data_at + first * _BLOCK)
                    data = file.read(min(last * _BLOCK, size) - first * _BLOCK)
        except OSError:
            self._forget(held)  # another process made room
            return None
        sums = itertools.islice(_CRC.iter_unpack(head[_HEAD.size : data_at]), first, last)
        if data is None or not _sound(data, [found for (found,) in sums]):
            self._forget(held)
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        self._touch(held, path)
        return data[start - held.start - first * _BLOCK : stop - held.start - first * _BLOCK]

    def _is_head(self, head: bytes, held: _Range) -> bool:
        if len(head) < _HEAD.size + _CRC.size:
            return False
        (found,) = _CRC.unpack(head[-_CRC.size :])
        right = _HEAD.pack(_MAGIC, self.digest, held.start, held.stop)
        return head.startswith(right) and found == zlib.crc32(head[: -_CRC.size])

    def _forget(self, held: _Range) -> None:
        with self._lock:
            self._ranges = [other for other in self._ranges if other != held]
            self._touched.pop(held, None)

    def _touch(self, held: _Range, path: str) -> None:
        now = time.monotonic()
        if now - self._touched.get(held, float("-inf")) > _TOUCHED:
            self._touched[held] = now
            with contextlib.suppress(OSError):
                os.utime(path)

    def _look(self) -> bool:
        """Look which ranges there are, where that may have changed; return whether it was looked."""
        try:
            changed = os.stat(self.folder).st_mtime_ns
        except OSError:
            return False
        last, when, took = self._seen
        now = time.monotonic()
        # A change within the clock's grain of the last look shows no new time; many files take long to list.
        if (changed == last and now - when > 1.0) or now - when < 20 * took:
            return False
        try:
            names = os.listdir(self.folder)
        except OSError:
            return False
        ranges = [_Range(int(found[1]), int(found[2])) for found in map(_NAME.fullmatch, names) if found]
        with self._lock:
            self._ranges = sorted(held for held in ranges if 0 < held.stop - held.start <= limits.CACHED_RANGE)
        self._seen = changed, now, time.monotonic() - now
        return True


def _sound(data: bytes, sums: list[int]) -> bool:
    """Return whether blocks have the checksums that they should have."""
    view = memoryview(data)
    blocks = [view[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]
    return len(blocks) == len(sums) and all(
        zlib.crc32(block) == right for block, right in zip(blocks, sums, strict=True)
    )


@cache
def disk_cache(folder: str, limit: int) -> DiskCache:
    """Return the one cache of a folder in this process."""
    return DiskCache(folder, limit)
