"""The pieces of an array, and its references assembled from them.

Contract: `pieces_of` finds at most one entry for every position; `place` moves references by the arithmetic of
`refmaker.combining.shift`, all at once or, of rows in a file, part by part when they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from refmaker.combining.collection import Series
from refmaker.combining.dimensions import Axis
from refmaker.combining.rows import FileRows
from refmaker.combining.shift import Moves, Pieces
from refmaker.combining.windows import PlacedReferences
from refmaker.manifest.references import References

__all__ = ["Pieces", "pieces_of", "place", "placed"]

_MOST_HOLES = 16
"""Positions per entry of a grid, beyond which it is not laid out: inputs on a diagonal would fill memory."""


def pieces_of(
    series: Series, dims: Sequence[int], axes: Sequence[Axis], duplicates: str
) -> tuple[Pieces, list[tuple[int, int]]]:
    """Find the pieces of an array.

    Parameters
    ----------
    dims, axes
        Number of a dimension of the array, and the axis that it is.
    duplicates
        Which of several entries at one position is used: "last", else the first.

    Returns
    -------
    pieces, duplicates
        Pairs of entries that have the same position.
    """
    # Blocks along all axes become one number, row-major: one sort finds duplicates, one search finds entries.
    blocks = np.array([[axis.block_of.get(number, -1) for axis in axes] for number in series.inputs], "i8")
    blocks = blocks.reshape(len(series), len(axes))
    counts = [len(axis.lengths) for axis in axes]
    code = np.zeros(len(series), "i8")
    for axis, count in enumerate(counts):
        code = code * count + blocks[:, axis]
    code[(blocks < 0).any(axis=1)] = -1  # entries of inputs that the axes leave out sort to the front
    order = np.argsort(code, kind="stable")  # stable: among duplicates, the order of the inputs decides
    ranked = code[order]
    same = np.flatnonzero((ranked[1:] == ranked[:-1]) & (ranked[1:] >= 0))
    duplicated = [(int(order[at]), int(order[at + 1])) for at in same.tolist()]
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
    return Pieces(tuple(dims), entry, columns[0], columns[1], columns[2], tuple(shape)), duplicated


def place(series: Series, pieces: Pieces, chunks: Sequence[int]) -> References:
    """Return the references of the combined array. All pieces are there, and none is ragged."""
    return placed(series, pieces, Moves.of(series, pieces, chunks))


def placed(series: Series, pieces: Pieces, moves: Moves) -> References:
    """Return the references of the combined array, moved so. All pieces are there."""
    if isinstance(series.rows, FileRows):
        return PlacedReferences(series, pieces.entry, moves)
    counts = np.asarray(series.counts, "i8")[pieces.entry]
    # Rows of all pieces one after the other: the start of each entry minus what precedes it, plus a running number.
    rows = np.repeat(series.starts[pieces.entry] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    rows += np.arange(len(rows))
    piece = np.repeat(np.arange(len(pieces.entry)), counts)
    cell, target, offset, size = series.rows.read(0, len(series.rows))
    cell, target, offset, size = cell[rows], target[rows], offset[rows], size[rows]
    cell, inside = moves.moved(cell, piece)
    if not inside.all():
        cell, target, offset, size = cell[inside], target[inside], offset[inside], size[inside]
    # Pieces along the first axis alone come in order; only others need the sort, which is the dearest step.
    if not (cell[1:] > cell[:-1]).all():
        order = np.argsort(cell, kind="stable")
        cell, target, offset, size = cell[order], target[order], offset[order], size[order]
    if len(target) and (target == target[0]).all():
        target = np.broadcast_to(target[0], len(target))  # one value with stride 0 instead of a column
    inline, whole = moves.moved_single(series.inline, pieces.entry), moves.moved_single(series.whole, pieces.entry)
    return References(cell, target, offset, size, inline, whole)
