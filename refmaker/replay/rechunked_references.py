"""References of the decoded view of an array whose own are read shard by shard.

Contract: a chunk of the view is looked up in the shards that its chunks stand in, and in no other; a shard that cannot
be read is an error, never an absent chunk. Asking for a column as a whole reads all shards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.manifest.references import ByteRange, References
from refmaker.ranges import distinct
from refmaker.replay.rechunked_array import RechunkedArray, rows_of
from refmaker.replay.regularized import RegularizedArray

__all__ = ["RechunkedReferences"]

_COLUMNS = ("cell", "target", "offset", "size", "inline", "whole")


class RechunkedReferences(References):
    """See the module.

    Parameters
    ----------
    target_index
        The target that stands for the decoded array.
    """

    __slots__ = ("array", "target_index")

    def __init__(self, array: RechunkedArray | RegularizedArray, target_index: int) -> None:
        # The columns stay unset: that is what makes `__getattr__` work them out.
        self.array = array
        self.target_index = target_index

    def __getattr__(self, name: str) -> Any:
        if name not in _COLUMNS:
            raise AttributeError(name)
        self.load()
        return getattr(self, name)

    def __len__(self) -> int:
        complete = len(self._source) == self.array.source.cells
        return self._cells if complete else len(self.between(0, self._cells).cell)

    def __reduce__(self) -> tuple[Any, ...]:
        return RechunkedReferences, (self.array, self.target_index)

    def at(self, cell: int) -> bytes | ByteRange | None:
        """See `References.at`."""
        if not 0 <= cell < self._cells or not len(self.between(cell, cell + 1).cell):
            return None
        return ByteRange(self.target_index, cell * self.array.size, self.array.size)

    def between(self, start: int, stop: int) -> References:
        """See `References.between`."""
        first, stop = max(start, 0), min(stop, self._cells)
        if first >= stop:
            return References.empty()
        rows = self._source.between(*self.array.span(first, stop))
        cells = self.array.view_cells(np.concatenate([rows.cell, np.fromiter((*rows.inline, *rows.whole), "i8")]))
        return rows_of(self.array, cells[(cells >= first) & (cells < stop)], self.target_index)

    def any_between(self, start: int, stop: int) -> bool:
        """See `References.any_between`."""
        if start <= 0 and stop >= self._cells:
            return self._source.any_between(0, self.array.source.cells)
        return len(self.between(start, stop).cell) > 0

    def known(self, cells: npt.NDArray[np.int64]) -> tuple[References, list[int]]:
        """See `References.known`."""
        if self.is_loaded():
            return self, []
        here = [self.is_loaded(cell) for cell in cells.tolist()]
        parts = [self.between(cell, cell + 1).cell for cell, known in zip(cells.tolist(), here, strict=True) if known]
        known_cells = distinct(np.concatenate(parts)) if parts else np.empty(0, "i8")
        return rows_of(self.array, known_cells, self.target_index), cells[~np.array(here, bool)].tolist()

    def load(self) -> None:
        """Read all shards."""
        self._source.load()
        complete = self.between(0, self._cells)
        for name in _COLUMNS:
            setattr(self, name, getattr(complete, name))

    def is_loaded(self, cell: int | None = None) -> bool:
        """See `References.is_loaded`."""
        if self._source.is_loaded():
            return True
        return cell is not None and not self._source.known(self.array.cells(cell))[1]

    @property
    def _source(self) -> References:
        return self.array.source.references

    @property
    def _cells(self) -> int:
        return math.prod(self.array.grid)
