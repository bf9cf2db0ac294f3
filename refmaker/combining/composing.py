"""Arrays that inputs store differently, put together as composite arrays, where that is exact.

Contract: `compose` gives an array whose values, data type and masks are those of `xarray.concat` of the decoded inputs,
or raises `Unsupported` with the reason. Nothing is read: what decides stands in metadata and attributes. Where all
inputs mean the same by the same stored numbers, these are what is seen, with their attributes (the *stored* domain);
else all pieces are decoded on the way, and the attributes that say how are left out (the *decoded* domain): one piece
that differs takes all of them there, since arithmetic depends on the data type it begins with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.cf_decoding import Decoding, common_dtype, decoding_steps
from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import OPERANDS, ArrayEncoding
from refmaker.combining.pieces import Pieces
from refmaker.combining.values import dtype_of, missing_of
from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.composite import Composite, PieceForm
from refmaker.manifest.references import References
from refmaker.manifest.types import restored
from refmaker.steps import Template

__all__ = ["COMPOSABLE", "compose"]

COMPOSABLE = frozenset(
    {
        *OPERANDS,
        "dtype",
        "byte order",
        "codecs",
        "chunk grid",
        "fill value",
        "partial chunk",
        "_Unsigned",
        "operand types",
        "valid_min",
        "valid_max",
        "valid_range",
    }
)
"""In what inputs may differ, so that a composite array is exact."""

_DECODED_AWAY = (*OPERANDS, "_Unsigned")
_MEANING = (*OPERANDS, "_Unsigned", "_Encoding", "units", "calendar", "dtype")
_TARGET = 1 << 20
"""Bytes of a chunk that is seen, at least, where the array has them."""
_MOST = 1 << 26


@dataclass(frozen=True, slots=True)
class _Stored:
    """A form of the inputs, and how its values become those that are seen."""

    encoding: ArrayEncoding
    decoding: Decoding


def compose(collection: Collection, path: str, pieces: Pieces) -> tuple[Composite, list[str]]:
    """Put an array together of pieces that are stored differently.

    Returns
    -------
    composite, notes

    Raises
    ------
    Unsupported
        It would not be exact, or is not known here.
    """
    series = collection.series[path]
    if len(pieces.dims) != 1:
        raise Unsupported("a composite array along several dimensions")
    if not all(collection.forms.all[number].regular for number in set(series.forms)):
        raise Unsupported("chunks of different lengths in one input")
    if (pieces.entry < 0).any():
        raise Unsupported("some inputs lack it")
    stored = _stored(collection, series)
    same = len({_meaning(one.encoding) for one in stored.values()}) == 1
    kinds = {dtype_of(one.encoding).newbyteorder("=") for one in stored.values()}
    decoded = not (same and len(kinds) == 1)
    if decoded:
        _check_meaning([one.encoding for one in stored.values()])
    dtype = common_dtype([one.decoding.dtype for one in stored.values()]) if decoded else next(iter(kinds))
    axis = pieces.dims[0]
    first = collection.form(series, int(pieces.entry[0]))
    composite = _placed(series, pieces, stored, decoded=decoded)
    chunks = _chunks(collection, series, pieces, dtype.itemsize)
    attributes = _attributes(first, decoded=decoded)
    metadata = first.metadata.with_extent(pieces.shape, chunks).holding(dtype, text=False)
    fill: Any = None if metadata.masks_fill_value else "NaN" if dtype.kind == "f" else _zero(dtype)
    composite.metadata, composite.attributes, composite.axis = metadata.with_fill_value(fill), attributes, axis
    try:
        composite.check(path)
    except ManifestError as error:  # too much of something, which a manifest of this kind may not hold
        raise Unsupported(error.message) from error
    lossy = decoded and any(one.decoding.lossy for one in stored.values())
    wide = decoded and any(kind.kind in "iu" and kind.itemsize == 8 for kind in kinds) and dtype.kind == "f"
    notes = [f"/{path}: 64-bit integers are shown as {dtype}, as xarray has it: beyond 2^53 they are rounded"]
    return composite, notes if lossy or wide else []


def _zero(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "c":
        return [0, 0]
    return False if dtype.kind == "b" else "" if dtype.kind == "S" else 0


def _stored(collection: Collection, series: Series) -> dict[int, _Stored]:
    """Return all forms of a series, those of inputs without rows too: they decide the data type as well."""
    found = {}
    for number in dict.fromkeys(series.forms):
        encoding = collection.forms.all[number]
        dtype = dtype_of(encoding)
        if dtype.hasobject:
            raise Unsupported("text of any length has no fixed size")
        found[number] = _Stored(encoding, decoding_steps(dtype, operands_of(encoding)))
    return found


def operands_of(encoding: ArrayEncoding) -> dict[str, Any]:
    """Return the attributes that decide how values are decoded, numbers in the types that the file gave them."""
    attributes, types = encoding.attributes, encoding.types
    found: dict[str, Any] = {name: attributes[name] for name in ("_Unsigned", "dtype") if name in attributes}
    for name in OPERANDS[:3]:
        if name in attributes:
            found[name] = attributes[name] if types is None else restored(attributes[name], types.get(name))
    missing = missing_of(encoding)
    if missing is not None:
        dtype = dtype_of(encoding)
        kind = dtype if types is None or encoding.metadata.masks_fill_value else types.get("_FillValue", dtype)
        found["_FillValue"] = missing if types is None else _typed(missing, np.dtype(kind))
    return found


def _typed(value: Any, dtype: np.dtype[Any]) -> Any:
    try:
        return np.array(value, dtype.newbyteorder("="))[()]
    except (OverflowError, ValueError, TypeError) as error:
        raise Unsupported(f"_FillValue {value!r} is not of {dtype}") from error


def _meaning(encoding: ArrayEncoding) -> str:
    """Return one text for stored numbers that mean the same."""
    attributes = {name: encoding.attributes.get(name) for name in _MEANING}
    attributes["_FillValue"] = missing_of(encoding)
    types = {} if encoding.types is None else {name: encoding.types.get(name) for name in OPERANDS}
    return repr((attributes, sorted(types.items())))


def _check_meaning(encodings: Sequence[ArrayEncoding]) -> None:
    for one in encodings:
        units = str(one.attributes.get("units", ""))
        if "since" in units or "timedelta" in str(one.attributes.get("dtype", "")):
            raise Unsupported("times that are stored differently")
        if dtype_of(one).kind not in "biufc":
            raise Unsupported(f"values of {dtype_of(one)} that are stored differently")


def _placed(series: Series, pieces: Pieces, stored: dict[int, _Stored], *, decoded: bool) -> Composite:
    """Return the columns of a composite array, in which every entry of the series is a piece."""
    rank = len(pieces.shape)
    templates: dict[Template, int] = {}
    forms: dict[tuple[str, int], PieceForm] = {}
    which: dict[int, int] = {}
    for number, one in stored.items():
        template = templates.setdefault(one.decoding.template if decoded else Template(), len(templates))
        key = repr(one.encoding.metadata.document), template
        metadata = one.encoding.metadata.with_extent(one.encoding.chunks)
        forms.setdefault(key, PieceForm(metadata, template, tuple(range(rank))))
        which[number] = list(forms).index(key)
    most = max((len(one.decoding.operands) for one in stored.values()), default=0) if decoded else 0
    operands = np.zeros((len(series), most), "u8")
    if decoded:
        rows = {n: (*one.decoding.operands, *[0] * (most - len(one.decoding.operands))) for n, one in stored.items()}
        operands[...] = np.array([rows[number] for number in series.forms], "u8").reshape(operands.shape)
    order = np.argsort(pieces.position[:, 0], kind="stable")
    made = Composite(
        metadata=next(iter(stored.values())).encoding.metadata,
        attributes={},
        axis=pieces.dims[0],
        templates=tuple(templates),
        forms=tuple(forms.values()),
        slot_piece=pieces.entry[order].astype("i8"),
        slot_start=pieces.start[order, 0].astype("i8"),
        slot_length=(pieces.stop[order, 0] - pieces.start[order, 0]).astype("i8"),
        form=np.array([which[number] for number in series.forms], "i8"),
        extent=np.array(series.shapes, "i8").reshape(len(series), rank),
        operands=operands,
        references=References.empty(),
    )
    made.references = _references(series, made.base)
    return made


def _references(series: Series, base: npt.NDArray[np.int64]) -> References:
    """Return the references of all entries as one table."""
    cell, target, offset, size = series.rows.read(0, len(series.rows))
    cells = cell + np.repeat(base[:-1], series.counts)
    start = base.tolist()
    inline = {start[entry] + cell: data for entry, held in series.inline.items() for cell, data in held.items()}
    whole = {start[entry] + cell: one for entry, held in series.whole.items() for cell, one in held.items()}
    return References(
        cells.astype("i8"), target, offset, size, dict(sorted(inline.items())), dict(sorted(whole.items()))
    )


def _attributes(first: ArrayEncoding, *, decoded: bool) -> dict[str, Any]:
    if decoded:
        gone = (*_DECODED_AWAY, *(("dtype",) if first.attributes.get("dtype") == "bool" else ()))
        return {name: value for name, value in first.attributes.items() if name not in gone}
    attributes = dict(first.attributes)
    if first.metadata.masks_fill_value and (missing := missing_of(first)) is not None:
        attributes["_FillValue"] = "NaN" if missing != missing else missing
    return attributes


def _chunks(collection: Collection, series: Series, pieces: Pieces, itemsize: int) -> tuple[int, ...]:
    """Choose the chunks that are seen: along the axis the most frequent stored ones, joined until they are worth it."""
    axis, shape = pieces.dims[0], pieces.shape
    held = [(collection.form(series, entry).chunks, series.shapes[entry]) for entry in pieces.entry.tolist()]
    chosen = []
    for dim, extent in enumerate(shape):
        lengths = Counter(max(min(chunk[dim], own[dim]), 1) for chunk, own in held)
        chosen.append(min(lengths.most_common(1)[0][0] if lengths else 1, max(extent, 1)))
    size = itemsize * math.prod(chosen)
    if 0 < size < _TARGET:
        chosen[axis] = min(chosen[axis] * max(_TARGET // size, 1), max(shape[axis], 1))
    if itemsize * math.prod(chosen) > _MOST:
        chosen[axis] = max(_MOST * chosen[axis] // (itemsize * math.prod(chosen)), 1)
    return tuple(chosen)
