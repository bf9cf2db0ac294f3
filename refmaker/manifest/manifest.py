"""The manifest as columns.

Contract: whoever makes a manifest may change it until it hands it on; who is given one makes another (`replace`) and
never changes it, as arrays and columns are shared between manifests. Arrays and groups are keyed by Zarr path without a
leading slash ("" is the root group). Every reference is a row of four columns (cell, target, offset, size): 24 bytes
when one file is the target of all of them. Chunk keys such as `t2m/0.13.4` exist only at the edge, in writers and in
replay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from refmaker.file_version import Target
from refmaker.manifest.composite import Composite
from refmaker.manifest.references import References
from refmaker.manifest.writers import converter, plotter, writer
from refmaker.model import JSON, Tree
from refmaker.zarr.metadata import ArrayMetadata, ZarrFormat

__all__ = ["JSON", "Manifest", "ManifestArray", "ObjectReport", "Target", "notes_of"]


_COMPARED = ("zarr_format", "groups", "arrays", "refusals", "extra", "sources", "types", "composites")


@dataclass(slots=True)
class ManifestArray:
    """A Zarr array.

    Attributes
    ----------
    metadata
        What Zarr needs to read the array: shape, chunks, data type, codecs, fill value.
    attributes
        The JSON of `.zattrs`, or `attributes` of `zarr.json`. Strict: no NaN, no infinity.
    grid
        Number of chunks along each dimension, () for a scalar.
    references
        Where the chunks are.

    Two are equal if all of that is; they can be changed, and so have no hash.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> array = refmaker.scan("air.h5").arrays["t"]
    >>> array.metadata.shape, array.cells, array == refmaker.scan("air.h5").arrays["t"]
    ((2,), 1, True)
    """

    metadata: ArrayMetadata
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
    status: Literal["mapped", "inlined", "refused", "empty"]
    reason: str | None = None
    codecs_need_refmaker: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True, repr=False, eq=False)
class Manifest:
    """Zarr metadata plus, for every chunk, which file, which offset, how many bytes.

    Two manifests are equal if they say the same: groups, arrays, references, targets, refusals and what else readers
    go by; how they came about (`history`, `objects`, `outside`) does not count. Comparing reads all references. They
    can be changed, and so have no hash.

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
    types
        Path of a group or array -> name of an attribute -> its type in the source, which JSON does not tell: see
        `refmaker.manifest.types`. None where nothing is known, as in foreign manifests.
    composites
        Path of an array -> how it is put together, where files do not agree in how it is stored. It is in `arrays` too
        only as long as somebody else's reader is to find something there.
    notes
        What a manifest that was read, or combined, says of values that users will see differently. Of a scan, it stands
        in `objects`; `notes_of` gives both.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     dataset = file.create_dataset("t", data=[280.0] * 6, chunks=(2,))
    >>> manifest = refmaker.scan("air.h5")
    >>> manifest
    <refmaker.Manifest: Zarr 2, 1 array, 3 chunks, 1 target, 0 refused>
      /t  (6) chunks (2) <f8, 48 bytes in 3 of 3 chunks
    >>> refmaker.Manifest.from_dict(manifest.to_dict()) == manifest
    True
    """

    zarr_format: ZarrFormat
    groups: dict[str, dict[str, Any]]
    arrays: dict[str, ManifestArray]
    targets: Sequence[Target]
    refusals: dict[str, str] = field(default_factory=dict)
    objects: list[ObjectReport] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    extra: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)
    types: dict[str, dict[str, str]] | None = None
    composites: dict[str, Composite] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def chunks(self) -> int:
        """Number of references, inlined chunks included."""
        composed = sum(len(one.references) for one in self.composites.values())
        return composed + sum(len(a.references) for a in self.arrays.values())

    @property
    def is_loaded(self) -> bool:
        """Whether all references can be looked at without reading anything."""
        return all(array.references.is_loaded() for array in self.arrays.values())

    def without_composites(self) -> Manifest:
        """Return the manifest for who cannot hold composite arrays: they are refused there, by name."""
        if not self.composites:
            return self
        reason = (
            "a composite array, assembled from pieces that are stored differently: readable through refmaker:// only"
        )
        refusals = {**self.refusals, **{f"/{path}": reason for path in self.composites}}
        return replace(self, composites={}, refusals=refusals)

    def load(self) -> None:
        """Read all references, where they are read from shards when they are needed."""
        for array in self.arrays.values():
            array.references.load()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        self.load()
        other.load()
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED) and list(self.targets) == list(
            other.targets
        )

    __hash__ = None  # type: ignore[assignment]  # content can change

    def __repr__(self) -> str:
        from refmaker.manifest.display import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from refmaker.manifest.display import as_html

        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as a reference document of kerchunk, version 1: what `to_json` writes.

        Raises
        ------
        ManifestError
            Something in the manifest cannot be written without loss.
        """
        made: dict[str, Any] = converter("to_dict")(self)
        return made

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> Manifest:
        """Return the manifest of a reference document of kerchunk, version 0 or 1.

        Raises
        ------
        ManifestError
            It is malformed, or asks for what is not supported.
        """
        made: Manifest = converter("from_dict")(document)
        return made

    def to_arrow(self) -> Any:
        """Return all references as a `pyarrow.Table`, one row each, in the order of arrays and cells.

        The columns are `path` (of the array, "/" in front), `cell` (int64, position in the chunk grid in C order),
        `key` (of the chunk in Zarr), `url`, `offset`, `size` (uint64, bytes) and `inlined` (binary). Of an inlined
        chunk `url` and `offset` are null; of a whole target of unknown size `size` is.
        """
        return converter("to_arrow")(self)

    @staticmethod
    def from_arrow(table: Any) -> Manifest:
        """Return the manifest of a table that `to_arrow` made; its schema holds the metadata.

        Raises
        ------
        ManifestError
            It is no such table, or it is malformed.
        """
        made: Manifest = converter("from_arrow")(table)
        return made

    def to_pandas(self) -> Any:
        """Return all references as a `pandas.DataFrame`, one row each: the columns of `to_arrow`."""
        return converter("to_pandas")(self)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write kerchunk JSON version 1 to `path`, whole or not at all, packed where the name ends in .gz or .zst."""
        writer("json")(self, path)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet set of references to the folder `path`. See `refmaker.kerchunk.parquet_writer`."""
        writer("parquet")(self, path)

    def plot(self, path: str | os.PathLike[str] | None = None, *, tree: Tree | None = None) -> Any:
        """Return a `matplotlib.figure.Figure` of how the chunks lie in the file: layout, chunk grids, sizes.

        Parameters
        ----------
        path
            Where to write it as well, in the format that its name ends with: `.svg`, `.png`, `.pdf`.
        tree
            What a scan with `measure=True` found in the file, to tell its metadata from bytes that nothing uses.

        Raises
        ------
        OutputError
            matplotlib is not installed, or does not know the format.
        """
        return plotter()(self, path, tree=tree)


def notes_of(manifest: Manifest) -> Iterator[str]:
    """Yield what there is to note of the objects of a manifest, `path: note`: what readers see differently, or need."""
    yield from manifest.notes
    for line in manifest.objects:
        for note in line.notes:
            yield f"{line.path}: {note}"
