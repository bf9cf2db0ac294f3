"""The combined manifest, from a plan without disagreements.

Contract: nothing is decided here. References are moved, not looked at; what is read are coordinates, which are written
into the manifest, so that opening it needs none of the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Collection
from refmaker.combining.coordinates import Coordinate, masked
from refmaker.combining.dimensions import Axis
from refmaker.combining.encodings import ArrayEncoding, with_extent
from refmaker.combining.pieces import Pieces, place
from refmaker.combining.planning import Plan
from refmaker.combining.reading import Reader
from refmaker.combining.records import CombineError, Options
from refmaker.combining.times import TimeUnits, check_plain, encode, ticks, time_units
from refmaker.combining.values import decoded, dtype_of, encoded, fill_of
from refmaker.errors import RefmakerError, Unsupported
from refmaker.manifest.composite import Composite
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References

__all__ = ["build"]


def build(
    collection: Collection,
    plan: Plan,
    made: Mapping[str, References | ManifestArray | Composite],
    options: Options,
    reader: Reader,
) -> Manifest:
    """Make the manifest of all inputs.

    Parameters
    ----------
    made
        References, or whole arrays, that were made otherwise than by moving, by path.

    Raises
    ------
    CombineError
        A coordinate cannot be written as one array.
    """
    arrays: dict[str, ManifestArray] = {}
    written = _written_times(collection, plan, reader)
    composites = {path: one for path, one in made.items() if isinstance(one, Composite)}
    for path in collection.series:
        if path in composites:
            continue
        try:
            if path in written:
                arrays[path] = written[path]
            elif path in plan.axes:
                arrays[path] = _index_coordinate(collection, plan, plan.axes[path], options)
            elif path in plan.pieces:
                one = made.get(path)
                if isinstance(one, ManifestArray):
                    arrays[path] = one
                else:
                    moved = one if isinstance(one, References) else None
                    arrays[path] = _concatenated(collection, path, plan.pieces[path], moved)
            else:
                arrays[path] = _same(collection, plan, path, options, reader)
        except RefmakerError as error:
            if error.path is None:
                error.path = "/" + path
            raise
    groups = {path: held.get(plan.first, next(iter(held.values()))) for path, held in collection.groups.items() if held}
    along = ", ".join(axis.key for axis in plan.axes.values()) or "no dimension"
    return Manifest(
        zarr_format=3 if collection.zarr_formats[:1] == [3] else 2,
        groups=groups,
        arrays=arrays,
        targets=tuple(collection.targets),
        refusals=_refusals(collection),
        history=[*collection.history, f"combined {len(collection)} inputs along {along}"],
        extra=_extra(collection),
        types=_types(collection, arrays, composites),
        composites=composites,
        notes=list(collection.notes),
    )


def _types(
    collection: Collection, arrays: Mapping[str, ManifestArray], composites: Mapping[str, Composite]
) -> dict[str, dict[str, str]] | None:
    if collection.types is None:
        return None
    found = {path: types for path, types in collection.types.items() if path in arrays or path in collection.groups}
    for path, one in composites.items():
        types = collection.types.get(path, {})
        found[path] = {name: kind for name, kind in types.items() if not name or name in one.attributes}
    return found


def _refusals(collection: Collection) -> dict[str, str]:
    found = {}
    for path, reasons in collection.refusals.items():
        held = [(reason, inputs) for reason, inputs in reasons.items() if inputs]
        if not held:
            continue
        reason = held[0][0]
        count = sum(len(one) for _, one in held)
        where = "" if count == len(collection) and len(held) == 1 else f" (in {count} of {len(collection)} inputs)"
        found[path] = reason + where
    return found


def _extra(collection: Collection) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for key, held in collection.extra.items():
        distinct = set(held.values())
        if len(distinct) > 1:
            raise CombineError("data that belong to no array differ between inputs", structure=f"key {key!r}")
        for data in distinct:
            found[key] = data
    return found


def _grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-extent // chunk) if chunk else 0 for extent, chunk in zip(shape, chunks, strict=True))


def _concatenated(collection: Collection, path: str, pieces: Pieces, made: References | None) -> ManifestArray:
    series = collection.series[path]
    entries = pieces.entry.tolist()
    form = collection.form(series, entries[0])
    if made is None:
        made = place(series, pieces, form.chunks)
    metadata = with_extent(form, pieces.shape)
    if form.fill_value is None:
        values = (collection.forms.all[number].fill_value for number in dict.fromkeys(series.forms))
        metadata = metadata.with_fill_value(next((value for value in values if value is not None), None))
    return ManifestArray(metadata, dict(form.attributes), _grid(pieces.shape, form.chunks), made)


def _same(collection: Collection, plan: Plan, path: str, options: Options, reader: Reader) -> ManifestArray:
    """Return an array that is the same in all inputs; coordinates of dimensions with their chunks in the manifest."""
    series = collection.series[path]
    entry = series.inputs.index(plan.first) if plan.first in series.inputs else 0
    form, shape = collection.form(series, entry), series.shapes[entry]
    references = series.references(entry)
    coordinate = plan.coordinates.get(path)
    if coordinate is not None:
        entry = coordinate.entries[0]
        form, shape, chunks = collection.form(series, entry), series.shapes[entry], coordinate.chunks[0]
        references = series.references(entry)
        if sum(map(len, chunks.values())) <= options.inline_limit:
            references = References.empty()
            references.inline = dict(sorted(chunks.items()))
    metadata = with_extent(form, shape)
    lengths = metadata.chunk_lengths
    grid = _grid(shape, form.chunks) if lengths is None else tuple(map(len, lengths))
    return ManifestArray(metadata, dict(form.attributes), grid, references)


def _index_coordinate(collection: Collection, plan: Plan, axis: Axis, options: Options) -> ManifestArray:
    """Return the coordinate of a dimension along which inputs are concatenated."""
    coordinate = axis.coordinate
    if coordinate is None:
        raise CombineError("the dimension has no coordinate", structure=axis.key)
    form = collection.form(coordinate.series, coordinate.entries[int(axis.runs[0, 0])] if len(axis.runs) else 0)
    values = _joined(axis, coordinate.raw)
    if values.nbytes > options.inline_limit:
        raise CombineError(
            f"a coordinate takes {values.nbytes} bytes, more than the inline limit of {options.inline_limit}: "
            "raise --inline-limit"
        )
    own = dtype_of(form)
    if values.dtype.kind != own.kind and form.fill_value is not None:
        metadata = form.metadata.with_fill_value(np.array(fill_of(form)).astype(values.dtype).item())
        form = replace(form, metadata=metadata)
    return written(form, dict(form.attributes), values)


def _joined(axis: Axis, blocks: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Put the rows of blocks together in the order of an axis."""
    parts = [blocks[block][start:stop] for block, start, stop, _ in axis.runs.tolist()]
    if not parts:
        return blocks[0][:0]
    dtypes = {part.dtype for part in parts}
    if len(dtypes) == 1:
        return np.concatenate(parts)
    joined = np.concatenate([part.astype(part.dtype.newbyteorder("="), copy=False) for part in parts])
    start = 0
    for part in parts:
        if (joined[start : start + len(part)] != part).any():
            raise Unsupported("values of different data types, which no data type holds exactly")
        start += len(part)
    return joined


def written(form: ArrayEncoding, attributes: dict[str, Any], values: npt.NDArray[Any]) -> ManifestArray:
    """Write values into the manifest: one chunk, without compression.

    Parameters
    ----------
    form
        Of which the metadata are, as far as they still hold.
    """
    shape = tuple(max(extent, 1) for extent in values.shape)
    metadata = with_extent(form, values.shape, shape)
    text = values.dtype.kind == "O"
    if not text:
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    metadata = metadata.holding(values.dtype, text=text)
    references = References.empty()
    if values.size:
        own = ArrayEncoding(metadata, attributes, form.dimensions, shape)
        references.inline = {0: encoded(own, values)}
    return ManifestArray(metadata, attributes, _grid(values.shape, shape), references)


def _written_times(collection: Collection, plan: Plan, reader: Reader) -> dict[str, ManifestArray]:
    """Write the coordinates whose units differ, and what shares their units, in one unit."""
    made: dict[str, ManifestArray] = {}
    for path in dict.fromkeys(plan.times.values()):
        axis = plan.axes[path]
        if axis.coordinate is None or not len(axis.runs):
            continue
        numbers, units, values = [], [], []
        linked = [other for other, owner in plan.times.items() if owner == path]
        for other in linked:
            parts, as_written = _time_parts(collection, plan, other, axis, axis.coordinate, reader)
            numbers.append(len(parts))
            values += parts
            units += as_written
        found, per_second = ticks(values, units)
        wished = units[0]
        whole, chosen = encode(found, per_second, wished)
        start = 0
        for other, count in zip(linked, numbers, strict=True):
            series = collection.series[other]
            entry = axis.coordinate.entries[int(axis.runs[0, 0])] if other == path else int(plan.pieces[other].entry[0])
            form = collection.form(series, entry)
            made[other] = _in_units(form, np.concatenate(whole[start : start + count]), chosen, own=other == path)
            start += count
    return made


def _in_units(form: ArrayEncoding, values: npt.NDArray[np.int64], units: TimeUnits, *, own: bool) -> ManifestArray:
    attributes = dict(form.attributes)
    if own or "units" in attributes:
        attributes["units"] = units.text
    if form.attributes.get("_FillValue") is not None:
        del attributes["_FillValue"]  # no value is missing, and none of the new ones may be taken for it
    metadata = form.metadata.with_fill_value(form.metadata.zero)
    plain = ArrayEncoding(metadata, attributes, form.dimensions, form.chunks)
    return written(plain, attributes, values)


def _time_parts(
    collection: Collection, plan: Plan, path: str, axis: Axis, coordinate: Coordinate, reader: Reader
) -> tuple[list[npt.NDArray[Any]], list[TimeUnits]]:
    """Return the parts of an array of times in their order, and the units of each."""
    series = collection.series[path]
    runs = axis.runs.tolist()
    parts, entries = [], []
    if path == axis.key:
        entries = [coordinate.entries[block] for block, *_ in runs]
        parts = [coordinate.raw[block][start:stop] for block, start, stop, _ in runs]
    else:
        pieces = plan.pieces[path]
        if len(pieces.dims) != 1:
            raise Unsupported("times with bounds cannot be concatenated along several dimensions", path="/" + path)
        all_chunks = list(reader.each(series.each(), "/" + path))
        for entry, (_, start, stop, _) in zip(pieces.entry.tolist(), runs, strict=True):
            values = decoded(collection.form(series, entry), series.shapes[entry], all_chunks[entry])
            parts.append(np.take(values, range(start, stop), axis=pieces.dims[0]))
            entries.append(entry)
    for entry, part in zip(entries, parts, strict=True):
        check_plain(masked(collection.form(series, entry)), part)
    units = []
    owner = coordinate.series
    by_input = {number: entry for entry, number in enumerate(owner.inputs)}
    for entry in entries:
        form = collection.form(series, entry)
        attributes = dict(form.attributes)
        if "units" not in attributes:
            parent = collection.form(owner, by_input[series.inputs[entry]]).attributes
            attributes |= {name: parent[name] for name in ("units", "calendar") if name in parent}
        as_written = time_units(attributes)
        if as_written is None:
            raise Unsupported(f"units {attributes.get('units')!r} where its coordinate has times", path="/" + path)
        units.append(as_written)
    return parts, units
