"""Spelling of chunk keys: between the name below an array and the cell of its chunk grid.

Contract: pure arithmetic over a `ChunkLayout`, one spelling a cell. Numbers are canonical decimals: `00`, `+1` or
digits of other scripts are no chunk keys. Sources: Zarr 2 specification, "Chunks" and `dimension_separator`; Zarr 3
specification, "Chunk key encoding".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError
from refmaker.kerchunk.digits import digit_groups, put_digits
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["ChunkKeyEncoding", "cell_of", "indices_of", "names_of", "position"]

_NUMBER = re.compile("0|[1-9][0-9]*")
_DIGITS = 19  # of the largest int64: a longer number is outside any grid
_BLOCK = 1 << 17


class ChunkKeyEncoding:
    """The chunk keys of one array, for whoever looks up many."""

    __slots__ = ("_grid", "_match", "layout")

    def __init__(self, layout: ChunkLayout) -> None:
        number = f"(0|[1-9][0-9]{{0,{_DIGITS - 1}}})"
        text = re.escape(layout.head) + re.escape(layout.separator).join([number] * len(layout.grid))
        self.layout = layout
        self._grid = layout.grid
        self._match: Callable[[str], re.Match[str] | None] = re.compile(
            text if layout.grid else layout.scalar
        ).fullmatch

    def cell(self, name: str) -> int | None:
        """Return the cell that `name` stands for, None where it is outside the grid or no chunk key at all."""
        found = self._match(name)
        if found is None:
            return None
        cell = 0
        for index, extent in zip(found.groups(), self._grid, strict=True):
            value = int(index)
            if value >= extent:
                return None
            cell = cell * extent + value
        return cell


def cell_of(layout: ChunkLayout, name: str) -> int | None:
    """Return the cell that `name` stands for, None where it lies outside the grid.

    Raises
    ------
    ManifestError
        No cell of any grid of this rank is spelled so.
    """
    if name == layout.scalar and not layout.grid:
        return 0
    indices = name.removeprefix(layout.head).split(layout.separator)
    if not name.startswith(layout.head) or len(indices) != len(layout.grid) or not indices_of(indices):
        example = layout.head + layout.separator.join("0" * len(layout.grid)) if layout.grid else layout.scalar
        raise ManifestError("not a chunk key of this array", expected=f"{example!r} or the like", got=repr(name))
    return position(layout, indices)


def indices_of(parts: Sequence[str]) -> bool:
    """Return whether all parts are canonical decimals."""
    return all(map(_NUMBER.fullmatch, parts))


def position(layout: ChunkLayout, indices: Sequence[str]) -> int | None:
    """Return the ravelled position of canonical numbers in the first dimensions of the grid, None where outside."""
    cell = 0
    for index, extent in zip(indices, layout.grid, strict=False):
        value = int(index) if len(index) <= _DIGITS else extent
        if value >= extent:
            return None
        cell = cell * extent + value
    return cell


def names_of(layout: ChunkLayout, cells: npt.NDArray[np.int64], prefix: str = "") -> list[str]:
    """Return the names of `cells` below their array, in their order, with `prefix` in front."""
    if not layout.grid:
        return [prefix + layout.scalar] * len(cells)
    names: list[str] = []
    for start in range(0, len(cells), _BLOCK):
        text = _lines(layout, cells[start : start + _BLOCK])
        names += text.split("\n")
        names.pop()
    prefix += layout.head
    return [prefix + name for name in names] if prefix else names


def _lines(layout: ChunkLayout, cells: npt.NDArray[np.int64]) -> str:
    """Return the indices of cells as text, a line for each: digits in places of a fixed width, then squeezed."""
    separator, end = (np.full((len(cells), 1), ord(mark), "u1") for mark in (layout.separator, "\n"))
    fields = []
    for index, extent in zip(np.unravel_index(cells, layout.grid), layout.grid, strict=True):
        digits = np.zeros((len(cells), digit_groups(extent - 1)), "u4")
        put_digits(digits, index.astype("u8"))
        fields += [digits.view("u1"), separator]
    fields[-1] = end
    return np.concatenate(fields, axis=1).tobytes().translate(None, b"\0").decode("ascii")
