"""What becomes of every array, and what stands in the way.

Contract: an array with a dimension along which inputs are concatenated is *concatenated*, from one piece for each
place; any other has to be the same in all inputs that have it, and to be in one input of each place. All that does not
hold is recorded, for every array, before anything is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from refmaker.combining.collection import Collection
from refmaker.combining.comparing import (
    Disagreement,
    compare_aspects,
    compare_shapes,
    compare_values,
    differing_attributes,
    labelled,
)
from refmaker.combining.coordinates import Coordinate, read_coordinate
from refmaker.combining.dimensions import (
    Axis,
    check_plain_order,
    chosen_dimensions,
    dimension_keys,
    extents,
    index_paths,
    make_axis,
)
from refmaker.combining.pieces import Pieces, pieces_of
from refmaker.combining.reading import Reader
from refmaker.combining.records import CombineError, Mismatch, Options
from refmaker.errors import Unsupported

__all__ = ["Plan", "make_plan"]

_STORAGE = ("operand types", "byte order", "codecs", "chunk grid")
"""What does not matter where values are taken, not chunks."""


@dataclass(slots=True)
class Plan:
    """How inputs are concatenated.

    Attributes
    ----------
    axes
        Key of a dimension -> how its rows follow each other.
    coordinates
        Path -> the coordinate of a dimension.
    pieces
        Path of an array that is concatenated -> its pieces; coordinates of `axes` left out.
    constants
        Paths of the arrays that are the same in all inputs, those in `coordinates` left out.
    times
        Path of an array that has to be written in other units -> path of the coordinate whose units these are.
    first
        Number of the input that comes first.
    found
        All disagreements.
    """

    axes: dict[str, Axis] = field(default_factory=dict)
    coordinates: dict[str, Coordinate] = field(default_factory=dict)
    pieces: dict[str, Pieces] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    times: dict[str, str] = field(default_factory=dict)
    first: int = 0
    found: list[Disagreement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_plan(collection: Collection, options: Options, reader: Reader) -> Plan:
    """Look at all arrays of all inputs.

    Raises
    ------
    CombineError
        It is not known along which dimension, or a coordinate cannot be read as one.
    """
    plan = Plan()
    _check_whole(collection)
    for path in index_paths(collection):
        try:
            plan.coordinates[path] = read_coordinate(collection, path, reader)
        except Unsupported as error:
            units = [collection.form(collection.series[path], e) for e in range(len(collection.series[path]))]
            texts = [str(form.attributes.get("units", "no units")) for form in units]
            found = labelled(collection, path, "units", collection.series[path].inputs, texts)
            raise CombineError(f"coordinate /{path}: {error.message}", [found.mismatch]) from error
    sizes = extents(collection, plan.coordinates)
    _check_extents(collection, sizes)
    keys = chosen_dimensions(collection, plan.coordinates, sizes, options.concat)
    for key in keys:
        coordinate = plan.coordinates.get(key)
        axis, mismatches = make_axis(collection, key, coordinate, sizes[key], options.duplicates)
        plan.axes[key] = axis
        if options.concat is None:
            check_plain_order(collection, axis)
        plan.found += [Disagreement(mismatch, can_drop=False) for mismatch in mismatches]
        if coordinate is not None and coordinate.per_second:
            plan.times |= _linked(collection, key)
    if plan.found:
        return plan  # without an order nothing else can be said
    plan.first = _first_input(list(plan.axes.values()))
    for path in collection.series:
        _plan_array(collection, plan, path, options, reader)
    _note_groups(collection, plan)
    return plan


def _check_whole(collection: Collection) -> None:
    formats = collection.zarr_formats
    if len(set(formats)) > 1:
        texts = [f"Zarr {number}" for number in formats]
        found = labelled(collection, "", "zarr format", range(len(formats)), texts)
        raise CombineError(
            "the inputs have different Zarr formats: convert them with `refmaker convert --zarr-format`",
            [found.mismatch],
        )
    if collection.changed:
        urls: dict[str, tuple[str, ...]] = dict.fromkeys(collection.changed, ())
        raise CombineError("some source files changed between scans: scan them again", [Mismatch("/", "target", urls)])


def _check_extents(collection: Collection, sizes: dict[str, dict[int, set[int]]]) -> None:
    """Arrays of one input agree about the extent of a dimension, else there is no saying what its rows are."""
    wrong: dict[str, tuple[str, ...]] = {}
    for key, inputs in sizes.items():
        for number, found in inputs.items():
            if len(found) > 1:
                wrong[f"/{key}: {sorted(found)}"] = (collection.names[number],)
    if wrong:
        raise CombineError("arrays of one input contradict each other", [Mismatch("/", "extent", wrong)])


def _linked(collection: Collection, path: str) -> dict[str, str]:
    """Return the arrays that are in the units of a coordinate: itself, and its bounds (CF 1.11, section 7.1)."""
    series = collection.series[path]
    group = path.rpartition("/")[0]
    found = {path: path}
    for form in dict.fromkeys(series.forms):
        attributes = collection.forms.all[form].attributes
        for name in (attributes.get("bounds"), attributes.get("climatology")):
            other = f"{group}/{name}" if group else name
            if isinstance(other, str) and other in collection.series:
                found[other] = path
    return found


def _first_input(axes: Sequence[Axis]) -> int:
    """Return the input that comes first along all axes, or along most of the first ones where none does along all."""
    found: set[int] = set()
    for axis in axes:
        first = int(axis.runs[0, 0]) if len(axis.runs) else 0
        own = {number for number, block in axis.block_of.items() if block == first}
        found = (found & own) or found or own
    return min(found, default=0)


def _plan_array(collection: Collection, plan: Plan, path: str, options: Options, reader: Reader) -> None:
    series = collection.series[path]
    dimensions = collection.form(series, 0).dimensions or ()
    keys = dimension_keys(path, dimensions, plan.coordinates)
    dims = [dim for dim, key in enumerate(keys) if key in plan.axes]
    if path in plan.axes:
        _plan_coordinate(collection, plan, path)
    elif dims:
        if len(set(keys)) < len(keys):
            raise CombineError(f"/{path} has the dimension to concatenate along twice")
        _plan_pieces(collection, plan, path, dims, [plan.axes[keys[dim]] for dim in dims], options, reader)
    else:
        _plan_constant(collection, plan, path, reader)


def _plan_coordinate(collection: Collection, plan: Plan, path: str) -> None:
    """Values are written anew, so that only what they mean has to agree."""
    series = collection.series[path]
    ignored = [*_STORAGE, "dtype", *(("units", "calendar") if path in plan.times else ())]
    if collection.zarr_formats[0] == 3:
        ignored.append("fill value")  # says what missing chunks read as, of which there will be none
    entries = range(len(series))
    found = compare_aspects(collection, path, entries, ignored)
    found += _absent(collection, plan, path, {axis for axis in plan.axes if axis == path})
    for one in found:
        one.can_drop = one.can_recode = False
    plan.found += found
    _note(collection, plan, path, entries)


def _absent(collection: Collection, plan: Plan, path: str, keys: set[str]) -> list[Disagreement]:
    """Find inputs that have rows of a dimension and not its coordinate."""
    having = set(collection.series[path].inputs)
    lacking = set()
    for other, series in collection.series.items():
        if keys & set(dimension_keys(other, collection.form(series, 0).dimensions or (), plan.coordinates)):
            lacking |= set(series.inputs) - having
    if not lacking:
        return []
    inputs = sorted(having | lacking)
    return [labelled(collection, path, "presence", inputs, ["present" if n in having else "absent" for n in inputs])]


def _plan_pieces(
    collection: Collection,
    plan: Plan,
    path: str,
    dims: Sequence[int],
    axes: Sequence[Axis],
    options: Options,
    reader: Reader,
) -> None:
    series = collection.series[path]
    entries = [e for e, number in enumerate(series.inputs) if _filled(number, axes)]
    ignored = ("units", "calendar", "dtype", *_STORAGE) if path in plan.times else ()
    found = compare_aspects(collection, path, entries, ignored)
    if not any(one.mismatch.what in ("dimensions", "dimension order") for one in found):
        found += compare_shapes(collection, path, entries, dims)
    if any(one.mismatch.what in ("dimensions", "dimension order", "shape") for one in found):
        plan.found += found
        return
    found += _missing_chunks(collection, path, entries)
    pieces, duplicates = pieces_of(series, dims, axes, options.duplicates)
    if len(axes) < len(plan.axes) and not found:
        duplicates = _different(collection, path, duplicates, reader)
    if duplicates and options.duplicates == "refuse":
        pairs = {
            f"position {e}": tuple(collection.names[series.inputs[one]] for one in pair)
            for e, pair in enumerate(duplicates)
        }
        found.append(Disagreement(Mismatch("/" + path, "duplicates", pairs)))
    if (pieces.entry < 0).any():
        found.append(_gaps(collection, path, axes))
    elif path not in plan.times and not any(one.mismatch.what == "chunk grid" for one in found):
        found += _unaligned(collection, path, pieces, axes)
    plan.found += found
    plan.pieces[path] = pieces
    _note(collection, plan, path, entries)


def _different(
    collection: Collection, path: str, twice: Sequence[tuple[int, int]], reader: Reader
) -> list[tuple[int, int]]:
    """Leave out pairs of the same values: an array along one of two dimensions is in every input along the other."""
    found = []
    for pair in twice:
        alone = replace(collection, series={path: collection.series[path].chosen(pair)})
        if compare_values(alone, path, reader):
            found.append(pair)
    return found


def _filled(number: int, axes: Sequence[Axis]) -> bool:
    """Return whether an input has any rows along all of the axes."""
    return all(number in axis.block_of and axis.lengths[axis.block_of[number]] > 0 for axis in axes)


def _missing_chunks(collection: Collection, path: str, entries: Sequence[int]) -> list[Disagreement]:
    """Where no fill value is given, missing chunks of one input must not get that of another."""
    series = collection.series[path]
    forms = {form: collection.forms.all[form] for form in dict.fromkeys(series.forms[entry] for entry in entries)}
    if len({str(form.fill_value) for form in forms.values()}) < 2:
        return []
    texts = []
    for entry in entries:
        form = forms[series.forms[entry]]
        held = len(series.inline.get(entry, ())) + len(series.whole.get(entry, ())) + series.counts[entry]
        cells = 1
        if form.regular:
            for extent, chunk in zip(series.shapes[entry], form.chunks, strict=True):
                cells *= -(-extent // chunk)
        else:
            cells = math.prod(form.metadata.with_extent(series.shapes[entry]).layout(structure=f"array {path!r}").grid)
        texts.append("none, and missing chunks" if form.fill_value is None and held < cells else "given, or not needed")
    if len(set(texts)) < 2:
        return []
    inputs = [series.inputs[entry] for entry in entries]
    return [labelled(collection, path, "fill value", inputs, texts, can_recode=True)]


def _gaps(collection: Collection, path: str, axes: Sequence[Axis]) -> Disagreement:
    series = collection.series[path]
    having = set(series.inputs)
    inputs = sorted({number for axis in axes for number in axis.block_of})
    if len(axes) == 1 or having != set(inputs):
        texts = ["present" if number in having else "absent" for number in inputs]
        return labelled(collection, path, "presence", inputs, texts)
    names = tuple(collection.names[number] for number in inputs)
    extents = " x ".join(str(len(axis.used)) for axis in axes)
    return Disagreement(Mismatch("/" + path, "holes", {f"{len(having)} inputs for a grid of {extents}": names}))


def _unaligned(collection: Collection, path: str, pieces: Pieces, axes: Sequence[Axis]) -> list[Disagreement]:
    """Find pieces that do not begin or end on bounds of chunks."""
    series = collection.series[path]
    form = collection.form(series, int(pieces.entry[0]))
    if not form.regular:
        texts = ["chunks of different lengths"] * len(series)
        return [labelled(collection, path, "chunk grid", series.inputs, texts)]
    chunks = form.chunks
    ragged = pieces.ragged(chunks)
    if not ragged.any():
        return []
    found = []
    for column, (dim, axis) in enumerate(zip(pieces.dims, axes, strict=True)):
        if not ragged[:, column].any():
            continue
        length = pieces.stop[:, column] - pieces.start[:, column]
        ends = pieces.position[:, column] + length == pieces.shape[dim]
        culprit = ((length % chunks[dim] != 0) & ~ends) | (pieces.start[:, column] % chunks[dim] != 0)
        values: dict[str, dict[str, None]] = {}
        for number in np.flatnonzero(culprit).tolist():
            text = f"{int(length[number])} rows of chunks of {chunks[dim]}"
            name = collection.names[series.inputs[int(pieces.entry[number])]]
            values.setdefault(text, {})[name] = None
        mismatch = Mismatch("/" + path, "partial chunk", {text: tuple(names) for text, names in values.items()})
        labels = _alignment_runs(axis, chunks[dim])
        found.append(Disagreement(mismatch, labels, can_recode=True))
    return found


def _alignment_runs(axis: Axis, chunk: int) -> dict[int, int]:
    """Part inputs so that a partial chunk is the last of its part."""
    part = 0
    parts: dict[int, int] = {}
    for block, start, stop, _ in axis.runs.tolist():
        parts.setdefault(block, part)
        part += (stop - start) % chunk != 0
    return {number: parts[block] for number, block in axis.block_of.items() if block in parts}


def _plan_constant(collection: Collection, plan: Plan, path: str, reader: Reader) -> None:
    series = collection.series[path]
    entries = range(len(series))
    index = path in plan.coordinates
    found = compare_aspects(collection, path, entries, _STORAGE)
    if index and plan.coordinates[path].differs:
        coordinate = plan.coordinates[path]
        texts = [f"values {coordinate.block_of[number] + 1}" for number in series.inputs]
        found.append(labelled(collection, path, "values", series.inputs, texts))
    elif not index and not any(one.mismatch.what != "fill value" for one in found):
        found += compare_shapes(collection, path, entries, ()) or compare_values(collection, path, reader)
    found += _not_everywhere(collection, plan, path)
    for one in found:
        one.can_recode, one.can_drop = False, not index
    plan.found += found
    if not index:
        plan.constants.append(path)
    _note(collection, plan, path, entries)


def _not_everywhere(collection: Collection, plan: Plan, path: str) -> list[Disagreement]:
    """Find arrays that are neither in one input of each place, nor in one that has no place."""
    if not plan.axes:
        return []
    having = set(collection.series[path].inputs)
    axes = list(plan.axes.values())
    placed = {number: tuple(axis.block_of.get(number, -1) for axis in axes) for number in range(len(collection))}
    if any(all(block < 0 for block in placed[number]) for number in having):
        return []
    places = set(placed.values()) - {(-1,) * len(axes)}
    if {placed[number] for number in having} >= places:
        return []
    texts = ["present" if number in having else "absent" for number in range(len(collection))]
    return [labelled(collection, path, "presence", range(len(collection)), texts)]


def _note(collection: Collection, plan: Plan, path: str, entries: Sequence[int]) -> None:
    names = differing_attributes(collection, path, entries)
    if names:
        plan.notes.append(f"/{path}: {', '.join(names)}: not the same in all inputs, the first one's is taken")


def _note_groups(collection: Collection, plan: Plan) -> None:
    for path, held in collection.groups.items():
        distinct = list({id(attributes): attributes for attributes in held.values()}.values())
        names = dict.fromkeys(name for attributes in distinct for name in attributes)
        differing = [n for n in names if any(a.get(n) != distinct[0].get(n) for a in distinct)]
        if differing:
            plan.notes.append(f"/{path}: {', '.join(differing)}: not the same in all inputs, the first one's is taken")
