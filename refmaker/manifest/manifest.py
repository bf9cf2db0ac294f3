"""The manifest as columns.

Contract: immutable once built. Arrays and groups are keyed by Zarr path without a leading slash ("" is the root
group). Every reference is a row of four columns (cell, target, offset, size): 24 bytes when one file is the target of
all of them. Chunk keys such as `t2m/0.13.4` exist only at the edge, in writers and in replay.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["JSON", "Manifest", "ManifestArray", "ObjectReport", "Range", "References", "Target"]

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

Range: TypeAlias = tuple[int, int, int | None]
"""Target, offset and size of a reference; size None: the whole target, from its first byte to its last."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file that references point into, as it was seen at scan time. Unknown parts are None.

    `mtime` is in seconds since the epoch.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    mtime: float | None = None


@dataclass(slots=True)
class References:
    """Chunk references of one array, sorted by `cell`. An absent chunk is an absent row.

    Attributes
    ----------
    cell : int64[n]
        Ravelled (C order) position in the chunk grid.
    target : integer[n]
        Index into `Manifest.targets`; a zero-stride array where all are the same.
    offset : uint64[n]
        Bytes from the start of the target.
    size : uint64[n]
        Stored bytes.
    inline
        Cell -> the chunk's encoded bytes. No cell is both inline and a row.
    whole
        Cell -> index of the target that is the chunk from its first byte to its last, of whatever size. Foreign
        manifests have such references; a scan makes none. No cell is both here and elsewhere.
    streamed
        Whether the columns are made when they are asked for, so that `windows` takes less memory than they do.
    """

    streamed: ClassVar[bool] = False

    cell: npt.NDArray[np.int64]
    target: npt.NDArray[np.integer[Any]]
    offset: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    inline: dict[int, bytes] = field(default_factory=dict)
    whole: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cell) + len(self.inline) + len(self.whole)

    def at(self, cell: int) -> bytes | Range | None:
        """Give what is recorded for a cell: its bytes, where they are, or None for nothing."""
        count, row = len(self.cell), cell
        if not (row < count and self.cell.item(row) == cell):  # else every cell before it has a row
            if cell in self.inline:
                return self.inline[cell]
            if cell in self.whole:
                return self.whole[cell], 0, None
            row = int(np.searchsorted(self.cell, cell))
            if row == count or self.cell.item(row) != cell:
                return None
        return self.target.item(row), self.offset.item(row), self.size.item(row)

    def between(self, start: int, stop: int) -> References:
        """Give the references of the cells from `start` to before `stop`; the columns are views."""
        first, last = np.searchsorted(self.cell, (start, stop))
        part = slice(int(first), int(last))
        inline = {cell: data for cell, data in self.inline.items() if start <= cell < stop}
        whole = {cell: code for cell, code in self.whole.items() if start <= cell < stop}
        return References(self.cell[part], self.target[part], self.offset[part], self.size[part], inline, whole)

    def any_between(self, start: int, stop: int) -> bool:
        """Tell whether any of the cells from `start` to before `stop` is recorded."""
        first, last = np.searchsorted(self.cell, (start, stop))
        others = itertools.chain(self.inline, self.whole)
        return bool(last > first) or any(start <= cell < stop for cell in others)

    def parts(self) -> Iterator[References]:
        """Give all references, in parts that need not be in memory together; cells ascend."""
        yield self

    def windows(self, size: int) -> Iterator[tuple[int, References]]:
        """Give the references of every `size` cells, with the number of that window; those without any are left out."""
        others = np.array([*self.inline, *self.whole], "i8")
        for number in np.union1d(np.unique(self.cell // size), np.unique(others // size)).tolist():
            yield number, self.between(number * size, (number + 1) * size)

    def known(self, cells: npt.NDArray[np.int64]) -> tuple[References, list[int]]:
        """Give what can be looked at without reading anything, cells of `cells` and others around them.

        Returns
        -------
        references
            Of them.
        missing
            The first of `cells` in each shard that was not read yet.
        """
        return self, []

    def load(self) -> None:
        """Read all that is read only when it is needed: nothing here, shards where a manifest has them."""

    def is_loaded(self, cell: int | None = None) -> bool:
        """Tell whether a cell, or all of them, can be looked at without reading anything."""
        return True

    @staticmethod
    def empty() -> References:
        """Give references to nothing."""
        return References(np.empty(0, "i8"), np.empty(0, "u1"), np.empty(0, "u8"), np.empty(0, "u8"))


@dataclass(slots=True)
class ManifestArray:
    """A Zarr array.

    Attributes
    ----------
    metadata
        The JSON of `.zarray` (Zarr 2), or of `zarr.json` without `attributes` (Zarr 3).
    attributes
        The JSON of `.zattrs`, or `attributes` of `zarr.json`. Strict: no NaN, no infinity.
    grid
        Number of chunks along each dimension, () for a scalar.
    """

    metadata: dict[str, Any]
    attributes: dict[str, Any]
    grid: tuple[int, ...]
    references: References

    @property
    def cells(self) -> int:
        """Number of chunks of the whole grid."""
        n = 1
        for extent in self.grid:
            n *= extent
        return n


@dataclass(slots=True)
class ObjectReport:
    """One line of the scan report: what became of an object of the source."""

    path: str
    kind: Literal["dataset", "group", "link", "type"]
    status: Literal["mapped", "inlined", "refused"]
    reason: str | None = None
    codecs_need_refmaker: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Manifest:
    """Zarr metadata plus, for every chunk, which file, which offset, how many bytes.

    Attributes
    ----------
    groups
        Zarr path -> attributes (strict JSON). The root group "" is always there, unless the root is an array (which
        only foreign manifests have): then that array is all there is.
    arrays
        Zarr path -> array.
    targets
        The files referred to. A manifest of shards that does not list them adds to this as it meets them.
    refusals
        Path below the root of the manifest ("/a/b") -> reason, for every object of the source that it does not hold.
    objects
        The scan report, when the manifest comes from a scan.
    history
        Lines saying how the manifest came about, oldest first.
    extra
        Key -> data of other keys of a foreign manifest, neither metadata nor chunks.
    sources
        Path of an array -> the target (its index) and the path in it of the object that the array shows, where that is
        not the object of the same path in the first target.
    outside
        Path of an array -> number of keys outside its chunk grid that reading the manifest left out.
    """

    zarr_format: Literal[2, 3]
    groups: dict[str, dict[str, Any]]
    arrays: dict[str, ManifestArray]
    targets: Sequence[Target]
    refusals: dict[str, str] = field(default_factory=dict)
    objects: list[ObjectReport] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    extra: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        """Number of references, inlined chunks included."""
        return sum(len(a.references) for a in self.arrays.values())

    @property
    def is_loaded(self) -> bool:
        """Whether all references can be looked at without reading anything."""
        return all(array.references.is_loaded() for array in self.arrays.values())

    def load(self) -> None:
        """Read all references, where they are read from shards when they are needed."""
        for array in self.arrays.values():
            array.references.load()

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write kerchunk JSON version 1 to `path`, whole or not at all, packed where the name ends in .gz or .zst."""
        from refmaker.kerchunk.json_writer import write_json

        write_json(self, path)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet set of references to the folder `path`. See `kerchunk_parquet.write_parquet`."""
        from refmaker.kerchunk.parquet_writer import write_parquet

        write_parquet(self, path)
