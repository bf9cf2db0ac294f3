"""The decoded view: arrays uncompressed and on a coarser grid, for readers that know no codec and for small chunks.

Contract: a view as `refmaker.replay.view` has it. A chunk of this view is read in few requests, decoded in
threads and checked (checksums, length) before any byte of it is given; if one of the chunks that it is made of cannot
be read or decoded, the whole is an error. Chunks that are not recorded are the fill value.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.manifest.manifest import Target
from refmaker.manifest.references import References
from refmaker.ranges import distinct
from refmaker.replay.array_state import ArrayState, Fetch, Rows, known_rows
from refmaker.replay.composed import ComposedArray, ComposedAssembly, composed, composed_pieces
from refmaker.replay.deadline import within
from refmaker.replay.engine import PARALLEL, Engine
from refmaker.replay.listing import Listing
from refmaker.replay.loading import LoadedManifest
from refmaker.replay.lookup import ChunkKey, Lookup, ResolvedKey
from refmaker.replay.pieces import Assembly, Pieces, Stored, pieces_of
from refmaker.replay.raw_view import RawView
from refmaker.replay.rechunked import DecodedArray, rechunked
from refmaker.replay.requests import ReadRequest
from refmaker.replay.targets import Targets
from refmaker.replay.threads import threads

__all__ = ["DecodedView"]

_MEMORY = limits.DECODED_KEPT
"""Bytes of decoded chunks that are kept, for readers that come for one row after the other."""

_FLIGHT = limits.DECODED_FLIGHT
"""Bytes of decoded chunks that are under way at a time when many are asked for."""

_KEPT = 60.0
"""Seconds for which they are."""

_Part: TypeAlias = tuple[bytes | asyncio.Future[bytes], Callable[[bytes], Iterable[Stored]], str | None]


ViewArray: TypeAlias = DecodedArray | ComposedArray


class DecodedView:
    """A manifest as uncompressed arrays.

    Parameters
    ----------
    size
        Bytes of a chunk that are aimed at; None: only composite arrays are decoded, all else is as it is stored.
    regular
        Only arrays whose chunks are not on a regular grid; the others stay as they are.
    """

    def __init__(self, opened: LoadedManifest, targets: Targets, size: int | None, *, regular: bool = False) -> None:
        manifest = opened.lookup.manifest
        self.arrays: dict[int, ViewArray] = {}
        if size is not None:
            manifest, decoded = rechunked(manifest, size, irregular=regular)
            self.arrays |= decoded
        manifest, withheld = composed(manifest, self.arrays)
        self.targets = targets
        lookup = Lookup(manifest, {**opened.lookup.withheld, **withheld}, opened.lookup.loose)
        self.opened = LoadedManifest(opened.location, lookup, Listing(lookup))
        self._others = RawView(opened, targets)
        self._paths = frozenset(array.path for array in self.arrays.values())
        self._states: dict[int, ArrayState] = {}
        self._kept: OrderedDict[tuple[int, int], tuple[float, bytes]] = OrderedDict()
        self._held = 0

    def read_nowait(self, key: ResolvedKey) -> bytes | None:
        """See `View.read_nowait`."""
        return self._others.read_nowait(key) if self._is_stored(key) else None

    async def read_whole(self, keys: Sequence[ResolvedKey]) -> list[bytes | Exception | None]:
        """See `View.read_whole`."""
        if not keys or not all(map(self._is_stored, keys)):
            return [None] * len(keys)
        return await self._others.read_whole(keys)

    def _is_stored(self, key: ResolvedKey) -> bool:
        """Return whether a key is of an array that is shown as it is stored."""
        return isinstance(key, ChunkKey) and key.path not in self._paths

    async def read(self, request: ReadRequest, key: ResolvedKey | None = None) -> bytes:
        """See `View.read`."""
        array = self.arrays.get(request.target)
        if array is None:
            return await self._others.read(request, key)
        if request.size == 0:
            return b""
        cell, start = divmod(request.offset, array.size)
        whole = await self._chunk(request.key, request.target, array, cell)
        return whole if request.size == len(whole) else whole[start : start + (request.size or 0)]

    async def read_all(self, requests: Sequence[ReadRequest]) -> list[bytes | Exception]:
        """See `View.read_all`."""
        largest = max(map(self._memory, requests), default=0)
        gate = asyncio.Semaphore(min(max(_FLIGHT // max(largest, 1), 4), PARALLEL))

        async def one(request: ReadRequest) -> bytes:
            async with gate:
                return await self.read(request)

        with within(self.targets.access.timeout):  # all waves of it
            done = await asyncio.gather(*map(one, requests), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in done if not isinstance(outcome, BaseException) or isinstance(outcome, Exception)]

    async def size(self, request: ReadRequest) -> int | None:
        """See `View.size`."""
        return request.size if request.target in self.arrays else await self._others.size(request)

    def _memory(self, request: ReadRequest) -> int:
        """Return the bytes that are held for a request: all of a decoded chunk, though a slice of it is wanted."""
        array = self.arrays.get(request.target)
        return (request.size or 0) if array is None else array.size

    async def _chunk(self, key: str, target: int, array: ViewArray, cell: int) -> bytes:
        when, data = self._kept.get((target, cell), (-math.inf, b""))
        if time.monotonic() - when < _KEPT:
            self._kept.move_to_end((target, cell))
            return data
        pieces = await self.opened.run(_pieces_of, array, cell, self.targets.records, key)
        data = await self._assembled(key, array, pieces, self._state(target, array), cell)
        self._keep((target, cell), data)
        return data

    async def _assembled(self, key: str, array: ViewArray, pieces: Pieces, state: ArrayState, cell: int) -> bytes:
        """Read what a chunk of the view is made of; decode what has come while the rest is on its way."""
        engine = await self.targets.engine()
        await engine.prepare(distinct(pieces.target).tolist())
        reading = list(self._reading(engine, key, pieces))
        engine.observe(state, cell, int(pieces.size.sum()))
        assembly = _assembly(key, array, cell, pieces)
        loop, workers = asyncio.get_running_loop(), threads("decode", os.cpu_count() or 1)
        here = [(held(data), url) for data, held, url in reading if isinstance(data, bytes)]
        decoding = [loop.run_in_executor(workers, assembly.put, here)] if here else []
        try:
            for data, held, url in reading:
                if not isinstance(data, bytes):
                    parts = [(held(await data), url)]
                    decoding.append(loop.run_in_executor(workers, assembly.put, parts))
            await asyncio.gather(*decoding)
        except BaseException:
            assembly.drop()
            for job in decoding:
                job.add_done_callback(_seen)
                job.cancel()
            raise
        return assembly.done()

    def _reading(self, engine: Engine, key: str, pieces: Pieces) -> Iterator[_Part]:
        """Begin to read; give what has come or will, what chunks are in it, and the target it is from."""
        if pieces.inline:
            yield b"", lambda _: ((cell, data, 0) for cell, data in pieces.inline), None
        for cell, target in pieces.whole:
            future = engine.begin(ReadRequest(key, target, 0, None))
            yield future, partial(_cut, [cell], [0], [None], 0), self.targets.records[target].url
        bounds = np.flatnonzero(np.diff(pieces.target, prepend=-1, append=-1)).tolist()
        for first, stop in itertools.pairwise(bounds):
            mine, target = slice(first, stop), int(pieces.target[first])
            cells, starts, sizes = (c[mine].tolist() for c in (pieces.cell, pieces.offset, pieces.size))
            for part, origin, data in engine.begin_all(key, target, starts, sizes):
                held = partial(_cut, cells[part], starts[part], sizes[part], origin)
                yield data, held, self.targets.records[target].url

    def _state(self, target: int, array: ViewArray) -> ArrayState:
        state = self._states.get(target)
        if state is None:
            shown = self.opened.lookup.manifest.arrays[array.path].references
            state = self._states[target] = _RechunkedArrayState(array, shown, self.opened.fetch)
        return state

    def _keep(self, chunk: tuple[int, int], data: bytes) -> None:
        """Keep a chunk for a while; the one that was used longest ago goes."""
        if len(data) > _MEMORY // 4 or chunk in self._kept:
            return
        self._kept[chunk] = time.monotonic(), data
        self._held += len(data)
        while self._held > _MEMORY:
            self._held -= len(self._kept.popitem(last=False)[1][1])


def _pieces_of(array: ViewArray, cell: int, targets: Sequence[Target], key: str) -> Pieces:
    if isinstance(array, ComposedArray):
        return composed_pieces(array, cell, targets, key)
    return pieces_of(array, cell, targets, key)


def _assembly(key: str, array: ViewArray, cell: int, pieces: Pieces) -> Assembly | ComposedAssembly:
    if isinstance(array, ComposedArray):
        return ComposedAssembly(key, array, cell)
    return Assembly(key, array, cell, complete=len(pieces) == array.count(cell))


def _cut(
    cells: Sequence[int], starts: Sequence[int], sizes: Sequence[int | None], origin: int, data: bytes
) -> Iterator[Stored]:
    """Yield the chunks in bytes that were read from `origin` on."""
    view = memoryview(data)
    for cell, start, size in zip(cells, starts, sizes, strict=True):
        first = start - origin
        yield cell, view[first : None if size is None else first + size], start


class _RechunkedArrayState(ArrayState):
    """An array of the view, whose chunks are prefetched."""

    def __init__(self, array: ViewArray, shown: References, fetch: Fetch) -> None:
        super().__init__(f"{array.path} decoded", array.grid, shown)
        self.array = array
        self.stored = array.source.references
        self.fetch = fetch

    def rows(self, positions: npt.NDArray[np.int64]) -> Rows:
        """See `ArrayState.rows`."""
        cells = positions if self.complete else self.references.cell[positions]
        wanted = [self.array.cells(cell) for cell in cells.tolist()]
        known, rows, looked = known_rows(self.stored, np.concatenate(wanted), self.fetch)
        whole = np.searchsorted(np.cumsum([len(each) for each in wanted]), looked, side="right")
        return known, rows, int(whole)


def _seen(job: asyncio.Future[None]) -> None:
    """Look at what became of a job whose outcome does not matter any more."""
    if not job.cancelled():
        job.exception()
