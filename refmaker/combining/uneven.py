"""Chunks of different lengths along an axis, put behind each other where they are.

Contract: arithmetic on columns, nothing is read. Inputs whose chunks differ in length, or whose last chunks are padded,
become one array on a rectilinear grid (Zarr 3): padded chunks through the codec `refmaker.crop`, uncompressed ones cut
by their length, without a codec. What comes out with equal lengths is on a regular grid, in either format. What cannot
be put so is left as it is: a piece that begins within a compressed chunk, other lengths along an axis that is not
concatenated, two axes along which stored chunks differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.pieces import Pieces, placed
from refmaker.combining.rows import Columns
from refmaker.combining.shift import Moves
from refmaker.combining.values import dtype_of
from refmaker.errors import FormatError, Unsupported
from refmaker.manifest.manifest import ManifestArray
from refmaker.zarr.rectilinear import Lengths

__all__ = ["uneven"]


@dataclass(slots=True)
class _Axis:
    """Chunks along an axis of the combined array: their lengths there, and those they are stored with, 0 for any."""

    lengths: Lengths
    stored: Lengths

    @property
    def padded(self) -> bool:
        return bool((self.lengths != self.stored).any())


class _Unfit(Exception):
    """The chunks cannot be put behind each other."""


def uneven(collection: Collection, path: str, pieces: Pieces) -> ManifestArray | None:
    """Return an array whose pieces stand behind each other as they are, None where they cannot.

    Parameters
    ----------
    pieces
        All of them are there. Inputs agree in all but their chunks.

    Raises
    ------
    FormatError
        An uncompressed chunk has another size than its elements.
    """
    series = collection.series[path]
    if series.whole or not len(pieces.entry) or (pieces.entry < 0).any():
        return None
    try:
        return _cut(collection, series, pieces) or _cropped(collection, series, pieces)
    except _Unfit:
        return None


def _cropped(collection: Collection, series: Series, pieces: Pieces) -> ManifestArray | None:
    form = collection.form(series, int(pieces.entry[0]))
    axes = [_axis(collection, series, pieces, dim, cut=False) for dim in range(len(pieces.shape))]
    for axis in axes:
        if len(axis.lengths) and axis.stored[-1] > axis.lengths[-1]:
            # The last chunk may reach beyond the array, in every grid.
            whole = axis.lengths.copy()
            whole[-1] = axis.stored[-1]
            if (whole == axis.stored).all():
                axis.lengths = whole
    encoded: list[int | None] | None = None
    if any(axis.padded for axis in axes):
        encoded = [_encoded(axis) for axis in axes]
        if encoded.count(None) > 1 or not _takes_part(form):
            return None
        for axis, extent in zip(axes, pieces.shape, strict=True):
            axis.lengths = axis.lengths - np.maximum(np.cumsum(axis.lengths) - extent, 0)
    return _made(collection, series, pieces, axes, encoded)


def _cut(collection: Collection, series: Series, pieces: Pieces) -> ManifestArray | None:
    """Cut uncompressed chunks by their length, where their rows lie one behind the other."""
    form = collection.form(series, int(pieces.entry[0]))
    dtype = dtype_of(form)
    if len(pieces.dims) != 1 or form.codecs or form.metadata.order == "F" or dtype.kind == "O":
        return None
    dim = pieces.dims[0]
    axes = [_axis(collection, series, pieces, d, cut=d == dim) for d in range(len(pieces.shape))]
    inner = [int(axis.stored[0]) if len(axis.stored) else 1 for axis in axes]
    even = all((axis.stored == inner[d]).all() and inner[d] for d, axis in enumerate(axes) if d != dim)
    if not even or math.prod(inner[:dim]) != 1:
        return None
    for d, axis in enumerate(axes):
        axis.lengths = axis.lengths if d == dim else axis.stored
    row = dtype.itemsize * math.prod(inner[dim + 1 :])
    parts = Series(series.rows.empty())
    starts = series.starts
    runs = zip(pieces.entry.tolist(), pieces.start[:, 0].tolist(), pieces.stop[:, 0].tolist(), strict=True)
    for entry, start, stop in runs:
        held = series.rows.read(int(starts[entry]), int(starts[entry + 1]))
        own = collection.form(series, entry)
        shape = series.shapes[entry]
        lengths = [_own(own, shape, d) for d in range(len(shape))]
        grid = tuple(len(axis) for axis in lengths)
        at = parts.add(
            series.inputs[entry], series.forms[entry], shape, _shorter(held, lengths, dim, (start, stop), row)
        )
        if entry in series.inline:
            parts.inline[at] = {}
            edges = np.cumsum(lengths[dim]) - lengths[dim]
            for cell, data in series.inline[entry].items():
                first = int(edges[np.unravel_index(cell, grid)[dim]])
                parts.inline[at][cell] = data[max(start - first, 0) * row : max(stop - first, 0) * row]
    entries = np.arange(len(pieces.entry))
    alone = Pieces(pieces.dims, entries, pieces.start, pieces.stop, pieces.position, pieces.shape)
    return _made(collection, parts, alone, axes, None)


def _shorter(held: Columns, lengths: list[Lengths], dim: int, rows: tuple[int, int], row: int) -> Columns:
    """Return the references of a piece, each to as many rows of its chunk as are in it."""
    cell, target, offset, size = held
    index = np.unravel_index(cell, tuple(len(axis) for axis in lengths))[dim]
    first = (np.cumsum(lengths[dim]) - lengths[dim])[index]
    whole = lengths[dim][index]
    wrong = np.flatnonzero(size != (whole * row).astype("u8"))
    if len(wrong):
        expected, got = int(whole[wrong[0]]) * row, int(size[wrong[0]])
        raise FormatError("size of an uncompressed chunk", structure="Zarr chunk", expected=expected, got=got)
    low = np.maximum(first, rows[0])
    high = np.maximum(np.minimum(first + whole, rows[1]), low)
    return cell, target, offset + ((low - first) * row).astype("u8"), ((high - low) * row).astype("u8")


def _made(
    collection: Collection, series: Series, pieces: Pieces, axes: list[_Axis], encoded: list[int | None] | None
) -> ManifestArray | None:
    """Put the pieces on the grid of some axes."""
    form = collection.form(series, int(pieces.entry[0]))
    grid = tuple(len(axis.lengths) for axis in axes)
    regular = encoded is None and all(len(set(axis.lengths.tolist())) <= 1 for axis in axes)
    if regular:
        chunks = [int(axis.lengths[0]) if len(axis.lengths) else 1 for axis in axes]
        metadata = form.metadata.with_extent(pieces.shape).uncropped().with_extent(pieces.shape, chunks)
    else:
        try:
            metadata = form.metadata.with_chunk_lengths(pieces.shape, [axis.lengths for axis in axes], encoded)
        except Unsupported:  # Zarr 2 has no such grid
            return None
    if form.fill_value is None:
        values = (collection.forms.all[number].fill_value for number in dict.fromkeys(series.forms))
        metadata = metadata.with_fill_value(next((value for value in values if value is not None), None))
    references = placed(series, pieces, _moves(collection, series, pieces, axes, grid))
    return ManifestArray(metadata, dict(form.attributes), grid, references)


def _moves(collection: Collection, series: Series, pieces: Pieces, axes: list[_Axis], grid: tuple[int, ...]) -> Moves:
    rank = len(pieces.shape)
    own = np.empty((len(pieces.entry), rank), "i8")
    first = np.empty(pieces.start.shape, "i8")
    behind = np.empty(pieces.start.shape, "i8")
    known: dict[tuple[int, int, int], Lengths] = {}
    for number, entry in enumerate(pieces.entry.tolist()):
        shape = series.shapes[entry]
        for dim in range(rank):
            key = series.forms[entry], dim, shape[dim]
            if key not in known:
                known[key] = np.cumsum(_own(collection.form(series, entry), shape, dim))
            ends = known[key]
            own[number, dim] = len(ends)
            if dim in pieces.dims:
                column = pieces.dims.index(dim)
                first[number, column] = np.searchsorted(ends, pieces.start[number, column], side="right")
                behind[number, column] = np.searchsorted(ends, pieces.stop[number, column], side="left") + 1
    place = np.empty(pieces.start.shape, "i8")
    for column, dim in enumerate(pieces.dims):
        lengths = axes[dim].lengths
        place[:, column] = np.searchsorted(np.cumsum(lengths) - lengths, pieces.position[:, column])
    return Moves(pieces.dims, grid, own, first, behind, place - first)


def _axis(collection: Collection, series: Series, pieces: Pieces, dim: int, *, cut: bool) -> _Axis:
    """Return the chunks along an axis; raises `_Unfit` where inputs at one place differ, or one begins in a chunk."""
    known: dict[tuple[int, ...], tuple[Lengths, Lengths]] = {}
    column = pieces.dims.index(dim) if dim in pieces.dims else None
    found: dict[int, tuple[Lengths, Lengths]] = {}
    for number, entry in enumerate(pieces.entry.tolist()):
        extent = series.shapes[entry][dim]
        start, stop, position = 0, extent, 0
        if column is not None:
            start, stop = int(pieces.start[number, column]), int(pieces.stop[number, column])
            position = int(pieces.position[number, column])
        key = series.forms[entry], extent, start, stop
        if key not in known:
            form = collection.form(series, entry)
            known[key] = _part(form, series.shapes[entry], dim, start, stop, cut=cut)
        one, other = known[key], found.setdefault(position, known[key])
        if one is not other and not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)):
            raise _Unfit("other chunks at one place")
    parts = [found[position] for position in sorted(found)]
    return _Axis(np.concatenate([one for one, _ in parts]), np.concatenate([other for _, other in parts]))


def _part(
    form: ArrayEncoding, shape: tuple[int, ...], dim: int, start: int, stop: int, *, cut: bool
) -> tuple[Lengths, Lengths]:
    """Return how many rows of a piece are in each of its chunks, and of how many these are stored."""
    lengths = _own(form, shape, dim)
    stops = np.cumsum(lengths)
    first, behind = np.searchsorted(stops, start, side="right"), np.searchsorted(stops, stop, side="left") + 1
    part = slice(int(first), int(behind) if stop > start else int(first))
    begin = (stops - lengths)[part]
    if len(begin) and begin[0] != start and not cut:
        raise _Unfit("begins within a chunk")
    inside = np.minimum(stops[part], stop) - np.maximum(begin, start)
    encoded = form.metadata.encoded_chunk
    if encoded is None:
        return inside, lengths[part]
    return inside, np.full(len(begin), encoded[dim] or 0, "i8")


def _own(form: ArrayEncoding, shape: tuple[int, ...], dim: int) -> Lengths:
    """Return the lengths of the chunks of an input along an axis."""
    lengths = form.metadata.with_extent(shape).chunk_lengths
    if lengths is not None:
        return lengths[dim]
    chunk = form.chunks[dim]
    return np.full(-(-shape[dim] // chunk), chunk, "i8")


def _encoded(axis: _Axis) -> int | None:
    found = set(axis.stored.tolist())
    return found.pop() or None if len(found) == 1 else None


def _takes_part(form: ArrayEncoding) -> bool:
    """Return whether stored chunks are arrays in C order behind codecs that take bytes for bytes."""
    return form.metadata.crops and dtype_of(form).kind != "O"
