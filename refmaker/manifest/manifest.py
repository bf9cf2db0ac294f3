"""The manifest as columns.

Contract: immutable once built. Arrays and groups are keyed by Zarr path without a leading slash ("" is the root
group). Every reference is a row of four columns (cell, target, offset, size): 24 bytes when one file is the target of
all of them. Chunk keys such as `t2m/0.13.4` exist only at the edge, in writers and in replay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from refmaker.manifest.references import References
from refmaker.model import JSON
from refmaker.redaction import redact
from refmaker.zarr.metadata import ArrayMetadata, ZarrFormat

__all__ = ["JSON", "Manifest", "ManifestArray", "ObjectReport", "Target", "notes_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """A file that references point into, as it was seen at scan time. Unknown parts are None.

    `mtime` is in seconds since the epoch.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    mtime: float | None = None

    def __repr__(self) -> str:
        return f"Target(url={redact(self.url)!r}, size={self.size}, etag={self.etag!r}, mtime={self.mtime})"


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
    types
        Path of a group or array -> name of an attribute -> its type in the source, which JSON does not tell: see
        `refmaker.manifest.types`. None where nothing is known, as in foreign manifests.
    notes
        What a manifest that was read, or combined, says of values that users will see differently. Of a scan, it stands
        in `objects`; `notes_of` gives both.
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
    notes: list[str] = field(default_factory=list)

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


def notes_of(manifest: Manifest) -> Iterator[str]:
    """Yield what there is to note of the objects of a manifest, `path: note`: what readers see differently, or need."""
    yield from manifest.notes
    for line in manifest.objects:
        for note in line.notes:
            yield f"{line.path}: {note}"
