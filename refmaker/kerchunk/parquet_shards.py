"""References that are read shard by shard, when a chunk of theirs is asked for.

Contract: a shard is read once, whoever asks, from whichever thread. One that cannot be read, is not what its digest
says, or is malformed is an error at every read of a chunk in it, never an absent chunk. So is one of a set that has
taken the place of the one that was opened: shards of two sets are never mixed. Safe across a fork.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError, SourceError
from refmaker.kerchunk.parquet_shard_codec import Digest, decode_shard
from refmaker.kerchunk.urls import UrlTable
from refmaker.manifest.references import ByteRange, References
from refmaker.ranges import distinct

__all__ = ["Files", "MissingShards", "ShardSet", "ShardedReferences"]

MissingShards: TypeAlias = Literal["error", "empty"]
"""What a shard is that is not there, in a set that does not say which it has."""

_COLUMNS = ("cell", "target", "offset", "size", "inline", "whole")


class Files(Protocol):
    """Where the files of a set are read from."""

    location: str

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the set; a `SourceError` where that fails."""
        ...  # pragma: no cover

    def is_there(self) -> bool:
        """Return whether the set is the one that was opened; a `SourceError` where none is there."""
        ...  # pragma: no cover

    def changed(self) -> bool:
        """Return whether the set is another one than was opened, as far as a quick look can tell."""
        ...  # pragma: no cover


class ShardSet:
    """What the arrays of one set share.

    Parameters
    ----------
    files
        Where the files are read from.
    urls
        The targets, added to as they are met.
    record_size
        Cells of a shard.
    missing
        What a shard without a digest is that is not there.
    """

    def __init__(self, files: Files, urls: UrlTable, record_size: int, missing: MissingShards = "error") -> None:
        self.files = files
        self.urls = urls
        self.record_size = record_size
        self.missing = missing
        self.afresh()
        _sets.add(self)

    def afresh(self) -> None:
        """Make the locks anew. After a fork, one may be held by a thread that is not there."""
        self.lock = threading.Lock()
        self.busy: dict[tuple[str, int], threading.Lock] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "urls": self.urls, "record_size": self.record_size, "missing": self.missing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def being_read(self, path: str, number: int) -> threading.Lock:
        """Return the lock of a shard."""
        with self.lock:
            return self.busy.setdefault((path, number), threading.Lock())

    def code_of(self, url: str) -> int:
        """Return the index of a target."""
        known = self.urls.get(url)
        if known is not None:
            return known
        with self.lock:
            return self.urls[url]

    def read(self, path: str, number: int, cells: int, digest: Digest | None) -> References:
        """Read a shard.

        Parameters
        ----------
        path
            Of the array.
        number
            Of the shard.
        cells
            Of the array.
        digest
            What the shard must be, None where the set does not say.

        Raises
        ------
        SourceError
            It cannot be read.
        ManifestError
            It is damaged, or not the one of this set.
        """
        name = f"{path}/refs.{number}.parq" if path else f"refs.{number}.parq"
        where: dict[str, Any] = {"structure": f"shard {name!r}", "source": self.files.location}
        data = self._fetched(name, digest, where)
        if data is None:
            return References.empty()
        first = number * self.record_size
        rows = min(self.record_size, cells - first)
        found = decode_shard(data, first, rows, self.code_of, **where)
        if digest is not None and len(found) != digest.references:
            message = "wrong number of references"
            raise ManifestError(message, expected=digest.references, got=len(found), **where)
        return found

    def _fetched(self, name: str, digest: Digest | None, where: dict[str, Any]) -> bytes | None:
        """Read the file of a shard, None where there is none and need not be."""
        try:
            data = self.files.read(name)
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            if self.files.changed():
                raise _replaced(where) from error
            if digest is not None:
                raise
            if self.missing == "empty" and self.files.is_there():
                return None
            hint = 'where its writer leaves out shards without references, missing_shards="empty" takes it for one'
            raise SourceError(f"{error.message}; {hint}", source=error.source) from error.__cause__
        if digest is None:
            if self.files.changed():
                raise _replaced(where)
            return data
        if len(data) == digest.size and hashlib.sha256(data).hexdigest() == digest.sha256:
            return data
        if not self.files.is_there():
            raise _replaced(where)
        message = "not the file that was written with this set"
        if len(data) != digest.size:
            raise ManifestError(message, expected=f"{digest.size} bytes", got=len(data), **where)
        raise ManifestError(f"{message}: its SHA-256 differs", **where)


def _replaced(where: dict[str, Any]) -> ManifestError:
    return ManifestError("the set was replaced since it was opened: open it again", **where)


_sets: weakref.WeakSet[ShardSet] = weakref.WeakSet()


def _after_fork() -> None:
    for shards in list(_sets):
        shards.afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ShardedReferences(References):
    """References of one array of a set. Asking for a column as a whole reads all shards.

    Parameters
    ----------
    path
        Of the array.
    cells
        Of its chunk grid.
    digests
        Of the shards by number, those without references left out; None where the set does not say which there are.
    """

    __slots__ = ("cells", "complete", "digests", "loaded", "path", "shards")

    def __init__(self, shards: ShardSet, path: str, cells: int, digests: Mapping[int, Digest] | None) -> None:
        # The columns stay unset: that is what makes `__getattr__` read them.
        self.shards = shards
        self.path = path
        self.cells = cells
        self.digests = digests
        self.loaded: dict[int, References] = {}
        self.complete: References | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in _COLUMNS:
            raise AttributeError(name)
        self.load()
        return getattr(self, name)

    def __len__(self) -> int:
        if self.digests is not None:
            return sum(digest.references for digest in self.digests.values())
        return super().__len__()

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardedReferences, (self.shards, self.path, self.cells, self.digests)

    def at(self, cell: int) -> bytes | ByteRange | None:
        """Return what is recorded for a cell; read its shard if that was not done yet."""
        return self._all().at(cell) if self.complete is not None else self._shard(cell // self._size).at(cell)

    def between(self, start: int, stop: int) -> References:
        """Return the references of the cells from `start` to before `stop`; read their shards."""
        stop = min(stop, self.cells)
        if self.complete is not None:
            return self.complete.between(start, stop)
        if start >= stop:
            return References.empty()
        numbers = range(start // self._size, -(-stop // self._size))
        parts = [self._shard(number).between(start, stop) for number in self._existing(numbers)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def any_between(self, start: int, stop: int) -> bool:
        """Return whether any of the cells from `start` to before `stop` is recorded; read their shards until one is."""
        stop = min(stop, self.cells)
        if self.complete is not None:
            return self.complete.any_between(start, stop)
        numbers = range(start // self._size, -(-stop // self._size)) if start < stop else range(0)
        return any(self._shard(number).any_between(start, stop) for number in self._existing(numbers))

    def parts(self) -> Iterator[References]:
        """Yield the references of all shards, one after the other; none is kept."""
        if self.complete is not None or self.digests is None:
            yield from super().parts()
            return
        for number in sorted(self.digests):
            held = self.loaded.get(number)
            yield held or self.shards.read(self.path, number, self.cells, self.digests[number])

    def known(self, cells: npt.NDArray[np.int64]) -> tuple[References, list[int]]:
        """See `References.known`."""
        complete = self.complete
        if complete is not None:
            return complete, []
        loaded, parts, missing = self.loaded, [], []
        numbers = cells // self._size
        for number in distinct(numbers).tolist():
            part = loaded.get(number)
            if part is not None:
                parts.append(part)
            elif self.digests is None or number in self.digests:
                missing.append(int(cells[np.argmax(numbers == number)]))
        return parts[0] if len(parts) == 1 else _joined(parts), missing

    def load(self) -> None:
        """Read all shards."""
        complete = self._all()
        for name in _COLUMNS:
            setattr(self, name, getattr(complete, name))

    def is_loaded(self, cell: int | None = None) -> bool:
        """Return whether a cell, or all of them, can be looked at without reading anything."""
        if self.complete is not None:
            return True
        if cell is None:
            return False
        number = cell // self._size
        return number in self.loaded or (self.digests is not None and number not in self.digests)

    @property
    def _size(self) -> int:
        return self.shards.record_size

    def _existing(self, numbers: range) -> list[int]:
        if self.digests is None:
            return list(numbers)
        return [number for number in sorted(self.digests) if number in numbers]

    def _all(self) -> References:
        if self.complete is None:
            count = -(-self.cells // self._size)
            if self.digests is None and count > _MOST_SHARDS:
                where: dict[str, Any] = {"structure": f"array {self.path!r}", "source": self.shards.files.location}
                raise ManifestError("too many shards to be read one after the other", got=count, **where)
            self.complete = _joined([self._shard(number) for number in self._existing(range(count))])
            self.loaded = {}
        return self.complete

    def _shard(self, number: int) -> References:
        found = self.loaded.get(number)
        if found is not None:
            return found
        digest = None if self.digests is None else self.digests.get(number)
        if self.digests is not None and digest is None:
            return References.empty()
        with self.shards.being_read(self.path, number):
            complete = self.complete
            if complete is not None:
                return complete.between(number * self._size, (number + 1) * self._size)
            found = self.loaded.get(number)
            if found is None:
                found = self.loaded[number] = self.shards.read(self.path, number, self.cells, digest)
            return found


_MOST_SHARDS = limits.SHARDS


def _joined(parts: list[References]) -> References:
    """Put references of consecutive cells one after the other."""
    if not parts:
        return References.empty()
    inline = {cell: data for part in parts for cell, data in part.inline.items()}
    whole = {cell: code for part in parts for cell, code in part.whole.items()}
    columns = [[getattr(part, name) for part in parts] for name in ("cell", "offset", "size")]
    cell, offset, size = (np.concatenate(column) for column in columns)
    return References(cell, _targets([part.target for part in parts]), offset, size, inline, whole)


def _targets(parts: list[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.integer[Any]]:
    """Join columns of targets, to a zero-stride one where all are the same."""
    parts = [part for part in parts if len(part)]
    if parts and all(part.strides == (0,) and part[0] == parts[0][0] for part in parts):
        return np.broadcast_to(parts[0][:1].copy(), sum(map(len, parts)))
    return np.concatenate(parts) if parts else np.empty(0, "u1")
