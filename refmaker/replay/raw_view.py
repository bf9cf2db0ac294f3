"""A manifest as it is: the bytes of its chunks as they stand in the targets.

Contract: a view as `refmaker.replay.view` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from refmaker.manifest.references import References
from refmaker.ranges import distinct
from refmaker.replay.array_state import ArrayState, ShardedArrayState
from refmaker.replay.coalesce import MAX_PREFETCHED
from refmaker.replay.loading import LoadedManifest
from refmaker.replay.lookup import ChunkKey, ResolvedKey
from refmaker.replay.requests import ReadRequest
from refmaker.replay.targets import Targets

__all__ = ["RawView"]

_FAR = 1 << 62
"""Bytes: farther than any target reaches."""


class RawView:
    """A manifest as it is; see `View`."""

    def __init__(self, opened: LoadedManifest, targets: Targets) -> None:
        self.opened = opened
        self.targets = targets
        self._states: dict[str, ArrayState] = {}

    def read_nowait(self, key: ResolvedKey) -> bytes | None:
        """See `View.read_nowait`."""
        engine = self.targets.engine_here()
        if engine is None or type(key) is not ChunkKey:
            return None
        _, path, cell = key  # one step, where each name of a tuple is a look-up: this runs once a chunk
        state = self._states.get(path) or self._state(path)
        found = self._plain(state.references, cell)
        if found is None:
            return None
        target, start, size = found
        if size > MAX_PREFETCHED:
            return None
        return engine.read_nowait(target, start, start + size, state, cell)

    async def read_whole(self, keys: Sequence[ResolvedKey]) -> list[bytes | Exception | None]:
        """See `View.read_whole`."""
        by_array: dict[str, tuple[list[int], list[int]]] = {}
        for i, key in enumerate(keys):
            if isinstance(key, ChunkKey):
                slots, cells = by_array.setdefault(key.path, ([], []))
                slots.append(i)
                cells.append(key.cell)
        rows = [row for path, (slots, cells) in by_array.items() for row in self._rows(path, slots, cells)]
        read = await (await self.targets.engine()).read_rows(rows, [key.key for key in keys]) if rows else []
        out: list[bytes | Exception | None] = [None] * len(keys)
        for *_, i in rows:
            out[i] = read[i]
        return out

    def _rows(self, path: str, slots: list[int], cells: list[int]) -> Iterable[tuple[int, int, int, int]]:
        """Return target, offset, size and slot (whose answer it is) of chunks where these are plain; see `_plain`."""
        references = self.opened.lookup.manifest.arrays[path].references
        wanted = np.array(cells, "i8")
        if not references.is_loaded():
            references, missing = references.known(wanted)
            if missing:
                return []
        if not len(references.cell):
            return []
        row = np.minimum(np.searchsorted(references.cell, wanted), len(references.cell) - 1)
        here = np.flatnonzero(references.cell[row] == wanted)
        row = row[here]
        target, offset, size = references.target[row], references.offset[row], references.size[row]
        records = self.targets.records
        used = distinct(target).tolist()
        if not all(0 <= target_index < len(records) for target_index in used):
            return []
        sizes = [records[target_index].size for target_index in used]
        ends = np.array([_FAR if known is None else known for known in sizes], "u8")
        end = ends[np.searchsorted(used, target)]
        # `offset + size` could wrap around: the two are compared with what is left of the target instead.
        fits = np.flatnonzero((size > 0) & (offset <= end) & (size <= end - np.minimum(offset, end)))
        columns = (column[fits].tolist() for column in (target, offset, size, np.array(slots)[here]))
        return zip(*columns, strict=True)

    def _plain(self, references: References, cell: int) -> tuple[int, int, int] | None:
        """Return where a chunk is if that is plain. What is not, or is wrong, is left to `Lookup.recorded`."""
        if self.opened.lookup.sharded and not references.is_loaded(cell):
            return None
        records = self.targets.records
        found = references.at(cell)
        if found is None or type(found) is bytes:
            return None
        target, offset, size = found
        if not size or not 0 <= target < len(records):
            return None
        limit = records[target].size
        return None if limit is not None and offset + size > limit else (target, offset, size)

    async def read(self, request: ReadRequest, key: ResolvedKey | None = None) -> bytes:
        """See `View.read`."""
        engine = await self.targets.engine()
        if not isinstance(key, ChunkKey) or request.size is None or request.size > MAX_PREFETCHED:
            return await engine.read(request)
        return await engine.read(request, self._state(key.path), key.cell)

    async def read_all(self, requests: Sequence[ReadRequest]) -> list[bytes | Exception]:
        """See `View.read_all`."""
        return await (await self.targets.engine()).read_all(requests)

    async def size(self, request: ReadRequest) -> int | None:
        """See `View.size`."""
        return await self.targets.size(request.target, request.key) if request.size is None else request.size

    def _state(self, path: str) -> ArrayState:
        """Return what is known of the walks through an array, so that the next chunks can be prefetched."""
        state = self._states.get(path)
        if state is None:
            array = self.opened.lookup.manifest.arrays[path]
            state = self._states[path] = (
                ShardedArrayState(path, array.grid, array.references, self.opened.fetch)
                if self.opened.lookup.sharded
                else ArrayState(path, array.grid, array.references)
            )
        return state
