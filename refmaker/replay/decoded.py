"""The decoded view: arrays uncompressed and on a coarser grid, for readers that know no codec and for small chunks.

Contract: a view as `refmaker.replay.transparent` has it. A chunk of this view is read in few requests, decoded in
threads and checked (checksums, length) before any byte of it is given; if one of the chunks that it is made of cannot
be read or decoded, the whole is an error. Chunks that are not recorded are the fill value.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError, RefmakerError
from refmaker.manifest.manifest import References
from refmaker.replay.coarse import Coarse, coarsened
from refmaker.replay.engine import PARALLEL
from refmaker.replay.listing import Listing
from refmaker.replay.lookup import Lookup, Reference
from refmaker.replay.merging import Request
from refmaker.replay.opening import Opened
from refmaker.replay.targets import Targets
from refmaker.replay.transparent import Transparent, Wanted
from refmaker.replay.variables import Rows, Variable

__all__ = ["Decoded"]

_MEMORY = 1 << 26
"""Bytes of decoded chunks that are kept, for readers that come for one row after the other."""

_FLIGHT = 1 << 28
"""Bytes of decoded chunks that are under way at a time when many are asked for."""

_KEPT = 60.0
"""Seconds for which they are."""

_UNSIGNED = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


class Decoded:
    """A manifest as uncompressed arrays.

    Parameters
    ----------
    size
        Bytes of a chunk that are aimed at.
    """

    def __init__(self, opened: Opened, targets: Targets, size: int) -> None:
        manifest, self.arrays = coarsened(opened.lookup.manifest, size)
        self.targets = targets
        lookup = Lookup(manifest)
        self.opened = Opened(opened.location, lookup, Listing(lookup))
        self._others = Transparent(opened, targets)
        self._variables: dict[int, Variable] = {}
        self._kept: OrderedDict[tuple[int, int], tuple[float, bytes]] = OrderedDict()
        self._held = 0

    def now(self, key: str) -> bytes | None:
        """See `View.now`."""
        return None

    async def read(self, key: str, found: Reference, start: int | None, end: int | None) -> bytes:
        """See `View.read`."""
        array = self.arrays.get(found.target)
        if array is None:
            return await self._others.read(key, found, start, end)
        whole = await self._chunk(key, found.target, array, found.offset // array.size)
        return whole if start is None and end is None else whole[start:end]

    async def read_all(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """See `View.read_all`."""
        largest = max((found.size or 0 for _, found, _, _ in wanted), default=0)
        gate = asyncio.Semaphore(min(max(_FLIGHT // max(largest, 1), 4), PARALLEL))

        async def one(key: str, found: Reference, start: int | None, end: int | None) -> bytes:
            async with gate:
                return await self.read(key, found, start, end)

        done = await asyncio.gather(*(one(*each) for each in wanted), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in done if not isinstance(outcome, BaseException) or isinstance(outcome, Exception)]

    async def size(self, key: str, found: Reference) -> int | None:
        """See `View.size`."""
        return found.size if found.target in self.arrays else await self._others.size(key, found)

    async def _chunk(self, key: str, code: int, array: Coarse, cell: int) -> bytes:
        when, data = self._kept.get((code, cell), (-math.inf, b""))
        if time.monotonic() - when < _KEPT:
            self._kept.move_to_end((code, cell))
            return data
        pieces = self._pieces(key, array, cell)
        requests = [piece.request for piece in pieces if piece.request is not None]
        read = iter(await (await self.targets.engine()).read_all(requests, self._variable(code, array), cell))
        for piece in pieces:
            if piece.request is not None:
                outcome = next(read)
                if isinstance(outcome, Exception):
                    raise outcome
                piece.data = outcome
        data = await asyncio.get_running_loop().run_in_executor(_threads(), self._assembled, key, array, pieces)
        self._keep((code, cell), data)
        return data

    def _pieces(self, key: str, array: Coarse, cell: int) -> list[_Piece]:
        """Give what a chunk of the view is made of, as far as the manifest records it."""
        rows = array.source.references
        cells = array.cells(cell)
        at = np.searchsorted(rows.cell, cells)
        found = [_Piece(c, rows.inline[c], None) for c in cells.tolist() if c in rows.inline] if rows.inline else []
        if rows.whole:
            wholes = [(c, rows.whole[c]) for c in cells.tolist() if c in rows.whole]
            found += [_Piece(c, b"", self._request(key, code, 0, None)) for c, code in wholes]
        for c, row in zip(cells.tolist(), at.tolist(), strict=True):
            if row < len(rows.cell) and rows.cell[row] == c:
                place = int(rows.target[row]), int(rows.offset[row]), int(rows.size[row])
                found.append(_Piece(c, b"", self._request(key, *place)))
        return found

    def _request(self, key: str, code: int, offset: int, size: int | None) -> Request:
        """Make a request, as far as the target can hold it."""
        if not 0 <= code < len(self.targets.records):
            raise ManifestError("the reference points to no target of the manifest", path=key, got=code)
        limit = self.targets.records[code].size
        if size is not None and limit is not None and offset + size > limit:
            message = "the reference reaches beyond the end of its target"
            raise ManifestError(message, path=key, expected=f"at most {limit}", got=f"{offset} + {size}")
        return Request(key, code, offset, size)

    def _assembled(self, key: str, array: Coarse, pieces: list[_Piece]) -> bytes:
        """Decode the pieces of a chunk of the view and put them together."""
        unit = np.dtype(_UNSIGNED.get(array.elements.size, f"V{array.elements.size}"))
        out = np.empty(array.shape, unit)
        if len(pieces) < math.prod(array.factor):
            out[...] = np.frombuffer(array.elements.fill, unit)[0]
        for piece in pieces:
            try:
                values = np.frombuffer(array.pipeline.decode(piece.data), unit)
            except RefmakerError as error:
                error.path = key
                if piece.request is not None:
                    error.source = self.targets.records[piece.request.target].url
                    error.address = piece.request.offset
                raise
            place = zip(array.corner(piece.cell), array.chunk, strict=True)
            block = values.reshape(array.chunk, order="F" if array.elements.order == "F" else "C")
            out[tuple(slice(first, first + extent) for first, extent in place)] = block
        return out.tobytes()

    def _variable(self, code: int, array: Coarse) -> Variable:
        variable = self._variables.get(code)
        if variable is None:
            shown = self.opened.lookup.manifest.arrays[array.path].references
            variable = self._variables[code] = _CoarseVariable(array, shown)
        return variable

    def _keep(self, place: tuple[int, int], data: bytes) -> None:
        """Keep a chunk for a while; the one that was used longest ago goes."""
        if len(data) > _MEMORY // 4 or place in self._kept:
            return
        self._kept[place] = time.monotonic(), data
        self._held += len(data)
        while self._held > _MEMORY:
            self._held -= len(self._kept.popitem(last=False)[1][1])


@dataclass(slots=True)
class _Piece:
    """A chunk of the array: its stored bytes, and how they are read where they are not in the manifest."""

    cell: int
    data: bytes
    request: Request | None


class _CoarseVariable(Variable):
    """An array of the view, whose chunks are foreseen."""

    def __init__(self, array: Coarse, shown: References) -> None:
        super().__init__(f"{array.path} decoded", array.grid, shown)
        self.array = array
        self.stored = array.source.references

    def rows(self, positions: npt.NDArray[np.int64]) -> Rows:
        """See `Variable.rows`."""
        cells = positions if self.complete else self.references.cell[positions]
        stored = self.stored
        wanted = np.concatenate([self.array.cells(cell) for cell in cells.tolist()])
        rows = np.minimum(np.searchsorted(stored.cell, wanted), max(len(stored.cell) - 1, 0))
        return stored, rows[stored.cell[rows] == wanted] if len(stored.cell) else rows[:0], len(positions)


def _workers() -> int:
    return os.cpu_count() or 1


@cache
def _threads_of(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_workers(), "refmaker-decode")


def _threads() -> ThreadPoolExecutor:
    """Give the threads that decode, as many as there are processors. A forked process has its own."""
    return _threads_of(os.getpid())
