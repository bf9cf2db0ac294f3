"""What a chunk of the decoded view is made of, and how it is put together.

Contract: nothing is read here. Chunks of the array that are recorded are rows of columns, with what they are in the
manifest, or where they are; what is not recorded is the fill value. A chunk that does not decode is an error that
names it; the rest of the work on its chunk of the view is of no use then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError, RefmakerError
from refmaker.manifest.manifest import Target
from refmaker.manifest.references import References
from refmaker.ranges import distinct
from refmaker.replay.buffers import Unset
from refmaker.replay.rechunked import DecodedArray
from refmaker.replay.regularized import RegularizedArray

__all__ = ["Assembly", "Pieces", "Stored", "pieces_at", "pieces_of"]

Stored: TypeAlias = tuple[int, bytes | memoryview, int]
"""A chunk of the array: its cell, its stored bytes, and their address in the target."""

_UNSIGNED = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


@dataclass(slots=True)
class Pieces:
    """The chunks of an array that make one of the view, as far as they are recorded.

    Attributes
    ----------
    cell, target, offset, size
        A row for each that stands in a target, sorted by target and offset.
    inline
        Those in the manifest: cell and bytes.
    whole
        Those that are a target from its first byte to its last: cell and target.
    """

    cell: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    inline: list[tuple[int, bytes]]
    whole: list[tuple[int, int]]

    def __len__(self) -> int:
        return len({*self.cell.tolist(), *(cell for cell, _ in (*self.inline, *self.whole))})


def pieces_of(array: DecodedArray, cell: int, targets: Sequence[Target], key: str) -> Pieces:
    """Look up what chunk `cell` of the view is made of. Reads shards of the manifest where it has them.

    Raises
    ------
    ManifestError
        A reference points to no target, or beyond its end.
    """
    return pieces_at(array.source.references, array.cells(cell), targets, key)


def pieces_at(rows: References, cells: npt.NDArray[np.int64], targets: Sequence[Target], key: str) -> Pieces:
    """Look up some cells, ascending. See `pieces_of`."""
    if not len(cells):
        rows = References.empty()
    elif not rows.is_loaded():
        rows = rows.between(int(cells[0]), int(cells[-1]) + 1)
    at = np.minimum(np.searchsorted(rows.cell, cells), max(len(rows.cell) - 1, 0))
    at = at[rows.cell[at] == cells] if len(rows.cell) else at[:0]
    target, offset, size = rows.target[at], rows.offset[at], rows.size[at]
    _check(target, offset, size, targets, key)
    order = np.lexsort((offset, target))
    columns: list[npt.NDArray[np.int64]] = [c[order].astype("i8") for c in (rows.cell[at], target, offset, size)]
    inline = [(c, rows.inline[c]) for c in cells.tolist() if c in rows.inline] if rows.inline else []
    whole = [(c, rows.whole[c]) for c in cells.tolist() if c in rows.whole] if rows.whole else []
    if not all(0 <= target_index < len(targets) for _, target_index in whole):
        raise ManifestError("the reference points to no target of the manifest", path=key)
    return Pieces(columns[0], columns[1], columns[2], columns[3], inline, whole)


def _check(
    target: npt.NDArray[np.integer],
    offset: npt.NDArray[np.uint64],
    size: npt.NDArray[np.uint64],
    targets: Sequence[Target],
    key: str,
) -> None:
    """Refuse references that their targets cannot hold."""
    for target_index in distinct(target).tolist():
        if not 0 <= target_index < len(targets):
            raise ManifestError("the reference points to no target of the manifest", path=key, got=target_index)
        known = targets[target_index].size
        limit = np.uint64((1 << 63) - 1 if known is None else known)
        mine = target == target_index
        beyond = np.flatnonzero((offset[mine] > limit) | (size[mine] > limit - np.minimum(offset[mine], limit)))
        if len(beyond):
            got = f"{offset[mine][beyond[0]]} + {size[mine][beyond[0]]}"
            message = "the reference reaches beyond the end of its target"
            raise ManifestError(message, path=key, expected=f"at most {limit}", got=got)


_TOGETHER = 1 << 18
"""Bytes of chunks that are finished at a time, which the processor's cache holds."""


@dataclass(slots=True)
class _Run:
    """Chunks that belong one behind the other from a place on, each prepared by the pipeline."""

    first: int
    chunks: list[Any] = field(default_factory=list)


class Assembly:
    """One chunk of the view while it is put together, by several threads at once.

    Parameters
    ----------
    key
        Of the chunk, for errors.
    complete
        All chunks of the array that it is made of will come: there is no fill value in it.
    """

    def __init__(self, key: str, array: DecodedArray, cell: int, *, complete: bool) -> None:
        self.key = key
        self.array = array
        self.cell = cell
        self._unit = np.dtype(_UNSIGNED.get(array.elements.size, f"V{array.elements.size}"))
        self._buffer: Unset | None = Unset(array.size)
        self._out: npt.NDArray[np.generic] | None = np.frombuffer(self._buffer.view, self._unit).reshape(array.shape)
        self._consecutive = array.consecutive
        if not complete:
            self._out[...] = np.frombuffer(array.elements.fill, self._unit)[0]

    def put(self, parts: Iterable[tuple[Iterable[Stored], str | None]]) -> None:
        """Decode chunks of the array into their places; each part has the url of the target that it is from.

        Raises
        ------
        RefmakerError
            One does not decode.
        """
        run = _Run(0)
        for pieces, url in parts:
            for cell, data, address in pieces:
                if self._out is None:
                    return  # given up meanwhile
                try:
                    run = self._put(cell, data, run)
                except RefmakerError as error:
                    error.path = self.key
                    if url is not None:
                        error.source, error.address = url, address
                    raise
        self._finish(run)

    def _put(self, cell: int, data: bytes | memoryview, run: _Run) -> _Run:
        """Decode a chunk into its place, or into a run of chunks that belong one behind the other."""
        if not self._consecutive or isinstance(self.array, RegularizedArray):
            if self._out is not None:
                self.array.insert(self._out, self.cell, cell, data)
            return run
        place, size = self.array.place(cell), self.array.pipeline.size
        prepared = self.array.pipeline.prepare(data)
        if run.chunks and (place != run.first + len(run.chunks) or len(run.chunks) * size >= _TOGETHER):
            self._finish(run)
            run = _Run(place)
        elif not run.chunks:
            run.first = place
        run.chunks.append(prepared)
        return run

    def _finish(self, run: _Run) -> None:
        out = self._out
        if out is not None and run.chunks and not isinstance(self.array, RegularizedArray):
            size = self.array.pipeline.size
            stop = run.first + len(run.chunks)
            self.array.pipeline.finish(run.chunks, out.reshape(-1).view("u1")[run.first * size : stop * size])

    def done(self) -> bytes:
        """Return the chunk. Nothing can be put into it any more."""
        buffer, self._buffer, self._out = self._buffer, None, None
        return b"" if buffer is None else buffer.done()

    def drop(self) -> None:
        """Drop the chunk: threads that are at work on it need not go on."""
        self._out = None
