"""Chunks written anew into the manifest, where that makes arrays agree exactly.

Contract: what is written decodes to the values that the inputs have, and to the same after `scale_factor`,
`add_offset` and `_FillValue`; anything else is a `CombineError`, and so is more than the inline limit. Chunks that fit
stay references.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.pieces import Pieces, place
from refmaker.combining.reading import Reader
from refmaker.combining.records import CombineError
from refmaker.combining.values import decoded, dtype_of, encoded, fill_of, missing_of
from refmaker.manifest.references import References

__all__ = ["rechunked", "reencoded"]

Values = npt.NDArray[Any]


class _Budget:
    """Bytes that an array may still take."""

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.left = limit

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise CombineError(
                f"would take more than the inline limit of {self.limit} bytes: raise --inline-limit",
                path="/" + self.path,
            )


def reencoded(collection: Collection, path: str, first: int, reader: Reader, limit: int) -> Series:
    """Write the entries whose form is another than that of the input that comes first in that form.

    Parameters
    ----------
    first
        Entry whose form is kept.

    Raises
    ------
    CombineError
        Values are not the same in that form, or are too many.
    """
    series = collection.series[path]
    form, budget = collection.form(series, first), _Budget(path, limit)
    made = Series(series.rows.empty())
    for entry, references in enumerate(series.each()):
        own, shape = collection.form(series, entry), series.shapes[entry]
        columns = references.cell, references.target, references.offset, references.size
        if _agree(own, form):
            number = made.add(series.inputs[entry], series.forms[entry], shape, columns)
            if references.inline:
                made.inline[number] = references.inline
            if references.whole:
                made.whole[number] = references.whole
            continue
        budget.take(dtype_of(own).itemsize * math.prod(shape))
        values = decoded(own, shape, reader.chunks(references, "/" + path))
        values = _as(_turned(values, own, form), own, form, path)
        number = made.add(series.inputs[entry], series.forms[first], values.shape)
        made.inline[number] = _chunked(form, values)
    return made


def _agree(one: ArrayEncoding, other: ArrayEncoding) -> bool:
    return one is other or one.aspects == other.aspects


def _turned(values: Values, own: ArrayEncoding, form: ArrayEncoding) -> Values:
    """Bring axes into the order of another form."""
    if own.dimensions == form.dimensions or own.dimensions is None or form.dimensions is None:
        return values
    return values.transpose([own.dimensions.index(name) for name in form.dimensions])


def _chunked(form: ArrayEncoding, values: Values) -> dict[int, bytes]:
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(values.shape, form.chunks, strict=True))
    found = {}
    for cell, index in enumerate(np.ndindex(*grid)):
        inside = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, form.chunks, strict=True))
        found[cell] = encoded(form, _padded(form, values[inside]))
    return found


def _padded(form: ArrayEncoding, part: Values) -> Values:
    """Fill a chunk at the edge up."""
    if part.shape == form.chunks:
        return part
    whole = np.full(form.chunks, fill_of(form), dtype_of(form))
    whole[tuple(slice(extent) for extent in part.shape)] = part
    return whole


def _as(values: Values, own: ArrayEncoding, form: ArrayEncoding, path: str) -> Values:
    """Return raw values that mean in another form what these mean in their own."""
    dtype = dtype_of(form)
    if values.dtype.kind not in "iuf" or dtype.kind not in "iuf":
        if values.dtype.newbyteorder("=") != dtype.newbyteorder("="):
            raise _inexact(path, f"{values.dtype} as {dtype}")
        return values.astype(dtype)
    source, target = missing_of(own), missing_of(form)
    masked = np.zeros(values.shape, bool) if source is None else values == source
    if source is not None and source != source:
        masked = np.isnan(values) if values.dtype.kind == "f" else masked
    raw = values
    if _packing(own) != _packing(form):
        raw = _packed(values, masked, own, form, path)
    with np.errstate(invalid="ignore", over="ignore"):
        made = raw.astype(dtype)
        exact = (made.astype(raw.dtype) == raw) | masked
    if raw.dtype.kind == "f":
        exact |= np.isnan(raw) & (dtype.kind == "f")
    if not exact.all():
        raise _inexact(path, f"{own.dtype_text} as {form.dtype_text}")
    if target is not None and ((made == np.array(target, dtype)) & ~masked).any():
        raise _inexact(path, f"values that are _FillValue {target} elsewhere")
    if masked.any():
        if target is None and not (dtype.kind == "f" and source != source):
            raise _inexact(path, "values that are missing, without a _FillValue")
        made[masked] = np.nan if target is None else target
    return made


def _inexact(path: str, what: str) -> CombineError:
    return CombineError(f"cannot be written in the encoding of the first input: {what}", path="/" + path)


def _packing(form: ArrayEncoding) -> tuple[str, str]:
    return tuple(json.dumps(form.attributes.get(name)) for name in ("scale_factor", "add_offset"))  # type: ignore[return-value]


def _packed(values: Values, masked: Values, own: ArrayEncoding, form: ArrayEncoding, path: str) -> Values:
    """Unpack values, and pack them as another form does; exact in 32 and in 64 bits, as readers use both."""
    (scale, offset), (scale2, offset2) = _numbers(own, path), _numbers(form, path)
    meant = values.astype("f8") * scale + offset
    raw = (meant - offset2) / scale2
    if dtype_of(form).kind in "iu":
        raw = np.rint(raw)
    for kind in ("f8", "f4"):
        one = values.astype(kind) * np.array(scale, kind) + np.array(offset, kind)
        other = raw.astype(kind) * np.array(scale2, kind) + np.array(offset2, kind)
        if not ((one == other) | masked | (np.isnan(one) & np.isnan(other))).all():
            raise _inexact(path, f"scale_factor {scale}, add_offset {offset} as {scale2}, {offset2}")
    packed: Values = np.where(masked, 0, raw)
    return packed


def _numbers(form: ArrayEncoding, path: str) -> tuple[float, float]:
    scale, offset = form.attributes.get("scale_factor", 1.0), form.attributes.get("add_offset", 0.0)
    if not all(type(number) in (int, float) for number in (scale, offset)) or not scale:
        raise _inexact(path, f"scale_factor {scale!r}, add_offset {offset!r}")
    return float(scale), float(offset)


def rechunked(collection: Collection, path: str, pieces: Pieces, reader: Reader, limit: int) -> tuple[References, int]:
    """Place pieces that do not end on bounds of chunks: what fits stays a reference, the rest is cut anew.

    Returns
    -------
    references, written
        Number of chunks that were written.
    """
    series = collection.series[path]
    form, budget = collection.form(series, int(pieces.entry[0])), _Budget(path, limit)
    if len(pieces.dims) != 1:
        raise CombineError("partial chunks along several dimensions cannot be joined", path="/" + path)
    dim = pieces.dims[0]
    chunk, total = form.chunks[dim], pieces.shape[dim]
    fitting, cut = _split_fitting(pieces, chunk, total)
    made = place(series, fitting, form.chunks) if len(fitting.entry) else References.empty()
    inner = math.prod(extent for axis, extent in enumerate(pieces.shape) if axis != dim) * dtype_of(form).itemsize
    values: dict[int, Values] = {}
    grid = tuple(-(-extent // c) for extent, c in zip(pieces.shape, form.chunks, strict=True))
    written = 0
    for number in cut.tolist():
        first, behind = number * chunk, min((number + 1) * chunk, total)
        budget.take((behind - first) * inner)
        slab = _slab(collection, path, pieces, first, behind, values, reader, budget)
        for index, data in _slab_chunks(form, slab, dim):
            cell = int(np.ravel_multi_index((*index[:dim], number, *index[dim + 1 :]), grid))
            made.inline[cell] = data
            written += 1
    made.inline = dict(sorted(made.inline.items()))
    return made, written


def _split_fitting(pieces: Pieces, chunk: int, total: int) -> tuple[Pieces, npt.NDArray[np.int64]]:
    """Return the parts of pieces that fill whole chunks in place, and the numbers of all other chunks."""
    start, stop, position = pieces.start[:, 0], pieces.stop[:, 0], pieces.position[:, 0]
    aligned = (position - start) % chunk == 0
    end = position + stop - start
    low = -(-position // chunk) * chunk
    high = np.where(end == total, end, end // chunk * chunk)
    whole = aligned & (high > low)
    shift = position - start
    fitting = Pieces(
        pieces.dims,
        pieces.entry[whole],
        (low - shift)[whole][:, None],
        (high - shift)[whole][:, None],
        low[whole][:, None],
        pieces.shape,
    )
    covered = np.zeros(-(-total // chunk) + 1, "i8")
    np.add.at(covered, low[whole] // chunk, 1)
    np.add.at(covered, -(-high[whole] // chunk), -1)
    return fitting, np.flatnonzero(np.cumsum(covered)[:-1] == 0)


def _slab(
    collection: Collection,
    path: str,
    pieces: Pieces,
    first: int,
    behind: int,
    values: dict[int, Values],
    reader: Reader,
    budget: _Budget,
) -> Values:
    """Put the rows of one chunk together from the pieces that have them."""
    series, dim = collection.series[path], pieces.dims[0]
    start, stop, position = pieces.start[:, 0], pieces.stop[:, 0], pieces.position[:, 0]
    parts = []
    for piece in np.flatnonzero((position < behind) & (position + stop - start > first)).tolist():
        entry = int(pieces.entry[piece])
        if entry not in values:
            budget.take(dtype_of(collection.form(series, entry)).itemsize * math.prod(series.shapes[entry]))
            chunks = reader.chunks(series.references(entry), "/" + path)
            values[entry] = decoded(collection.form(series, entry), series.shapes[entry], chunks)
        shift = int(start[piece] - position[piece])
        rows = slice(max(first, int(position[piece])) + shift, min(behind + shift, int(stop[piece])))
        parts.append(values[entry][(slice(None),) * dim + (rows,)])
    return np.concatenate(parts, axis=dim)


def _slab_chunks(form: ArrayEncoding, slab: Values, dim: int) -> Sequence[tuple[tuple[int, ...], bytes]]:
    """Cut a slab into chunks: their indices, 0 along the dimension of the slab, and their bytes."""
    grid = tuple(1 if d == dim else -(-n // c) for d, (n, c) in enumerate(zip(slab.shape, form.chunks, strict=True)))
    found = []
    for index in np.ndindex(*grid):
        inside = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, form.chunks, strict=True))
        found.append((index, encoded(form, _padded(form, slab[inside]))))
    return found
