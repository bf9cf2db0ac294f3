"""Coordinates of dimensions, over all inputs: which inputs have the same, and what they are.

Contract: a coordinate is an array named like its only dimension. Its values are read from every input, whether they
differ or not; equal ones are one *block*, numbered in the order of the inputs. Blocks are compared as what they mean:
times in different units as times, numbers of different width as numbers, both only where that is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.reading import Chunks, Reader
from refmaker.combining.times import TimeUnits, before_reform, check_plain, same_calendar, ticks, time_units
from refmaker.combining.values import decoded, missing_of, sameness
from refmaker.errors import Unsupported

__all__ = ["Coordinate", "masked", "read_coordinate", "read_values"]


@dataclass(slots=True)
class Coordinate:
    """The coordinate of a dimension.

    Attributes
    ----------
    path
        Of the array.
    block_of
        Input -> number of its block; inputs that do not have the coordinate are left out.
    entries
        Of each block, the first entry of the series that has it.
    raw
        Values of each block, as stored in that entry.
    meaning
        The same values in a form that can be compared with those of other blocks.
    per_second
        Where `meaning` is times: how many ticks are a second; else 0.
    chunks
        Encoded chunks of each block.
    """

    path: str
    series: Series
    block_of: dict[int, int] = field(default_factory=dict)
    entries: list[int] = field(default_factory=list)
    raw: list[npt.NDArray[Any]] = field(default_factory=list)
    meaning: list[npt.NDArray[Any]] = field(default_factory=list)
    per_second: int = 0
    chunks: list[Chunks] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether inputs have different ones."""
        return len(self.entries) > 1

    def lengths(self) -> list[int]:
        """Return the length of every block."""
        return [len(values) for values in self.raw]


def read_coordinate(collection: Collection, path: str, reader: Reader) -> Coordinate:
    """Read a coordinate from all inputs that have it.

    Raises
    ------
    Unsupported
        Values that cannot be decoded, or not compared, because their units are of different kinds.
    """
    series = collection.series[path]
    if any(len(shape) != 1 for shape in series.shapes):
        raise Unsupported("one-dimensional in some inputs only", path="/" + path)
    raw, which, chunks = read_values(collection, path, reader)
    places = {number: entry for entry, number in reversed(list(enumerate(which)))}
    firsts = [places[number] for number in range(len(raw))]
    forms = [collection.form(series, entry) for entry in firsts]
    meaning, per_second = _compared(path, forms, raw)
    found = Coordinate(path, series, per_second=per_second)
    blocks: dict[tuple[Any, ...], int] = {}
    block_of = []
    for number, values in enumerate(meaning):
        block = blocks.setdefault(sameness(values), len(blocks))
        block_of.append(block)
        if block == len(found.entries):
            found.entries.append(firsts[number])
            found.raw.append(raw[number])
            found.meaning.append(values)
            found.chunks.append(chunks[number])
    found.block_of = {n: block_of[number] for n, number in zip(series.inputs, which, strict=True)}
    return found


def read_values(
    collection: Collection, path: str, reader: Reader
) -> tuple[list[npt.NDArray[Any]], list[int], list[Chunks]]:
    """Read an array from all inputs that have it.

    Returns
    -------
    values, which, chunks
        The different values; for each entry which of them it has; the chunks that the values were decoded from.
    """
    series = collection.series[path]
    stored: dict[tuple[Any, ...], int] = {}
    distinct: dict[tuple[Any, ...], int] = {}
    values: list[npt.NDArray[Any]] = []
    kept: list[Chunks] = []
    which: list[int] = []
    for entry, chunks in enumerate(reader.each(series.each(), "/" + path)):
        key = (series.forms[entry], series.shapes[entry], *sorted(chunks.items()))
        if key not in stored:
            form = collection.form(series, entry)
            own = decoded(form, series.shapes[entry], chunks)
            # Times are different ones where their units are: what they mean is looked at when all are read.
            meant = (sameness(own), str(form.attributes.get("units")), str(form.attributes.get("calendar")))
            stored[key] = distinct.setdefault(meant, len(values))
            if stored[key] == len(values):
                values.append(own)
                kept.append(chunks)
        which.append(stored[key])
    return values, which, kept


def _compared(
    path: str, forms: Sequence[ArrayEncoding], raw: Sequence[npt.NDArray[Any]]
) -> tuple[list[npt.NDArray[Any]], int]:
    units = [time_units(form.attributes) for form in forms]
    as_written = {str((form.attributes.get("units"), form.attributes.get("calendar"))) for form in forms}
    if len(as_written) > 1 and all(units):
        known: list[TimeUnits] = [unit for unit in units if unit is not None]
        if not same_calendar(known):
            names = ", ".join(sorted({unit.calendar for unit in known}))
            raise Unsupported(f"times of different calendars: {names}", path="/" + path)
        for form, values in zip(forms, raw, strict=True):
            check_plain(masked(form), values)
        found, per_second = ticks(raw, known)
        if len({unit.calendar for unit in known}) > 1 and before_reform(found, per_second):
            raise Unsupported("times before 1582-10-15 in calendars that disagree there", path="/" + path)
        return list(found), per_second
    return _promoted(raw), 0


def masked(form: ArrayEncoding) -> dict[str, Any]:
    """Return the attributes of a form, with the `_FillValue` that readers take where Zarr's own stands for it."""
    value = missing_of(form)
    return dict(form.attributes) if value is None else {**form.attributes, "_FillValue": value}


def _promoted(raw: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Bring numbers to one dtype that holds them all exactly; where there is none, they stay as they are."""
    dtypes = {values.dtype for values in raw}
    kinds = {dtype.kind for dtype in dtypes}
    if kinds == {"S"} or not kinds <= set("iuf"):
        return list(raw)
    common = np.result_type(*dtypes).newbyteorder("=")
    made = [values.astype(common, copy=False) for values in raw]
    return made if all(_exact(one, other) for one, other in zip(made, raw, strict=True)) else list(raw)


def _exact(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.dtype.kind == other.dtype.kind:
        return True
    back = one.astype(other.dtype)
    return bool((back == other).all())
