"""What a Zarr store is to a scan: keys, where their bytes are, and the bytes.

Contract: records and a protocol. A `Store` knows the keys there are, each with file, place and version; one whose
server lists nothing (`listed` is False) is asked for keys by name first. A key that is not in `entries` is not there:
what cannot be told is an error. What a store read is looked at again at the end (`check_unchanged`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from refmaker import limits
from refmaker.errors import FormatError, SourceError, TruncatedError
from refmaker.file_version import Target

__all__ = ["NODE_LEAVES", "Entry", "Range", "Store", "check_count", "read_documents", "read_ranges"]

NODE_LEAVES = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""Last components of the keys of metadata."""

_BATCH = 32 << 20
_BATCH_COUNT = 1024


class Entry(NamedTuple):
    """Where the bytes of a key are. `problem` says why they have no place of their own; None where they have one."""

    target: int
    offset: int
    size: int
    problem: str | None = None


class Range(NamedTuple):
    """A part of the bytes of a key."""

    key: str
    start: int
    size: int


class Store(Protocol):
    """A store.

    Attributes
    ----------
    url
        Of the store, as users name it.
    targets
        The files that entries count.
    entries
        Key -> where its bytes are.
    listed
        Whether `entries` has all keys from the start.
    """

    url: str
    targets: list[Target]
    listed: bool

    @property
    def entries(self) -> Mapping[str, Entry]: ...  # noqa: D102

    def look_up(self, keys: Iterable[str]) -> None:
        """Find out which of some keys are there, where the store lists nothing."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of ranges of keys that are there, as many as are there of each."""

    def check_unchanged(self) -> None:
        """Raise `TargetChanged` unless what was read is still what was listed."""


def check_count(count: int, url: str) -> None:
    """Raise `FormatError` for more keys than a store may have."""
    if count > limits.STORE_KEYS:
        message = "more files than a Zarr store may have: scan a group of it"
        raise FormatError(message, source=url, expected=f"<= {limits.STORE_KEYS}", got=count)


def read_ranges(store: Store, ranges: Sequence[Range]) -> list[bytes]:
    """Read ranges in batches of bounded size; each is as long as asked for, or it is an error."""
    found: list[bytes] = []
    batch: list[Range] = []
    size = 0
    for one in ranges:
        batch.append(one)
        size += one.size
        if size >= _BATCH or len(batch) >= _BATCH_COUNT:
            found += store.read(batch)
            batch, size = [], 0
    found += store.read(batch)
    for one, data in zip(ranges, found, strict=True):
        if len(data) != one.size:
            message = "ends before the bytes that are asked for"
            raise TruncatedError(message, path=one.key, address=one.start, expected=one.size, got=len(data))
    return found


def read_documents(store: Store, keys: Sequence[str]) -> dict[str, bytes]:
    """Read metadata as a whole; what has no place of its own, or is too large, is an error."""
    ranges = []
    for key in keys:
        entry = store.entries[key]
        if entry.size > limits.METADATA_SIZE:
            expected = f"<= {limits.METADATA_SIZE} bytes"
            raise FormatError("metadata are too large", path=key, expected=expected, got=entry.size, source=store.url)
        if entry.problem is not None:
            raise SourceError(f"metadata cannot be read: {entry.problem}", path=key, source=store.url)
        ranges.append(Range(key, 0, entry.size))
    return dict(zip(keys, read_ranges(store, ranges), strict=True))
