"""Dimensions: which array has which, along which of them inputs follow each other, and in what order.

Contract: a dimension is known by the path of its coordinate, looked for from the group of the array upwards; one
without a coordinate belongs to that group. Pieces of inputs are ordered by coordinate values; where there is none, or
no order among its values, by the order of the inputs. Values that appear twice are named or resolved, never kept twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Collection
from refmaker.combining.coordinates import Coordinate
from refmaker.combining.records import CombineError, Duplicates, Mismatch
from refmaker.combining.times import time_units

__all__ = ["Axis", "check_plain_order", "chosen_dimensions", "dimension_keys", "index_paths", "make_axis"]


@dataclass(slots=True)
class Axis:
    """A dimension along which inputs are concatenated.

    Attributes
    ----------
    key
        Path of the dimension.
    coordinate
        None without one.
    block_of
        Input -> number of the block of rows that it has.
    lengths
        Rows of every block.
    runs
        int64[n, 4]: block, first row, row behind the last, and where the first row comes to stand; in that order.
    """

    key: str
    coordinate: Coordinate | None
    block_of: dict[int, int]
    lengths: list[int]
    runs: npt.NDArray[np.int64]

    @property
    def length(self) -> int:
        """Rows of the whole."""
        return int((self.runs[:, 2] - self.runs[:, 1]).sum())

    @property
    def used(self) -> list[int]:
        """Blocks of which rows are used, in the order in which they first appear."""
        return list(dict.fromkeys(self.runs[:, 0].tolist()))


def index_paths(collection: Collection) -> dict[str, None]:
    """Return the paths of all coordinates of dimensions: arrays with one dimension, of their own name."""
    found: dict[str, None] = {}
    for path, series in collection.series.items():
        name = path.rpartition("/")[2]
        if any(collection.forms.all[form].dimensions == (name,) for form in dict.fromkeys(series.forms)):
            found[path] = None
    return found


def dimension_keys(path: str, dimensions: Iterable[str], coordinates: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the dimensions of an array."""
    return tuple(_key(path.rpartition("/")[0], name, coordinates) for name in dimensions)


def _key(group: str, name: str, coordinates: Mapping[str, Any]) -> str:
    above = group
    while True:
        path = f"{above}/{name}" if above else name
        if path in coordinates:
            return path
        if not above:
            return f"{group}/{name}" if group else name
        above = above.rpartition("/")[0]


def extents(collection: Collection, coordinates: Mapping[str, Any]) -> dict[str, dict[int, set[int]]]:
    """Return dimension -> input -> the extents that its arrays have there; more than one is a contradiction."""
    found: dict[str, dict[int, set[int]]] = {}
    for path, series in collection.series.items():
        keys = {
            form: dimension_keys(path, collection.forms.all[form].dimensions or (), coordinates)
            for form in dict.fromkeys(series.forms)
        }
        for number, form, shape in zip(series.inputs, series.forms, series.shapes, strict=True):
            for key, extent in zip(keys[form], shape, strict=False):
                found.setdefault(key, {}).setdefault(number, set()).add(extent)
    return found


def chosen_dimensions(
    collection: Collection,
    coordinates: Mapping[str, Coordinate],
    sizes: Mapping[str, Mapping[int, set[int]]],
    concat: Sequence[str] | None,
) -> tuple[str, ...]:
    """Return the keys of the dimensions along which inputs are concatenated.

    Parameters
    ----------
    concat
        Names, or paths; None: those whose coordinates differ, if that is plain, else the one whose extents do.

    Raises
    ------
    CombineError
        There is no such dimension, or it is not plain which one it should be: the candidates are named.
    """
    if concat is not None:
        return _named(concat, sizes)
    if len(collection) < 2:
        return ()
    differing = [path for path, coordinate in coordinates.items() if coordinate.differs and path in sizes]
    if differing:
        return _plain(collection, differing, coordinates)
    shared = [
        path
        for path, coordinate in coordinates.items()
        if len(coordinate.block_of) > 1 and _is_time(collection, coordinate) and path in sizes
    ]
    if len({path.rpartition("/")[2] for path in shared}) == 1:
        return tuple(shared)  # either the inputs have different variables, or the same times twice
    return _without_coordinate(collection, coordinates, sizes)


def _named(concat: Sequence[str], sizes: Mapping[str, Any]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in concat:
        fitting = [key for key in sizes if name.strip("/") in (key, key.rpartition("/")[2])]
        if not fitting:
            known = ", ".join(sorted({key.rpartition("/")[2] for key in sizes})) or "none"
            raise CombineError(f"no input has a dimension {name!r}: choose from {known}")
        found |= dict.fromkeys(fitting)
    return tuple(found)


def _plain(collection: Collection, differing: Sequence[str], coordinates: Mapping[str, Coordinate]) -> tuple[str, ...]:
    """Choose among coordinates that differ: the only one, all if they make a full grid, or the one that is time."""
    names = {path.rpartition("/")[2] for path in differing}
    if len(names) == 1:
        return tuple(differing)
    tiles = {tuple(coordinates[path].block_of.get(n, -1) for path in differing) for n in range(len(collection))}
    cells = 1
    for path in differing:
        cells *= len(coordinates[path].entries)
    if len(tiles) == cells:
        return tuple(differing)
    times = [path for path in differing if _is_time(collection, coordinates[path])]
    if len({path.rpartition("/")[2] for path in times}) == 1:
        return tuple(times)
    raise CombineError(
        f"several coordinates differ, and the inputs do not fill a grid: {', '.join(sorted(names))}; "
        "name the dimensions to concatenate along"
    )


def _is_time(collection: Collection, coordinate: Coordinate) -> bool:
    return any(
        time_units(collection.form(coordinate.series, entry).attributes) is not None for entry in coordinate.entries
    )


def _without_coordinate(
    collection: Collection, coordinates: Mapping[str, Coordinate], sizes: Mapping[str, Mapping[int, set[int]]]
) -> tuple[str, ...]:
    """Choose a dimension without a coordinate: the only one whose extent differs. No array may be in one input only."""
    free = [key for key in sizes if key not in coordinates]
    longer = [key for key in free if len({min(extent) for extent in sizes[key].values()}) > 1]
    if len(longer) == 1:
        return tuple(longer)
    shared = [path for path, series in collection.series.items() if len(series) > 1]
    if longer or (free and any(path not in coordinates for path in shared)):
        names = ", ".join(sorted({key.rpartition("/")[2] for key in (longer or free)}))
        raise CombineError(f"no coordinate orders the inputs: name the dimension to concatenate along: {names}")
    return ()


def make_axis(
    collection: Collection,
    key: str,
    coordinate: Coordinate | None,
    sizes: Mapping[int, set[int]],
    duplicates: Duplicates,
) -> tuple[Axis, list[Mismatch]]:
    """Put the rows of a dimension in order.

    Returns
    -------
    axis, mismatches
        What does not let the rows be ordered.
    """
    if coordinate is None:
        lengths = [min(extent) for extent in sizes.values()]
        block_of = {number: block for block, number in enumerate(sizes)}
        return Axis(key, None, block_of, lengths, _in_turn(lengths)), []
    names = _names_of_blocks(collection, coordinate)
    lengths = coordinate.lengths()
    values = coordinate.meaning
    if any(array.dtype.kind not in "iufbmM" for array in values):
        runs, found = _by_turn(coordinate, names, duplicates)
    else:
        runs, found = _by_value(coordinate, names, duplicates)
    return Axis(key, coordinate, dict(coordinate.block_of), lengths, runs), found


def check_plain_order(collection: Collection, axis: Axis) -> None:
    """Make sure that a dimension which nobody named is one along which inputs follow each other.

    Times of inputs may lie between each other. Other values that do are more likely the same ones, written differently.

    Raises
    ------
    CombineError
        It is not plain.
    """
    if len(axis.runs) <= len(axis.used) or axis.coordinate is None or _is_time(collection, axis.coordinate):
        return
    name = axis.key.rpartition("/")[2]
    names = _names_of_blocks(collection, axis.coordinate)
    values = {f"values {number + 1}": names[block] for number, block in enumerate(axis.used)}
    raise CombineError(
        f"values of {name!r} interleave with those of other inputs: name the dimension if this is right",
        [Mismatch("/" + axis.key, "values", values)],
    )


def _names_of_blocks(collection: Collection, coordinate: Coordinate) -> list[tuple[str, ...]]:
    names: list[list[str]] = [[] for _ in coordinate.entries]
    for number, block in coordinate.block_of.items():
        names[block].append(collection.names[number])
    return [tuple(inputs) for inputs in names]


def _in_turn(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    stops = np.cumsum(lengths, dtype="i8")
    extents = np.asarray(lengths, "i8")
    runs = np.stack([np.arange(len(extents)), np.zeros(len(extents), "i8"), extents, stops - extents], axis=1)
    chosen: npt.NDArray[np.int64] = runs[extents > 0]
    return chosen


def _by_turn(
    coordinate: Coordinate, names: Sequence[tuple[str, ...]], duplicates: Duplicates
) -> tuple[npt.NDArray[np.int64], list[Mismatch]]:
    """Order values that have no order, such as names, as the inputs give them."""
    labels = [value for array in coordinate.meaning for value in array.tolist()]
    block = np.repeat(np.arange(len(names)), coordinate.lengths())
    row = np.concatenate([np.arange(length) for length in coordinate.lengths()] or [np.empty(0, "i8")])
    place: dict[Any, int] = {}
    twice = []
    for position, label in enumerate(labels):
        before = place.setdefault(label, position)
        if before != position:
            twice.append((before, position))
            if duplicates == "last":
                place[label] = position
    if twice and duplicates == "refuse":
        pairs = [(block[one], block[other], labels[one]) for one, other in twice]
        return _in_turn([]), [_doubled(coordinate, names, pairs)]
    keep = np.array(sorted(place.values()), "i8")
    return _runs(block[keep], row[keep]), []


def _by_value(
    coordinate: Coordinate, names: Sequence[tuple[str, ...]], duplicates: Duplicates
) -> tuple[npt.NDArray[np.int64], list[Mismatch]]:
    path = "/" + coordinate.path
    filled = [number for number, array in enumerate(coordinate.meaning) if len(array)]
    arrays = [coordinate.meaning[number] for number in filled]
    if not arrays:
        return _in_turn([]), []
    if len({array.dtype for array in arrays}) > 1:
        kinds: dict[str, tuple[str, ...]] = {}
        for number, array in zip(filled, arrays, strict=True):
            kinds[array.dtype.str] = (*kinds.get(array.dtype.str, ()), *names[number])
        return _in_turn([]), [Mismatch(path, "dtype", kinds)]
    missing = [number for number, array in zip(filled, arrays, strict=True) if _has_missing(array)]
    if missing:
        return _in_turn([]), [Mismatch(path, "missing values", {"some": _all(names, missing)})]
    directions: dict[str, list[int]] = {}
    for number, array in zip(filled, arrays, strict=True):
        if len(array) > 1:
            directions.setdefault(_direction(array), []).append(number)
    if len(directions) > 1 or "in no order" in directions:
        return _in_turn([]), [Mismatch(path, "order", {d: _all(names, n) for d, n in directions.items()})]
    block = np.repeat(np.array(filled, "i8"), [len(array) for array in arrays])
    row = np.concatenate([np.arange(len(array)) for array in arrays])
    values = np.concatenate(arrays)
    order, again = _sorted(values, block, duplicates)
    if again.any() and duplicates == "refuse":
        at = np.flatnonzero(again)
        pairs = [(block[order[i - 1]], block[order[i]], values[order[i]]) for i in at[:1000].tolist()]
        return _in_turn([]), [_doubled(coordinate, names, pairs)]
    order = order[~again]
    if "descending" in directions:
        order = order[::-1]
    return _runs(block[order], row[order]), []


def _has_missing(array: npt.NDArray[Any]) -> bool:
    return bool(array.dtype.kind in "fmM" and (np.isnat if array.dtype.kind in "mM" else np.isnan)(array).any())


def _all(names: Sequence[tuple[str, ...]], blocks: Iterable[int]) -> tuple[str, ...]:
    return tuple(name for block in blocks for name in names[block])


def _direction(array: npt.NDArray[Any]) -> str:
    if (array[1:] > array[:-1]).all():
        return "ascending"
    return "descending" if (array[1:] < array[:-1]).all() else "in no order"


def _sorted(
    values: npt.NDArray[Any], block: npt.NDArray[np.int64], duplicates: Duplicates
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the order of values, and which of them stand there for another time: those to be left out are behind."""
    rank = -block if duplicates == "last" else block
    order = np.lexsort((rank, values))
    again = np.zeros(len(order), bool)
    ranked = values[order]
    again[1:] = ranked[1:] == ranked[:-1]
    return order, again


def _runs(block: npt.NDArray[np.int64], row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Put rows that follow each other in one block together."""
    if not len(block):
        return _in_turn([])
    first = np.ones(len(block), bool)
    first[1:] = (block[1:] != block[:-1]) | (row[1:] != row[:-1] + 1)
    at = np.flatnonzero(first)
    lengths = np.diff([*at.tolist(), len(block)])
    runs: npt.NDArray[np.int64] = np.stack([block[at], row[at], row[at] + lengths, at], axis=1)
    return runs


def _doubled(
    coordinate: Coordinate, names: Sequence[tuple[str, ...]], pairs: Sequence[tuple[Any, Any, Any]]
) -> Mismatch:
    """Return which inputs have the same values, by pairs of blocks."""
    found: dict[str, tuple[str, ...]] = {}
    for one, other, value in pairs:
        inputs = tuple(dict.fromkeys((*names[int(one)], *names[int(other)])))
        if inputs not in found.values():
            found[str(value)] = inputs
    return Mismatch("/" + coordinate.path, "duplicates", found)
