"""Uncompressed chunks cut into shorter ones, so that pieces of any length end on bounds of chunks.

Contract: pure arithmetic. Rows of an uncompressed chunk lie one behind the other where no axis before that of the rows
is longer than one; a chunk of `c` rows is then `c / g` chunks of `g` rows, none of which is read. What cannot be cut so
stays as it is.
"""

from __future__ import annotations

import math

import numpy as np

from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import with_extent
from refmaker.combining.pieces import Pieces
from refmaker.combining.values import dtype_of
from refmaker.errors import FormatError
from refmaker.manifest.references import References

__all__ = ["subchunked"]

_MOST = 1 << 26
"""References that an array may come to have."""


def subchunked(collection: Collection, path: str, pieces: Pieces) -> Series | None:
    """Cut the chunks of all entries of an array to one common length; None where that cannot be done.

    Raises
    ------
    FormatError
        An uncompressed chunk has another size than its elements.
    """
    series = collection.series[path]
    forms = {number: collection.forms.all[number] for number in dict.fromkeys(series.forms)}
    if not all(form.regular for form in forms.values()):
        return None
    if len(pieces.dims) != 1 or any(form.codecs or form.metadata.order == "F" for form in forms.values()):
        return None
    dim = pieces.dims[0]
    others = {(*form.chunks[:dim], *form.chunks[dim + 1 :], str(dtype_of(form))) for form in forms.values()}
    first = next(iter(forms.values()))
    if len(others) > 1 or math.prod(first.chunks[:dim]) != 1 or dtype_of(first).kind == "O" or series.whole:
        return None
    start, stop, position = pieces.start[:, 0], pieces.stop[:, 0], pieces.position[:, 0]
    inner = stop[position + stop - start < pieces.shape[dim]]
    bounds = (*start.tolist(), *position.tolist(), *inner.tolist())
    rows = math.gcd(*bounds, *(form.chunks[dim] for form in forms.values()))
    if rows < 1 or sum(shape[dim] for shape in series.shapes) * _outer(series, dim, first.chunks) // rows > _MOST:
        return None
    size = rows * math.prod(first.chunks[dim + 1 :]) * dtype_of(first).itemsize
    made = Series(series.rows.empty())
    for entry, references in enumerate(series.each()):
        form, shape = forms[series.forms[entry]], series.shapes[entry]
        chunks = (*form.chunks[:dim], rows, *form.chunks[dim + 1 :])
        cut = _cut(references, shape, form.chunks, dim, rows, size, path)
        number = collection.forms.number(with_extent(form, shape, chunks), form.attributes, form.types)
        columns = cut.cell, cut.target, cut.offset, cut.size
        at = made.add(series.inputs[entry], number, shape, columns)
        if cut.inline:
            made.inline[at] = cut.inline
    return made


def _outer(series: Series, dim: int, chunks: tuple[int, ...]) -> int:
    shape = series.shapes[0]
    return math.prod(-(-n // c) for d, (n, c) in enumerate(zip(shape, chunks, strict=True)) if d != dim)


def _cut(
    references: References, shape: tuple[int, ...], chunks: tuple[int, ...], dim: int, rows: int, size: int, path: str
) -> References:
    parts = chunks[dim] // rows
    sizes = [*np.unique(references.size).tolist(), *map(len, references.inline.values())]
    if any(one != size * parts for one in sizes):
        message = "size of an uncompressed chunk"
        raise FormatError(message, path="/" + path, structure="Zarr chunk", expected=size * parts, got=sizes)
    own = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    grid = [-(-n // rows) if d == dim else extent for d, (n, extent) in enumerate(zip(shape, own, strict=True))]
    index = list(np.unravel_index(np.repeat(references.cell, parts), own))
    part = np.tile(np.arange(parts), len(references.cell))
    index[dim] = index[dim] * parts + part
    inside = index[dim] < grid[dim]
    cell = np.ravel_multi_index([one[inside] for one in index], grid).astype("i8") if len(part) else references.cell
    offset = (np.repeat(references.offset, parts) + part.astype(np.uint64) * np.uint64(size))[inside]
    target = np.repeat(references.target, parts)[inside]
    order = np.argsort(cell, kind="stable")
    made = References(cell[order], target[order], offset[order], np.full(len(cell), size, "u8"))
    for at, data in references.inline.items():
        where = [int(i) for i in np.unravel_index(at, own)]
        for number in range(parts):
            row = where[dim] * parts + number
            if row < grid[dim]:
                place = int(np.ravel_multi_index([*where[:dim], row, *where[dim + 1 :]], grid))
                made.inline[place] = data[number * size : (number + 1) * size]
    return made
