"""The chunk references of an array, as columns.

Contract: one row a chunk, sorted by cell, and no row for a chunk that is absent; inlined chunks beside them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["ByteRange", "References"]


class ByteRange(NamedTuple):
    """Bytes of a target: `size` from `offset`; size None: all of it, from its first byte to its last.

    `target` is an index into `Manifest.targets`.
    """

    target: int
    offset: int
    size: int | None


@dataclass(slots=True, eq=False)
class References:
    """Chunk references of one array, sorted by `cell`. An absent chunk is an absent row.

    Two are equal if they say the same of every cell, whatever the dtypes of their columns. They can be changed, and so
    have no hash.

    Attributes
    ----------
    cell : int64[n]
        Ravelled (C order) position in the chunk grid.
    target : integer[n]
        Index into `Manifest.targets`; a zero-stride array where all are the same.
    offset : uint64[n]
        Bytes from the start of the target.
    size : uint64[n]
        Stored bytes.
    inline
        Cell -> the chunk's encoded bytes. No cell is both inline and a row.
    whole
        Cell -> index of the target that is the chunk from its first byte to its last, of whatever size. Foreign
        manifests have such references; a scan makes none. No cell is both here and elsewhere.
    streamed
        Whether the columns are made when they are asked for, so that `windows` takes less memory than they do.

    Examples
    --------
    >>> import numpy as np
    >>> from refmaker import References
    >>> references = References(np.array([0, 2]), np.zeros(2, "u1"), np.array([8, 96], "u8"), np.array([80, 80], "u8"))
    >>> len(references), references.at(2), references.at(1)
    (2, ByteRange(target=0, offset=96, size=80), None)
    >>> references == references.between(0, 3), references == References.empty()
    (True, False)
    """

    streamed: ClassVar[bool] = False

    cell: npt.NDArray[np.int64]
    target: npt.NDArray[np.integer[Any]]
    offset: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    inline: dict[int, bytes] = field(default_factory=dict)
    whole: dict[int, int] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, References):
            return NotImplemented
        return (self.inline, self.whole) == (other.inline, other.whole) and all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.cell, other.cell),
                (self.target, other.target),
                (self.offset, other.offset),
                (self.size, other.size),
            )
        )

    __hash__ = None  # type: ignore[assignment]  # content can change

    def __len__(self) -> int:
        return len(self.cell) + len(self.inline) + len(self.whole)

    def at(self, cell: int) -> bytes | ByteRange | None:
        """Return what is recorded for a cell: its bytes, where they are, or None for nothing."""
        count, row = len(self.cell), cell
        if not (row < count and self.cell.item(row) == cell):  # else every cell before it has a row
            if cell in self.inline:
                return self.inline[cell]
            if cell in self.whole:
                return ByteRange(self.whole[cell], 0, None)
            row = int(np.searchsorted(self.cell, cell))
            if row == count or self.cell.item(row) != cell:
                return None
        return ByteRange(self.target.item(row), self.offset.item(row), self.size.item(row))

    def between(self, start: int, stop: int) -> References:
        """Return the references of the cells from `start` to before `stop`; the columns are views."""
        first, last = np.searchsorted(self.cell, (start, stop))
        part = slice(int(first), int(last))
        inline = {cell: data for cell, data in self.inline.items() if start <= cell < stop}
        whole = {cell: target for cell, target in self.whole.items() if start <= cell < stop}
        return References(self.cell[part], self.target[part], self.offset[part], self.size[part], inline, whole)

    def any_between(self, start: int, stop: int) -> bool:
        """Return whether any of the cells from `start` to before `stop` is recorded."""
        first, last = np.searchsorted(self.cell, (start, stop))
        others = itertools.chain(self.inline, self.whole)
        return bool(last > first) or any(start <= cell < stop for cell in others)

    def parts(self) -> Iterator[References]:
        """Yield all references, in parts that need not be in memory together; cells ascend."""
        yield self

    def windows(self, size: int) -> Iterator[tuple[int, References]]:
        """Yield the references of every `size` cells, with the number of that window.

        Those without any are left out.
        """
        others = np.array([*self.inline, *self.whole], "i8")
        for number in np.union1d(np.unique(self.cell // size), np.unique(others // size)).tolist():
            yield number, self.between(number * size, (number + 1) * size)

    def known(self, cells: npt.NDArray[np.int64]) -> tuple[References, list[int]]:
        """Return what can be looked at without reading anything, cells of `cells` and others around them.

        Returns
        -------
        references
            Of them.
        missing
            The first of `cells` in each shard that was not read yet.
        """
        return self, []

    def load(self) -> None:
        """Read all that is read only when it is needed: nothing here, shards where a manifest has them."""

    def is_loaded(self, cell: int | None = None) -> bool:
        """Return whether a cell, or all of them, can be looked at without reading anything."""
        return True

    @staticmethod
    def empty() -> References:
        """Return references to nothing."""
        return References(np.empty(0, "i8"), np.empty(0, "u1"), np.empty(0, "u8"), np.empty(0, "u8"))
