"""A combined manifest held against the files that it was made of, file by file.

Contract: where the rows of a file should stand is found by coordinate values, read by the file's own library, not by
what the manifest refers to; only dimensions without a coordinate in the file are located by references. In each chunk
that refers to a file, what zarr reads is what the file has for those coordinate values; a reference to a file anywhere
else is a difference. Files that are in another encoding (units of time, packing, width) are compared by what values
mean.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError, SourceError
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.verification.compare_array import ArrayResult, Difference
from refmaker.verification.containers import Member
from refmaker.verification.coordinates import Coordinates, Unreadable, dimensions_of, find, opened, prefix_of, read
from refmaker.verification.decoded_values import Encoding, encoding_of, meaning
from refmaker.verification.inputs import Integers, Part, owns
from refmaker.verification.originals import Original
from refmaker.verification.values import Mask, MissingCounterpart, Rules, TypeMismatch, counted, differing, plain

__all__ = ["CombinedArray", "compare_files"]


@dataclass(slots=True)
class _Place:
    """Where the rows of a file stand along a dimension. `own` is false where the file lacks the dimension."""

    positions: Integers
    own: bool = True


@dataclass(slots=True)
class CombinedArray:
    """An array of a combined manifest, compared with one file after the other.

    Parameters
    ----------
    shown
        As zarr opened it.
    owner
        Path of the coordinate whose bounds the array is, if it is.
    """

    coordinates: Coordinates
    path: str
    shown: Any
    owner: str | None
    result: ArrayResult
    lines: list[str] = field(default_factory=list)
    covered: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    files: int = 0
    skipped: bool = False

    @staticmethod
    def of(coordinates: Coordinates, path: str) -> CombinedArray:
        """Open an array of the manifest."""
        result = ArrayResult("/" + path, "same", chunks=coordinates.manifest.arrays[path].cells)
        made = CombinedArray(coordinates, path, None, _owner(coordinates.manifest, path), result)
        try:
            made.shown = opened(coordinates.open_array, path)
        except Unreadable as error:
            made.problem("unreadable", f"zarr cannot open it: {error.message}")
        return made

    @property
    def array(self) -> ManifestArray:
        """The array in the manifest."""
        return self.coordinates.manifest.arrays[self.path]

    @property
    def dimensions(self) -> tuple[str, ...] | None:
        """The names of its dimensions."""
        return dimensions_of(self.array)

    def refers(self, part: Part) -> bool:
        """Return whether any chunk refers to a file."""
        return len(self.coordinates.cells(self.path, part)) > 0

    def compare(self, part: Part, sample: int | None) -> None:
        """Compare with a file, if it has the array.

        Parameters
        ----------
        sample
            Chunks to compare, None for all.

        Raises
        ------
        Misfit
            The two sides hold values of different kinds, or of different extents.
        SourceError
            The file cannot be read.
        """
        cells = self.coordinates.cells(self.path, part)
        try:
            original = find(self.coordinates.originals, self.path, part, self.shown.dtype)
        except MissingCounterpart:
            if len(cells):
                raise
            return
        turn = self._turn(original)
        places = self._places(original, part, turn, cells)
        self.files += 1
        if not self.covered:
            self.covered = [np.zeros(extent, bool) for extent in self.shown.shape]
        for mark, place in zip(self.covered, places, strict=True):
            mark[place.positions] = True
        grid = self.array.grid
        touched = [np.unique(_chunk_of(self.array, dim, place.positions)) for dim, place in enumerate(places)]
        inside = np.ones(len(cells), bool)
        for index, own in zip(np.unravel_index(cells, grid) if grid else (), touched, strict=False):
            inside &= np.isin(index, own)
        if not inside.all():
            name = self.coordinates.originals.targets.records[part.code].url
            self._differs(f"{counted(int((~inside).sum()), 'chunk')} of {name} where it has no rows")
        for position in _chosen(touched, sample, self.path, part.code):
            self._chunk(original, part, places, turn, position)

    def conclude(self, *, complete: bool) -> None:
        """Put what was found into the result.

        Parameters
        ----------
        complete
            All files were compared: every row has to be of one of them.
        """
        result = self.result
        if complete and self.files and not self.skipped:
            for dim, mark in enumerate(self.covered):
                if not mark.all():
                    self._differs(f"{counted(int((~mark).sum()), 'row')} along axis {dim} that no file has")
        if result.elements_different:
            elements, chunks = counted(result.elements_different, "element"), counted(result.chunks_different, "chunk")
            self._differs(f"other values: {elements} in {chunks}", first=True)
        if not self.files and result.status == "same" and not self.lines:
            result.status = "skipped"
            self.lines.append("none of the files that were compared has it")
        result.reason = "; ".join(dict.fromkeys(self.lines)) or None

    def problem(self, status: Literal["differs", "unreadable", "skipped"], line: str) -> None:
        """Note what is wrong, the worst of it for the status."""
        worst = ("same", "skipped", "unreadable", "differs")
        self.skipped |= status != "differs"
        self.result.status = max(self.result.status, status, key=worst.index)
        self.lines.append(line)

    def _differs(self, line: str, *, first: bool = False) -> None:
        self.result.status = "differs"
        self.lines.insert(0 if first else len(self.lines), line)

    def _turn(self, original: Original) -> tuple[int, ...]:
        """Return for each axis of the file the dimension that it is, and -1 for the missing one of a new dimension."""
        rank, own = len(self.shown.shape), len(original.shape)
        if own == rank - 1 and self._is_new(original):
            return tuple(range(1, rank))
        if own != rank:
            raise MissingCounterpart(f"shape {original.shape} in the file, {self.shown.shape} through the manifest")
        names, wanted = original.dimensions, self.dimensions
        if wanted is not None and sorted(map(str, names)) == sorted(set(wanted)):
            return tuple(wanted.index(str(name)) for name in names)
        return tuple(range(rank))

    def _is_new(self, original: Original) -> bool:
        wanted = self.dimensions
        return wanted is not None and wanted[0] not in original.dimensions

    def _places(self, original: Original, part: Part, turn: Sequence[int], cells: Integers) -> list[_Place]:
        extents: list[int | None] = [None] * len(self.shown.shape)
        grows = [False] * len(extents)
        for axis, dim in enumerate(turn):
            extents[dim], grows[dim] = original.shape[axis], original.growable[axis]
        return [self._place(dim, extent, grows[dim], part, cells) for dim, extent in enumerate(extents)]

    def _place(self, dim: int, extent: int | None, grows: bool, part: Part, cells: Integers) -> _Place:
        """Find where the rows of a file stand along one dimension."""
        length = int(self.shown.shape[dim])
        name = None if self.dimensions is None else self.dimensions[dim]
        path = None if name is None else self.coordinates.above(self.path, name)
        found = None if path is None else self.coordinates.rows(path, part)
        if found is None:
            if extent == length:
                return _Place(np.arange(length))
            return _Place(self._by_reference(dim, 1 if extent is None else extent, part, cells), own=extent is not None)
        if extent is not None and extent != len(found) and not (grows and extent < len(found)):
            raise MissingCounterpart(
                f"{extent} rows in the file along axis {dim}, of which its coordinate has {len(found)}"
            )
        return _Place(found, own=extent is not None)

    def _by_reference(self, dim: int, extent: int, part: Part, cells: Integers) -> Integers:
        """Take the first chunk that refers to a file for its first row; of another array, if need be."""
        array = self.array
        if not len(cells):
            array, dim, cells = self._beside(dim, part)
        first = _first_row(array, dim, int(np.unravel_index(cells, array.grid)[dim].min()))
        return np.arange(first, min(first + extent, array.metadata.shape[dim]))

    def _beside(self, dim: int, part: Part) -> tuple[ManifestArray, int, Integers]:
        """Find an array of the same dimension of which chunks refer to a file."""
        name = None if self.dimensions is None else self.dimensions[dim]
        manifest = self.coordinates.manifest
        for path, array in manifest.arrays.items():
            names = dimensions_of(array) or ()
            if name in names and prefix_of(path) == prefix_of(self.path):
                cells = self.coordinates.cells(path, part)
                if len(cells):
                    return array, names.index(str(name)), cells
        raise SourceError("neither a coordinate nor a reference says where the rows of a file stand")

    def _chunk(
        self, original: Original, part: Part, places: Sequence[_Place], turn: Sequence[int], position: tuple[int, ...]
    ) -> None:
        """Compare the rows of a file in one chunk, if the chunk is that file's."""
        cell = int(np.ravel_multi_index(position, self.array.grid)) if position else 0
        if not owns(self.array.references, cell, part):
            return
        rows, columns, shape = [], [], []
        for dim, (place, at) in enumerate(zip(places, position, strict=True)):
            own = np.flatnonzero(_chunk_of(self.array, dim, place.positions) == at)
            rows.append(own)
            columns.append(place.positions[own])
            shape.append(len(own))
        theirs = _taken(self.shown, columns)
        mine_rows = [rows[dim] for dim in turn]
        selection = tuple(slice(int(one.min()), int(one.max()) + 1) for one in mine_rows)
        if original.undefined and not original.stored(selection):
            return
        mine = original.read(selection)
        mine = mine[np.ix_(*(one - one.min() for one in mine_rows))] if mine_rows else mine
        mine = mine.transpose(np.argsort(turn)).reshape(shape)
        different = self._differing(original, part, mine, theirs)
        self.result.chunks_checked = min(self.result.chunks_checked + 1, self.result.chunks)
        if different.any():
            self._count(different, mine, theirs, columns)

    def _differing(self, original: Original, part: Part, mine: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> Mask:
        one, other = self._encodings(original, part, mine.dtype)
        if one == other:
            return differing(mine, theirs, Rules(original.same_object, original.spaces))
        if one.is_time != other.is_time:
            raise TypeMismatch("times on one side, and numbers on the other")
        own, got = meaning(mine, one, other.calendar), meaning(theirs, other)
        if one.is_time:
            return np.asarray(np.abs(own - got) > 1)
        if own.dtype.kind != "f" or got.dtype.kind != "f":
            return differing(mine, theirs, Rules(original.same_object, original.spaces))
        return np.asarray((own != got) & ~(np.isnan(own) & np.isnan(got)))

    def _encodings(self, original: Original, part: Part, dtype: np.dtype[Any]) -> tuple[Encoding, Encoding]:
        above: Mapping[str, Any] = {}
        combined: Mapping[str, Any] = {}
        attributes = original.attributes
        if self.owner is not None:
            combined = self.coordinates.manifest.arrays[self.owner].attributes
            values, _ = self.coordinates.combined(self.owner)
            above = find(self.coordinates.originals, self.owner, part, values.dtype).attributes or {}
        other = encoding_of(self.shown.dtype, self.array.attributes, combined)
        if attributes is None:
            return other, other
        own = encoding_of(dtype, attributes, above)
        if not own.is_time and other == replace(own, missing=other.missing) and own.missing is None:
            return other, other
        return own, other

    def _count(
        self, different: Mask, mine: npt.NDArray[Any], theirs: npt.NDArray[Any], columns: Sequence[Integers]
    ) -> None:
        result = self.result
        result.elements_different += int(different.sum())
        result.chunks_different += 1
        if result.first_difference is None:
            at = np.unravel_index(int(different.argmax()), different.shape) if different.ndim else ()
            index = [int(own[i]) for own, i in zip(columns, at, strict=True)]
            result.first_difference = Difference(index, plain(mine[at]), plain(theirs[at]))


def compare_files(
    sides: Sequence[CombinedArray],
    parts: Sequence[Part],
    sample: int | None,
    open_target: Callable[[int, Member | None], None],
    done: Callable[[Part, int], None],
) -> None:
    """Compare arrays with files, one file after the other.

    Parameters
    ----------
    sample
        Chunks of each array to compare in all, about; None for all.
    open_target
        Opens a file, or raises `SourceError`.
    done
        Called after each file, with how many that makes.
    """
    share = None if sample is None else max(sample // max(len(parts), 1), 1)
    for number, part in enumerate(parts):
        try:
            open_target(part.code, part.member)
        except SourceError as error:
            for side in sides:
                if side.refers(part):
                    side.problem("skipped", str(error))
        else:
            _compare_file(sides, part, share)
        done(part, number + 1)
    for side in sides:
        side.conclude(complete=sample is None)


def _compare_file(sides: Sequence[CombinedArray], part: Part, share: int | None) -> None:
    groups = {prefix_of(side.path) for side in sides if side.refers(part)}
    for side in sides:
        prefix = prefix_of(side.path)
        if side.shown is None or (prefix and prefix not in groups):
            continue
        url = side.coordinates.manifest.targets[part.code].url
        try:
            side.compare(part, share)
        except TypeMismatch as error:
            side.problem("differs", f"{url}: {error.message}")
        except Unreadable as error:
            side.problem("unreadable", f"{url}: {error.message}")
        except RefmakerError as error:
            side.problem("skipped", str(error))


def _owner(manifest: Manifest, path: str) -> str | None:
    """Return the path of the coordinate whose bounds an array is."""
    group, _, name = path.rpartition("/")
    for other, array in manifest.arrays.items():
        named = (array.attributes.get("bounds"), array.attributes.get("climatology"))
        if other.rpartition("/")[0] == group and name in named:
            return other
    return None


def _chunk_of(array: ManifestArray, dim: int, positions: Integers) -> Integers:
    """Return the index of the chunk in which each row stands, along one dimension."""
    lengths = array.metadata.chunk_lengths
    if lengths is None:
        return positions // array.metadata.chunk_shape[dim]
    return np.searchsorted(np.cumsum(lengths[dim]), positions, side="right")


def _first_row(array: ManifestArray, dim: int, index: int) -> int:
    """Return the first row of a chunk along one dimension."""
    lengths = array.metadata.chunk_lengths
    return index * array.metadata.chunk_shape[dim] if lengths is None else int(lengths[dim][:index].sum())


def _taken(shown: Any, columns: Sequence[Integers]) -> npt.NDArray[Any]:
    """Read rows through the manifest."""
    selection = tuple(slice(int(one.min()), int(one.max()) + 1) for one in columns)
    values = np.asarray(read(shown, selection))
    return values[np.ix_(*(one - one.min() for one in columns))] if columns else values


def _chosen(touched: Sequence[Integers], sample: int | None, path: str, code: int) -> Iterator[tuple[int, ...]]:
    """Yield positions of chunks among those that a file has rows in.

    All, or some, the first and the last among them.
    """
    shape = tuple(map(len, touched))
    count = math.prod(shape)
    numbers: Any = range(count)
    if sample is not None and count > sample:
        rng = np.random.default_rng(zlib.crc32(f"{path} {code}".encode("utf-8", "surrogateescape")))
        numbers = sorted({0, count - 1, *rng.integers(0, count, max(sample - 2, 0)).tolist()})
    for number in numbers:
        index = np.unravel_index(number, shape) if shape else ()
        yield tuple(int(own[i]) for own, i in zip(touched, index, strict=True))
