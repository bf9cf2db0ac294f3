"""A manifest as it is: the bytes of its chunks as they stand in the targets.

Contract: `View` is what the filesystem shows, whichever way it is made. A view has keys and folders (`opened`), and
reads what a key refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from refmaker.ranges import distinct
from refmaker.replay.array_state import ArrayState, ShardedVariable
from refmaker.replay.coalesce import MAX_COALESCED_REQUEST
from refmaker.replay.loading import LoadedManifest
from refmaker.replay.lookup import ChunkRef
from refmaker.replay.requests import ReadRequest
from refmaker.replay.targets import Targets

__all__ = ["RawView", "View", "Wanted"]

Wanted: TypeAlias = tuple[str, ChunkRef, int | None, int | None]
"""Key, what it refers to, and the slice of that: start and end as slices have them."""

_FAR = 1 << 62
"""Bytes: farther than any target reaches."""


class View(Protocol):
    """What a filesystem shows of a manifest."""

    opened: LoadedManifest

    def read_nowait(self, key: str) -> bytes | None:
        """Return a whole chunk if that takes no waiting; None where it would, or where it fails.

        `key` has no leading or trailing slashes.
        """
        ...

    async def read_whole(self, keys: Sequence[str]) -> list[bytes | Exception | None]:
        """Return many whole chunks.

        Each as its bytes or its error; None for what is not plain, to be read otherwise.
        """
        ...

    async def read(self, key: str, found: ChunkRef, start: int | None, end: int | None) -> bytes:
        """Return a slice of what a key refers to; raises a `RefmakerError` where it cannot be read."""
        ...

    async def read_all(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """Return slices of what keys refer to, for each its bytes or its error."""
        ...

    async def size(self, key: str, found: ChunkRef) -> int | None:
        """Look up the size of what a key refers to where the manifest does not say; None where nobody does."""
        ...


class RawView:
    """A manifest as it is; see `View`."""

    def __init__(self, opened: LoadedManifest, targets: Targets) -> None:
        self.opened = opened
        self.targets = targets
        self._variables: dict[str, ArrayState] = {}

    def read_nowait(self, key: str) -> bytes | None:
        """See `View.now`."""
        engine = self.targets.engine_here()
        place = None if engine is None else self.opened.lookup.place(key)
        request = None if place is None else self._request(key, *place)
        if (
            engine is None
            or place is None
            or request is None
            or request.size is None
            or request.size > MAX_COALESCED_REQUEST
        ):
            return None
        start, stop = request.offset, request.offset + request.size
        return engine.read_nowait(request.target, start, stop, self._variable(place[0]), place[1])

    async def read_whole(self, keys: Sequence[str]) -> list[bytes | Exception | None]:
        """See `View.read_whole`."""
        place = self.opened.lookup.place
        held: dict[str, tuple[list[int], list[int]]] = {}
        for i, key in enumerate(keys):
            found = place(key)
            if found is not None:
                places, cells = held.setdefault(found[0], ([], []))
                places.append(i)
                cells.append(found[1])
        rows = [row for path, (places, cells) in held.items() for row in self._rows(path, places, cells)]
        read = await (await self.targets.engine()).read_rows(rows, keys) if rows else []
        out: list[bytes | Exception | None] = [None] * len(keys)
        for *_, i in rows:
            out[i] = read[i]
        return out

    def _rows(self, path: str, places: list[int], cells: list[int]) -> Iterable[tuple[int, int, int, int]]:
        """Return target, offset, size and place of chunks where these are plain; see `_request`."""
        columns = self.opened.lookup.manifest.arrays[path].references
        wanted = np.array(cells, "i8")
        if not columns.is_loaded():
            columns, missing = columns.known(wanted)
            if missing:
                return []
        if not len(columns.cell):
            return []
        row = np.minimum(np.searchsorted(columns.cell, wanted), len(columns.cell) - 1)
        here = np.flatnonzero(columns.cell[row] == wanted)
        row = row[here]
        code, start, size = columns.target[row], columns.offset[row], columns.size[row]
        records = self.targets.records
        numbers = distinct(code).tolist()
        if not all(0 <= number < len(records) for number in numbers):
            return []
        limits = {number: records[number].size for number in numbers}
        ends = np.array([_FAR if limits[number] is None else limits[number] for number in numbers], "u8")
        end = ends[np.searchsorted(numbers, code)]
        fits = np.flatnonzero((size > 0) & (start <= end) & (size <= end - np.minimum(start, end)))
        columns_of_rows = (column[fits].tolist() for column in (code, start, size, np.array(places)[here]))
        return zip(*columns_of_rows, strict=True)

    def _request(self, key: str, path: str, cell: int) -> ReadRequest | None:
        """Return what to read for a chunk where that is plain. What is not, or is wrong, is left to `Lookup.find`."""
        lookup, records = self.opened.lookup, self.targets.records
        columns = lookup.manifest.arrays[path].references
        if lookup.sharded and not columns.is_loaded(cell):
            return None
        found = columns.at(cell)
        if found is None or isinstance(found, bytes):
            return None
        code, start, size = found
        if not size or not 0 <= code < len(records):
            return None
        limit = records[code].size
        return None if limit is not None and start + size > limit else ReadRequest(key, code, start, size)

    async def read(self, key: str, found: ChunkRef, start: int | None, end: int | None) -> bytes:
        """See `View.read`."""
        engine = await self.targets.engine()
        if found.size is None:
            return (await engine.read(ReadRequest(key, found.target, 0, None)))[start:end]
        if start is not None or end is not None:
            return await engine.read(_part(key, found, start, end))
        request = ReadRequest(key, found.target, found.offset, found.size)
        if found.size > MAX_COALESCED_REQUEST:
            return await engine.read(request)
        return await engine.read(request, *self._place(key.strip("/")))

    async def read_all(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """See `View.read_all`."""
        read = await (await self.targets.engine()).read_all([_part(*one) for one in wanted])
        cuts = [slice(start, end) if found.size is None else slice(None) for _, found, start, end in wanted]
        return [data if isinstance(data, Exception) else data[cut] for data, cut in zip(read, cuts, strict=True)]

    async def size(self, key: str, found: ChunkRef) -> int | None:
        """See `View.size`."""
        return await self.targets.size(found.target, key) if found.size is None else found.size

    def _place(self, key: str) -> tuple[ArrayState | None, int]:
        """Return the array and cell of a chunk, so that the next can be foreseen."""
        place = self.opened.lookup.place(key)
        return (None, 0) if place is None else (self._variable(place[0]), place[1])

    def _variable(self, path: str) -> ArrayState:
        variable = self._variables.get(path)
        if variable is None:
            array = self.opened.lookup.manifest.arrays[path]
            columns = array.references
            sharded = self.opened.lookup.sharded
            variable = self._variables[path] = (
                ShardedVariable(path, array.grid, columns, self.opened.fetch)
                if sharded
                else ArrayState(path, array.grid, columns)
            )
        return variable


def _part(key: str, found: ChunkRef, start: int | None, end: int | None) -> ReadRequest:
    """Return what is to be read for a slice of a key."""
    if found.size is None:
        return ReadRequest(key, found.target, 0, None)
    first, stop, _ = slice(start, end).indices(found.size)
    return ReadRequest(key, found.target, found.offset + first, max(stop - first, 0))
