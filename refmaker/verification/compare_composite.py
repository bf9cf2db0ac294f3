"""Composite arrays beside what xarray shows of the files that they are made of.

Contract: the truth is xarray's netCDF-4 engine on each file, never the steps by which the array is read. Compared are
rows of slots, by bytes: every form once, the first and the last slot, then others spread over the array. What stands
in a file that is not local, or that netCDF-C does not open, is not compared, and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.manifest.composite import HOLE, Composite
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import restored
from refmaker.urls import is_local, local_path
from refmaker.verification.compare_array import ArrayResult, Difference

__all__ = ["compare_composite"]

_UNREADABLE = (RefmakerError, OSError, ValueError, RuntimeError, LookupError, TypeError)


def compare_composite(
    path: str, manifest: Manifest, open_array: Callable[[str], Any], sample: int | None
) -> ArrayResult:
    """Compare one composite array with its files.

    Parameters
    ----------
    path
        Of the array.
    open_array
        Opens an array with zarr, by its path.
    sample
        Slots to compare at most, of each array; None for all.

    Returns
    -------
    ArrayResult
        Its chunks are slots.
    """
    one = manifest.composites[path]
    result = ArrayResult("/" + path, "same", chunks=len(one.slot_piece))
    sides = _Sides(path, manifest, one, open_array(path), open_array)
    for slot in chosen_slots(one, sample):
        problem = _compare_slot(sides, slot, result)
        if problem is not None:
            result.status, result.reason = problem
            break
        result.chunks_checked += 1
    return result


def chosen_slots(one: Composite, sample: int | None) -> list[int]:
    """Return the slots to compare, ascending."""
    count = len(one.slot_piece)
    if sample is None or count <= sample:
        return list(range(count))
    forms = np.where(one.slot_piece >= 0, one.form[one.slot_piece], -1)
    first = np.unique(forms, return_index=True)[1].tolist()
    spread = np.linspace(0, count - 1, max(sample - len(first), 2)).astype("i8").tolist()
    return sorted({*first, *spread})


@dataclass(frozen=True, slots=True)
class _Sides:
    """A composite array, and how it is opened."""

    path: str
    manifest: Manifest
    composite: Composite
    array: Any
    open_array: Callable[[str], Any]


def _compare_slot(sides: _Sides, slot: int, result: ArrayResult) -> tuple[Any, str] | None:
    """Return status and reason if the rows of a slot are not the same, or cannot be compared."""
    path, manifest, one = sides.path, sides.manifest, sides.composite
    piece, first = int(one.slot_piece[slot]), int(one.edges[slot])
    rows = slice(first, first + int(one.slot_length[slot]))
    index = tuple(rows if dim == one.axis else slice(None) for dim in range(len(one.metadata.shape)))
    try:
        got = _decoded(path, manifest, one, np.asarray(sides.array[index]))
        if piece == HOLE:
            return None if np.isnan(got).all() else ("differs", f"a hole at row {first} is not missing values")
        url = _file_of(manifest, one, piece)
        if url is None or not is_local(url):
            return "skipped", f"rows from {first} on: not of one local file"
        start = int(one.slot_start[slot])
        own = slice(start, start + int(one.slot_length[slot]))
        expected = _of_file(local_path(url), path, one.axis, own)
        if not _in_place(sides, local_path(url), rows, own):
            return "differs", f"rows from {first} on: {url} has other coordinates"
    except _UNREADABLE as error:
        return "unreadable", f"rows from {first} on: {str(error)[:200]}"
    if np.result_type(expected.dtype, got.dtype) != got.dtype:
        return "differs", f"data type {got.dtype}, of the file {expected.dtype}"
    with np.errstate(all="ignore"):
        expected = expected.astype(got.dtype)
    if expected.shape == got.shape and expected.tobytes() == got.tobytes():
        return None
    result.first_difference = _first_difference(expected, got, one.axis, first)
    return "differs", f"rows from {first} on, of {url}"


def _file_of(manifest: Manifest, one: Composite, piece: int) -> str | None:
    """Return the url of the file in which a piece is, None where that is not plain."""
    low, high = int(one.base[piece]), int(one.base[piece + 1])
    rows = one.references.between(low, high)
    codes = {int(code) for code in rows.target.tolist()} | set(rows.whole.values())
    return manifest.targets[codes.pop()].url if len(codes) == 1 else None


def _decoded(path: str, manifest: Manifest, one: Composite, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values as xarray shows them; times stay numbers."""
    import xarray as xr

    types = {} if manifest.types is None else manifest.types.get(path, {})
    attributes = {name: restored(value, types.get(name)) for name, value in one.attributes.items()}
    names = [f"d{dim}" for dim in range(values.ndim)]
    variable = xr.conventions.decode_cf_variable(path, xr.Variable(names, values, attributes), decode_times=False)
    return _native(variable.values)


def _in_place(sides: _Sides, name: str, rows: slice, own: slice) -> bool:
    """Return whether rows have the coordinate that the file gives them; true where the file has none."""
    import xarray as xr

    one, group = sides.composite, sides.path.rpartition("/")[0]
    names = one.metadata.dimension_names(one.attributes)
    dimension = None if names is None else names[one.axis]
    path = f"{group}/{dimension}" if group else str(dimension)
    coordinate = sides.manifest.arrays.get(path)
    if coordinate is None:
        return True
    with xr.open_dataset(name, engine="netcdf4", group=group or None) as dataset:
        if dimension not in dataset.variables:
            return True
        expected = dataset[dimension].values[own]
    types = {} if sides.manifest.types is None else sides.manifest.types.get(path, {})
    attributes = {name: restored(value, types.get(name)) for name, value in coordinate.attributes.items()}
    values = np.asarray(sides.open_array(path)[rows])
    shown = xr.conventions.decode_cf_variable(dimension, xr.Variable([str(dimension)], values, attributes))
    return bool(np.array_equal(shown.values, expected))


def _of_file(name: str, path: str, axis: int, rows: slice) -> npt.NDArray[Any]:
    import xarray as xr

    group, _, variable = path.rpartition("/")
    with xr.open_dataset(name, engine="netcdf4", group=group or None, decode_times=False) as dataset:
        index: Sequence[slice] = [slice(None)] * axis + [rows]
        return _native(dataset[variable].variable[tuple(index)].values)


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def _first_difference(expected: npt.NDArray[Any], got: npt.NDArray[Any], axis: int, first: int) -> Difference | None:
    if expected.shape != got.shape:
        return None
    unit = f"V{got.dtype.itemsize}"
    where = np.argwhere(expected.view(unit) != got.view(unit))
    if not len(where):
        return None
    index = where[0].tolist()
    values = expected[tuple(index)], got[tuple(index)]
    index[axis] += first
    return Difference(index, values[0].item(), values[1].item())
