"""Arrays of a manifest written to a session of Icechunk: documents, virtual references, chunks.

Contract: `set_virtual_refs_arr` and `set_virtual_refs` of Icechunk 2. Each reference has what tells whether its file
has changed: a strong ETag, else the time of its last modification, rounded up, as Icechunk keeps whole seconds. A
reference that Icechunk does not take is an error: it returns those, and a chunk without reference reads as fill values.
References are written a window of cells at a time, so that memory does not grow with them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from refmaker.bridges.packages import needed
from refmaker.errors import OutputError
from refmaker.file_version import is_weak
from refmaker.manifest.manifest import ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["ArrayWriter", "Located", "array_document", "checksum", "group_document", "read_document", "write_document"]

WINDOW: Final = 1 << 18
"""Cells whose references are written at a time."""
_FEW: Final = 4
"""A file with fewer chunks in a window is written chunk by chunk; so is one whose chunks are scattered as widely."""
_AT_ONCE: Final = 64
"""Inlined chunks that are written concurrently."""
_ENCODING: Final = {"name": "default", "configuration": {"separator": "/"}}
"""The only spelling of chunk keys that Icechunk has."""


@dataclass(frozen=True, slots=True)
class Located:
    """A target as Icechunk names it, and what tells whether it has changed; None where nothing does."""

    location: str
    checksum: str | dt.datetime | None
    size: int | None


def checksum(target: Target) -> str | dt.datetime | None:
    """Return what tells whether a file is still the one that was scanned.

    Examples
    --------
    >>> from refmaker import Target
    >>> checksum(Target("s3://bucket/a.nc", etag='"4f"'))
    '"4f"'
    >>> checksum(Target("/data/a.nc", mtime=1.25))
    datetime.datetime(1970, 1, 1, 0, 0, 2, tzinfo=datetime.timezone.utc)
    """
    if target.etag is not None and not is_weak(target.etag):
        return target.etag
    return None if target.mtime is None else dt.datetime.fromtimestamp(math.ceil(target.mtime), dt.UTC)


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `zarr.json` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def array_document(metadata: ArrayMetadata, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `zarr.json` of an array, with chunk keys as Icechunk has them."""
    return {**metadata.replaced(chunk_key_encoding=_ENCODING).to_json(), "attributes": dict(attributes)}


def write_document(store: Any, path: str, document: Mapping[str, Any]) -> None:
    """Write the `zarr.json` of a node."""
    _put(store, [(f"{path}/zarr.json".lstrip("/"), json.dumps(document, allow_nan=False).encode())])


def read_document(store: Any, path: str) -> dict[str, Any] | None:
    """Return the `zarr.json` of a node, None where there is none."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    found = sync(store.get(f"{path}/zarr.json".lstrip("/"), default_buffer_prototype()))
    return None if found is None else dict(json.loads(found.to_bytes()))


def _put(store: Any, items: Sequence[tuple[str, bytes]]) -> None:
    """Write some keys, concurrently."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    buffer = default_buffer_prototype().buffer

    async def put() -> None:
        await asyncio.gather(*(store.set(key, buffer.from_bytes(data)) for key, data in items))

    sync(put())


class ArrayWriter:
    """Writes the chunks of an array.

    Parameters
    ----------
    store
        Of a session that can be written.
    path
        Of the array in the repository; its document is there.
    array
        Its grid is that of the references.
    targets
        What is known of each target, by number.
    offset
        Where in the grid of the array in the repository the first chunk goes.

    Attributes
    ----------
    chunks, inlined
        What was written: references, and chunks that are in the manifest.
    """

    def __init__(
        self, store: Any, path: str, array: ManifestArray, targets: Mapping[int, Located], offset: tuple[int, ...]
    ) -> None:
        self.store = store
        self.path = path
        self.grid = array.grid
        self.metadata = array.metadata
        self.targets = targets
        self.offset = offset
        self.chunks = 0
        self.inlined = 0

    def write(self, references: References) -> None:
        """Write references, a window at a time."""
        for _, part in references.windows(WINDOW):
            self.write_window(part)

    def write_window(self, part: References) -> None:
        """Write the references of some cells."""
        singles: list[Any] = []
        for target, rows in _by_target(part):
            box = self._box(part.cell[rows])
            if len(rows) < _FEW or math.prod(box[1]) > _FEW * len(rows):
                singles += self._specs(target, part.cell[rows], part.offset[rows], part.size[rows])
            else:
                self._write_box(target, part, rows, *box)
        for cell, target in part.whole.items():
            size = self.targets[target].size
            if size is None:
                raise OutputError(
                    "a chunk is a whole file, whose size the manifest does not tell", path="/" + self.path
                )
            singles += self._specs(target, np.array([cell]), np.zeros(1, "u8"), np.array([size], "u8"))
        if singles:
            self._taken(self.store.set_virtual_refs("/" + self.path, singles))
        self._write_inlined(part.inline)
        self.chunks += len(part)

    def _box(self, cells: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the first index and the extents of the smallest box around cells."""
        if not self.grid:
            return (), ()
        indices = np.unravel_index(cells, self.grid)
        first = tuple(int(axis.min()) for axis in indices)
        return first, tuple(int(axis.max()) - start + 1 for axis, start in zip(indices, first, strict=True))

    def _write_box(
        self, target: int, part: References, rows: np.ndarray, first: tuple[int, ...], shape: tuple[int, ...]
    ) -> None:
        """Write the references of a target to a box of the grid, in one call."""
        known, count = self.targets[target], math.prod(shape)
        at = np.zeros(len(rows), "i8")
        if shape:
            indices = np.unravel_index(part.cell[rows], self.grid)
            inside = tuple(axis - start for axis, start in zip(indices, first, strict=True))
            at = np.ravel_multi_index(inside, shape)
        locations = [""] * count
        for index in at.tolist():
            locations[index] = known.location
        offsets, lengths = np.zeros(count, "u8"), np.zeros(count, "u8")
        offsets[at], lengths[at] = part.offset[rows], part.size[rows]
        self._taken(
            self.store.set_virtual_refs_arr(
                "/" + self.path,
                shape,
                locations,
                offsets,
                lengths,
                arr_offset=tuple(map(sum, zip(first, self.offset, strict=True))) or None,
                checksum=known.checksum,
            )
        )

    def _specs(self, target: int, cells: np.ndarray, offset: np.ndarray, size: np.ndarray) -> Iterator[Any]:
        """Yield references one by one."""
        spec, known = needed("icechunk").VirtualChunkSpec, self.targets[target]
        etag = known.checksum if isinstance(known.checksum, str) else None
        time = known.checksum if isinstance(known.checksum, dt.datetime) else None
        for cell, start, length in zip(cells.tolist(), offset.tolist(), size.tolist(), strict=True):
            yield spec(self._index(cell), known.location, start, length, etag, time)

    def _index(self, cell: int) -> list[int]:
        if not self.grid:
            return []
        return [int(axis) + start for axis, start in zip(np.unravel_index(cell, self.grid), self.offset, strict=True)]

    def _write_inlined(self, inline: Mapping[int, bytes]) -> None:
        items = [
            ("/".join([self.path, "c", *map(str, self._index(cell))]), data) for cell, data in sorted(inline.items())
        ]
        for start in range(0, len(items), _AT_ONCE):
            _put(self.store, items[start : start + _AT_ONCE])
        self.inlined += len(items)

    def _taken(self, failed: Sequence[Any] | None) -> None:
        """Raise an error for references that Icechunk did not take."""
        if failed:
            raise OutputError(
                "references that Icechunk does not take: no container of the repository has their files",
                path="/" + self.path,
                got=f"{len(failed)} of them, the first at {tuple(failed[0])}",
            )


def _by_target(part: References) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each target of some references, and their rows."""
    if not len(part.cell):
        return
    targets = np.asarray(part.target)
    order = np.argsort(targets, kind="stable")
    numbers, starts = np.unique(targets[order], return_index=True)
    yield from zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
