"""Where the rows of a file are in a combined manifest: by the values of coordinates.

Contract: the values of a file's coordinates are read by the file's own library, those of the combined ones by zarr;
nothing of how manifests are combined is used. Times in different units are compared as times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.verification.decoded_values import Encoding, encoding_of, meaning
from refmaker.verification.inputs import CellsByFile, Integers, Part
from refmaker.verification.originals import Original, Originals
from refmaker.verification.values import MissingCounterpart, TypeMismatch

__all__ = ["Coordinates", "Unreadable", "dimensions_of", "find", "opened", "prefix_of", "read"]


class Unreadable(RefmakerError):
    """What cannot be read through the manifest."""


@dataclass(slots=True)
class Coordinates:
    """The coordinates of a combined manifest, and where the rows of a file are among their values.

    Parameters
    ----------
    open_array
        Opens an array by its path, with zarr.
    """

    manifest: Manifest
    originals: Originals
    open_array: Callable[[str], Any]
    _values: dict[str, tuple[npt.NDArray[Any], Encoding]] = field(default_factory=dict)
    _meant: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _found: dict[str, Integers | None] = field(default_factory=dict)
    _part: Part | None = None
    _cells: dict[str, CellsByFile] = field(default_factory=dict)

    def cells(self, path: str, part: Part) -> Integers:
        """Return the cells of an array that refer to a file."""
        if path not in self._cells:
            self._cells[path] = CellsByFile(self.manifest.arrays[path].references)
        return self._cells[path].of(part)

    def above(self, path: str, name: str) -> str | None:
        """Return the path of the coordinate of a dimension of an array, None without one."""
        group = path.rpartition("/")[0]
        while True:
            found = f"{group}/{name}" if group else name
            array = self.manifest.arrays.get(found)
            if array is not None and dimensions_of(array) == (name,):
                return found
            if not group or group == prefix_of(path).rstrip("/"):
                return None
            group = group.rpartition("/")[0]

    def combined(self, path: str) -> tuple[npt.NDArray[Any], Encoding]:
        """Return the values of a combined coordinate, and their encoding."""
        if path not in self._values:
            values = np.asarray(read(opened(self.open_array, path), ...))
            self._values[path] = values, encoding_of(values.dtype, self.manifest.arrays[path].attributes, {})
        return self._values[path]

    def rows(self, path: str, part: Part) -> Integers | None:
        """Find the values of a file's coordinate in the combined one; None where the file has no such coordinate.

        Raises
        ------
        Misfit
            The file has values that the combined one has not.
        """
        if self._part != part:
            self._part, self._found = part, {}
        if path not in self._found:
            self._found[path] = self._rows(path, part)
        return self._found[path]

    def _rows(self, path: str, part: Part) -> Integers | None:
        combined, theirs = self.combined(path)
        try:
            original = find(self.originals, path, part, combined.dtype)
        except MissingCounterpart:
            return None
        if len(original.shape) > 1:
            return None
        own = np.atleast_1d(original.read(tuple(slice(0, extent) for extent in original.shape)))
        attributes = original.attributes
        mine = theirs if attributes is None else encoding_of(own.dtype, attributes, {})
        times = theirs != mine and theirs.is_time and mine.is_time
        if times:
            if path not in self._meant:
                self._meant[path] = meaning(combined, theirs)
            combined, own = self._meant[path], meaning(own, mine, theirs.calendar)
        found = _positions(own, combined, tolerance=1 if times else 0)
        if found is None:
            raise TypeMismatch(f"the coordinate /{path} of the file has values that the combined one has not")
        return found


def prefix_of(path: str) -> str:
    """Return the group of a part, where inputs were parted into groups that agree: the file does not know of it."""
    first, slash, _ = path.partition("/")
    return first + slash if slash and first.startswith("part_") and first[5:].isdigit() else ""


def find(originals: Originals, path: str, part: Part, dtype: np.dtype[Any]) -> Original:
    """Find the array of a path in a file; one that netCDF-4 stores under another name too."""
    name = "/" + path[len(prefix_of(path)) :]
    try:
        return originals.find(part.code, name, dtype, part.member)
    except MissingCounterpart:
        above, _, last = name.rpartition("/")
        with contextlib.suppress(MissingCounterpart):
            return originals.find(part.code, f"{above}/_nc4_non_coord_{last}", dtype, part.member)
        raise


def read(shown: Any, selection: Any) -> Any:
    """Read through the manifest."""
    try:
        return shown[selection]
    except Exception as error:  # zarr raises errors of many kinds
        raise _unreadable(error) from error


def opened(open_array: Callable[[str], Any], path: str) -> Any:
    """Open an array with zarr."""
    try:
        return open_array(path)
    except Exception as error:  # zarr raises errors of many kinds
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> Unreadable:
    cause = str(error) if isinstance(error, RefmakerError) else f"{type(error).__name__}: {error}"
    return Unreadable(cause.split("\n", 1)[0])


def dimensions_of(array: ManifestArray) -> tuple[str, ...] | None:
    """Return the names of the dimensions of an array."""
    names = array.metadata.dimension_names(array.attributes)
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _positions(own: npt.NDArray[Any], combined: npt.NDArray[Any], *, tolerance: int) -> Integers | None:
    """Find values among others, None where one is not there."""
    if own.shape == combined.shape and bool(_close(own, combined, tolerance).all()):
        return np.arange(len(own))
    if own.dtype.kind in "iufM" and combined.dtype.kind in "iufM":
        order = np.argsort(combined, kind="stable")
        at = np.searchsorted(combined[order], own - tolerance if tolerance else own).clip(max=max(len(order) - 1, 0))
        if len(own) and (not len(order) or not _close(own, combined[order[at]], tolerance).all()):
            return None
        found: Integers = order[at] if len(own) else np.empty(0, "i8")
        return found
    place = {_plain_text(value): number for number, value in enumerate(combined.ravel().tolist())}
    numbers = [place.get(_plain_text(value), -1) for value in own.ravel().tolist()]
    return None if -1 in numbers else np.array(numbers, "i8")


def _close(one: npt.NDArray[Any], other: npt.NDArray[Any], tolerance: int) -> npt.NDArray[np.bool_]:
    if tolerance:
        return np.asarray(np.abs(one - other) <= tolerance)
    if one.dtype.kind in "OSTU" or other.dtype.kind in "OSTU":
        pairs = zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        return np.array([_plain_text(a) == _plain_text(b) for a, b in pairs], bool)
    return np.asarray(one == other)


def _plain_text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
