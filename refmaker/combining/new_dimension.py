"""A dimension that inputs do not have yet, made of what each of them has one of: a member, a level, a run.

Contract: the value of an input is its scalar variable of that name, its global attribute, or what a pattern finds in
its name. Arrays get the dimension in front, with chunks of one row, so that all references stay as they are; what then
follows is combining along a dimension with a coordinate, refusals and all. Coordinates of dimensions, and what is named
by attributes of CF conventions (coordinates, bounds, grid mappings and so on), do not get it, except what differs: as
`xarray.concat(data_vars="all", coords="different")` of files that were opened with `decode_coords="all"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from refmaker.combining.collection import Collection, Series
from refmaker.combining.comparing import compare_values, labelled
from refmaker.combining.dimensions import index_paths
from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.names import TIME_ATTRIBUTES, NamePattern
from refmaker.combining.reading import Reader
from refmaker.combining.records import CombineError
from refmaker.combining.rows import MemoryRows
from refmaker.zarr.metadata import scalar_metadata

__all__ = ["with_new_dimension"]

_RELATED = (
    "coordinates",
    "bounds",
    "climatology",
    "grid_mapping",
    "cell_measures",
    "formula_terms",
    "geometry",
    "node_coordinates",
    "node_count",
    "part_node_count",
    "interior_ring",
)
"""Attributes that name arrays: those that xarray makes coordinates of. CF 1.11, appendix A."""


def with_new_dimension(
    collection: Collection, concat: tuple[str, ...] | None, reader: Reader
) -> tuple[Collection, tuple[str, ...] | None]:
    """Return the inputs with the dimensions to concatenate along that they lack.

    Parameters
    ----------
    concat
        Names of dimensions, `NAME=PATTERN` for one whose values are in the names of the inputs. None: those that some
        inputs have as a dimension, others as a scalar.

    Returns
    -------
    collection, concat
        `concat` without patterns.

    Raises
    ------
    CombineError
        An input has neither the dimension nor a value for it.
    """
    wished = [(name, None) for name in _both(collection)] if concat is None else [_taken_apart(one) for one in concat]
    for name, pattern in wished:
        collection = _expand_dims(collection, name.strip("/"), pattern, reader)
    return collection, None if concat is None else tuple(name for name, _ in wished)


def _taken_apart(text: str) -> tuple[str, NamePattern | None]:
    name, equals, pattern = text.partition("=")
    return name, NamePattern.of(pattern) if equals else None


def _both(collection: Collection) -> list[str]:
    """Return the arrays that are the coordinate of a dimension in some inputs, a scalar in others."""
    found = []
    for path, series in collection.series.items():
        shapes = {collection.forms.all[form].dimensions for form in dict.fromkeys(series.forms)}
        if shapes == {(), (path.rpartition("/")[2],)}:
            found.append(path)
    return found


def _expand_dims(collection: Collection, path: str, pattern: NamePattern | None, reader: Reader) -> Collection:
    having = _having(collection, path.rpartition("/")[2])
    lacking = [number for number in range(len(collection)) if number not in having]
    scalars, attributes = _scalars(collection, path), _attributes(collection, path)
    if not lacking or (pattern is None and not scalars and not attributes):
        return collection  # who chooses among dimensions says which there are
    series = dict(collection.series)
    if pattern is None and scalars:
        path = scalars[0]
        known = set(series[path].inputs)
    else:
        names = {number: collection.names[number] for number in lacking}
        values = attributes if pattern is None else pattern.values(names)
        known = set(values)
        stated = TIME_ATTRIBUTES if pattern is not None and pattern.date_format is not None else {}
        series[path] = _coordinate(collection, path, {n: values[n] for n in lacking if n in values}, stated)
    missing = [number for number in lacking if number not in known]
    if missing:
        inputs = range(len(collection))
        texts = ["nothing" if number in missing else "a value" for number in inputs]
        found = labelled(collection, path, "presence", inputs, texts)
        raise CombineError(f"some inputs have no value for the new dimension {path!r}", [found.mismatch])
    collection = replace(collection, series=series)
    chosen = _chosen(collection, path, set(lacking), reader)
    for other in chosen:
        series[other] = _with_dimension(collection, other, path.rpartition("/")[2], set(lacking))
    return replace(collection, series=series)


def _having(collection: Collection, name: str) -> set[int]:
    """Return the inputs that have a dimension."""
    found: set[int] = set()
    for series in collection.series.values():
        forms = {form for form in set(series.forms) if name in (collection.forms.all[form].dimensions or ())}
        if forms:
            found |= {number for number, form in zip(series.inputs, series.forms, strict=True) if form in forms}
    return found


def _scalars(collection: Collection, path: str) -> list[str]:
    """Return the scalars of a name, that of the path first."""
    fitting = [p for p in collection.series if path in (p, p.rpartition("/")[2])]
    scalars = [p for p in fitting if () in collection.series[p].shapes]
    return sorted(scalars, key=lambda p: (p != path, p.count("/")))


def _attributes(collection: Collection, name: str) -> dict[int, Any]:
    """Return the global attribute of a name in the inputs that have it."""
    found = {}
    for number, attributes in collection.groups.get("", {}).items():
        if type(attributes.get(name)) in (int, float, str):
            found[number] = attributes[name]
    return found


def _coordinate(collection: Collection, path: str, values: Mapping[int, Any], attributes: Mapping[str, Any]) -> Series:
    """Make the coordinate of the new dimension; inputs that have one already keep it."""
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values.values()):
        raise CombineError("values of the new dimension do not fit into 64-bit integers", structure=path)
    text = any(isinstance(value, str) for value in values.values())
    real = any(isinstance(value, float) for value in values.values())
    zarr_format: Literal[2, 3] = 3 if collection.zarr_formats[:1] == [3] else 2
    scalar = scalar_metadata(zarr_format, np.dtype(object if text else "<f8" if real else "<i8"))
    number_of_form = collection.forms.number(*scalar.with_dimension_names((), attributes))
    old = collection.series.get(path)
    kept = {} if old is None else {n: e for e, n in enumerate(old.inputs) if n not in values}
    made = Series(MemoryRows() if old is None else old.rows.empty())
    for number in sorted((*kept, *values)):
        if old is not None and number in kept:
            references = old.references(kept[number])
            columns = references.cell, references.target, references.offset, references.size
            at = made.add(number, old.forms[kept[number]], old.shapes[kept[number]], columns)
            made.inline |= {at: references.inline} if references.inline else {}
            made.whole |= {at: references.whole} if references.whole else {}
            continue
        at = made.add(number, number_of_form, ())
        value = str(values[number]) if text else float(values[number]) if real else int(values[number])
        made.inline[at] = {0: _encoded(value)}
    return made


def _encoded(value: str | float) -> bytes:
    if isinstance(value, str):
        data = value.encode("utf-8")
        return (1).to_bytes(4, "little") + len(data).to_bytes(4, "little") + data  # numcodecs' vlen-utf8
    return np.array(value, "<i8" if type(value) is int else "<f8").tobytes()


def _chosen(collection: Collection, path: str, lacking: set[int], reader: Reader) -> list[str]:
    """Return the arrays that get the dimension: where other inputs have it, those that have it there."""
    group, _, name = path.rpartition("/")
    inside = group + "/" if group else ""
    related = _related(collection)
    indices = index_paths(collection)
    # Along these the inputs differ anyway, so that what has them says nothing of the new dimension.
    moving = {
        one.rpartition("/")[2]
        for one in indices
        if len(set(collection.series[one].shapes)) > 1 or compare_values(collection, one, reader)
    }
    found = [path]
    for other, series in collection.series.items():
        if other == path or not other.startswith(inside) or not lacking & set(series.inputs):
            continue
        others = [form for n, form in zip(series.inputs, series.forms, strict=True) if n not in lacking]
        if others:
            if name in (collection.forms.all[others[0]].dimensions or ()):
                found.append(other)
        elif other in indices:
            continue
        elif other not in related or _comes_along(collection, other, moving, reader):
            found.append(other)
    return found


def _comes_along(collection: Collection, path: str, moving: set[str], reader: Reader) -> bool:
    """Return whether an array that is named by attributes differs from input to input, as the bounds of a scalar do."""
    series = collection.series[path]
    if len(set(series.shapes)) > 1 or moving & set(collection.form(series, 0).dimensions or ()):
        return False
    return bool(compare_values(collection, path, reader))


def _related(collection: Collection) -> set[str]:
    """Return the paths of the arrays that attributes of others name."""
    found: set[str] = set()
    for path, series in collection.series.items():
        group = path.rpartition("/")[0]
        for form in dict.fromkeys(series.forms):
            attributes = collection.forms.all[form].attributes
            texts = [attributes[name] for name in _RELATED if isinstance(attributes.get(name), str)]
            for word in " ".join(texts).split():
                found |= _resolved(collection, group, word.rstrip(":"))
    for attributes in collection.groups.get("", {}).values():
        for word in str(attributes.get("coordinates", "")).split():
            found |= _resolved(collection, "", word)
    return found


def _resolved(collection: Collection, group: str, word: str) -> set[str]:
    own = f"{group}/{word}" if group else word
    return {path for path in (own, word.strip("/")) if path in collection.series}


def _with_dimension(collection: Collection, path: str, name: str, lacking: set[int]) -> Series:
    """Return an array with one more dimension, in front, of one row in each of some inputs."""
    series = collection.series[path]
    forms, shapes = list(series.forms), list(series.shapes)
    numbers: dict[int, int] = {}
    for entry, number in enumerate(series.inputs):
        if number not in lacking:
            continue
        old = series.forms[entry]
        if old not in numbers:
            numbers[old] = _prepend_axis(collection, path, collection.forms.all[old], name)
        forms[entry], shapes[entry] = numbers[old], (1, *shapes[entry])
    return replace(series, forms=forms, shapes=shapes)


def _prepend_axis(collection: Collection, path: str, form: ArrayEncoding, name: str) -> int:
    dimensions = () if form.dimensions is None and not form.chunks else form.dimensions
    if dimensions is None:
        raise CombineError(f"/{path} has no dimension names, so the new dimension {name!r} cannot be added to it")
    if not form.regular:
        raise CombineError(
            f"/{path} has chunks of different lengths, so the new dimension {name!r} cannot be added to it"
        )
    metadata = form.metadata.with_extent([], (1, *form.chunks)).with_leading_axis()
    return collection.forms.number(*metadata.with_dimension_names((name, *dimensions), form.attributes), form.types)
