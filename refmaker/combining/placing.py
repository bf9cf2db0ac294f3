"""Chunks of inputs to cells of the combined grid: arithmetic on columns.

Contract: a *piece* is what one entry of a series gives to the combined array: rows `start` to `stop` along every axis,
coming to stand at `position`. A piece is placed without looking at its data if it begins and ends on bounds of chunks,
on both sides; only the end of the whole may lie within a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.combining.collecting import Series
from refmaker.combining.dimensions import Axis
from refmaker.manifest.manifest import References

__all__ = ["Pieces", "pieces_of", "place"]

Integers = npt.NDArray[np.int64]

_MOST_HOLES = 16


@dataclass(slots=True)
class Pieces:
    """What comes from where.

    Attributes
    ----------
    dims
        The axes of the array, by number, along which it is put together.
    entry : int64[n]
        Entry of the series; -1 where no input has the piece.
    start, stop, position : int64[n, len(dims)]
        Rows of the entry; where the first of them comes to stand.
    shape
        Of the combined array.
    """

    dims: tuple[int, ...]
    entry: Integers
    start: Integers
    stop: Integers
    position: Integers
    shape: tuple[int, ...]

    def ragged(self, chunks: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Tell which pieces do not begin or end on bounds of chunks: bool[n, len(dims)]."""
        chunk = np.array([chunks[dim] for dim in self.dims], "i8")
        total = np.array([self.shape[dim] for dim in self.dims], "i8")
        last = self.position + self.stop - self.start == total
        wrong: npt.NDArray[np.bool_] = (self.start % chunk != 0) | (self.position % chunk != 0)
        wrong |= (self.stop % chunk != 0) & ~last
        return wrong


def pieces_of(
    series: Series, dims: Sequence[int], axes: Sequence[Axis], duplicates: str
) -> tuple[Pieces, list[tuple[int, int]]]:
    """Find the pieces of an array.

    Parameters
    ----------
    dims, axes
        Number of a dimension of the array, and the axis that it is.
    duplicates
        Which of several entries in one place is taken: "last", else the first.

    Returns
    -------
    pieces, twice
        Pairs of entries that have one place.
    """
    blocks = np.array([[axis.block_of.get(number, -1) for axis in axes] for number in series.inputs], "i8")
    blocks = blocks.reshape(len(series), len(axes))
    counts = [len(axis.lengths) for axis in axes]
    code = np.zeros(len(series), "i8")
    for axis, count in enumerate(counts):
        code = code * count + blocks[:, axis]
    code[(blocks < 0).any(axis=1)] = -1
    order = np.argsort(code, kind="stable")
    ranked = code[order]
    same = np.flatnonzero((ranked[1:] == ranked[:-1]) & (ranked[1:] >= 0))
    twice = [(int(order[at]), int(order[at + 1])) for at in same.tolist()]
    keep = np.ones(len(order), bool)
    keep[same if duplicates == "last" else same + 1] = False
    keep &= ranked >= 0
    order, ranked = order[keep], ranked[keep]
    runs = [axis.runs for axis in axes]
    if math.prod(len(axis.used) for axis in axes) > max(len(ranked), 1) * _MOST_HOLES:
        runs = [run[:1] for run in runs]  # a grid that is mostly holes is not worth its memory
        ranked = ranked[:0]
    picks = np.stack(
        [part.ravel() for part in np.meshgrid(*(np.arange(len(run)) for run in runs), indexing="ij")], axis=1
    )
    wanted = np.zeros(len(picks), "i8")
    for axis, (run, count) in enumerate(zip(runs, counts, strict=True)):
        wanted = wanted * count + run[picks[:, axis], 0]
    entry = np.full(len(wanted), -1, "i8")
    if len(ranked):
        at = np.searchsorted(ranked, wanted).clip(max=len(ranked) - 1)
        entry = np.where(ranked[at] == wanted, order[at], -1)
    columns = [np.stack([run[picks[:, axis], c] for axis, run in enumerate(runs)], axis=1) for c in (1, 2, 3)]
    present = entry[entry >= 0]
    shape = list(series.shapes[int(present[0])]) if len(present) else list(series.shapes[0])
    for dim, axis_of in zip(dims, axes, strict=True):
        shape[dim] = axis_of.length
    return Pieces(tuple(dims), entry, columns[0], columns[1], columns[2], tuple(shape)), twice


def place(series: Series, pieces: Pieces, chunks: Sequence[int]) -> References:
    """Give the references of the combined array. All pieces are there, and none is ragged."""
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(pieces.shape, chunks, strict=True))
    chunk = np.array([chunks[dim] for dim in pieces.dims], "i8")
    first = pieces.start // chunk
    behind = -(-pieces.stop // chunk)
    shift = pieces.position // chunk - first
    rows = series.rows(pieces.entry)
    counts = np.asarray(series.counts, "i8")[pieces.entry]
    piece = np.repeat(np.arange(len(pieces.entry)), counts)
    cell, target, offset, size = series.columns
    cell, target, offset, size = cell[rows], target[rows], offset[rows], size[rows]
    own = _grids(series, pieces.entry, chunks)
    cell, inside = _moved(cell, own, piece, pieces.dims, first, behind, shift, grid)
    if not inside.all():
        cell, target, offset, size = cell[inside], target[inside], offset[inside], size[inside]
    if not (cell[1:] > cell[:-1]).all():
        order = np.argsort(cell, kind="stable")
        cell, target, offset, size = cell[order], target[order], offset[order], size[order]
    if len(target) and (target == target[0]).all():
        target = np.broadcast_to(target[0], len(target))
    made = References(cell, target, offset, size)
    for name in ("inline", "whole"):
        held = getattr(series, name)
        if held:
            getattr(made, name).update(_moved_single(held, own, pieces, first, behind, shift, grid))
    return made


def _grids(series: Series, entry: Integers, chunks: Sequence[int]) -> Integers:
    """Give the chunk grid of the entry of every piece."""
    shapes = np.array([series.shapes[e] for e in entry.tolist()], "i8").reshape(len(entry), len(chunks))
    grids: Integers = -(-shapes // np.asarray(chunks, "i8"))
    return grids


def _moved(
    cell: Integers,
    own: Integers,
    piece: Integers,
    dims: tuple[int, ...],
    first: Integers,
    behind: Integers,
    shift: Integers,
    grid: tuple[int, ...],
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Move cells from the grids of their entries to the combined one; say which are in the piece."""
    moved = np.zeros(len(cell), "i8")
    inside = np.ones(len(cell), bool)
    stride = 1
    alike = bool((own == own[:1]).all())
    for dim in range(len(grid) - 1, -1, -1):
        extent = own[0, dim] if alike and len(own) else own[piece, dim]
        cell, index = np.divmod(cell, extent) if dim else (cell, cell)
        if dim in dims:
            axis = dims.index(dim)
            inside &= (index >= first[piece, axis]) & (index < behind[piece, axis])
            index = index + shift[piece, axis]
        moved += index * stride
        stride *= grid[dim]
    return moved, inside


def _moved_single(
    held: dict[int, dict[int, object]],
    own: Integers,
    pieces: Pieces,
    first: Integers,
    behind: Integers,
    shift: Integers,
    grid: tuple[int, ...],
) -> dict[int, object]:
    """Move what is held cell by cell."""
    values: list[object] = []
    cells: list[int] = []
    owner: list[int] = []
    for number, entry in enumerate(pieces.entry.tolist()):
        found = held.get(entry)
        if found:
            cells += found
            values += found.values()
            owner += [number] * len(found)
    moved, inside = _moved(np.array(cells, "i8"), own, np.array(owner, "i8"), pieces.dims, first, behind, shift, grid)
    pairs = zip(moved.tolist(), inside.tolist(), values, strict=True)
    return dict(sorted((cell, value) for cell, within, value in pairs if within))
