"""Bytes of chunks, from wherever inputs have them.

Contract: what is inlined is taken as it is; everything else is read through the filesystem that replays manifests, so
that a target which changed, or answers with something else, fails here as it fails there. Reads go out together, in
batches of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.metadata import make_metadata
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["Chunks", "Reader"]

Chunks: TypeAlias = dict[int, bytes]
"""Cell -> encoded bytes."""

_Range: TypeAlias = tuple[int, int, int | None]

_BATCH = 64 << 20
_BATCH_COUNT = 4096


class Reader:
    """Reads chunks of arrays.

    Parameters
    ----------
    targets
        What `References.target` counts.
    storage_options
        Of the filesystems of the targets, as `refmaker.FileSystem` takes them.
    """

    def __init__(self, targets: Sequence[Target], storage_options: Mapping[str, Any]) -> None:
        self.targets = targets
        self.storage_options = storage_options

    def chunks(self, references: References, path: str) -> Chunks:
        """Read all chunks of one array; `path` is named in errors."""
        return next(iter(self.each([references], path)))

    def each(self, arrays: Iterable[References], path: str) -> Iterator[Chunks]:
        """Read all chunks of arrays, one after the other, with as many in memory as make a batch."""
        batch: list[References] = []
        size = count = 0
        for references in arrays:
            batch.append(references)
            size += int(references.size.sum(dtype="u8"))
            size += sum(self.targets[code].size or 0 for code in references.whole.values())
            count += len(references.cell) + len(references.whole)
            if size >= _BATCH or count >= _BATCH_COUNT:
                yield from self._batch(batch, path)
                batch, size, count = [], 0, 0
        yield from self._batch(batch, path)

    def _batch(self, arrays: Sequence[References], path: str) -> Iterator[Chunks]:
        ranges: list[_Range] = []
        for references in arrays:
            columns = (references.target, references.offset, references.size)
            ranges += zip(*(column.tolist() for column in columns), strict=True)
            ranges += [(code, 0, None) for code in references.whole.values()]
        blocks = iter(self._fetch(ranges, path))
        for references in arrays:
            chunks = dict(references.inline)
            for cell in (*references.cell.tolist(), *references.whole):
                chunks[cell] = next(blocks)
            yield chunks

    def _fetch(self, ranges: Sequence[_Range], path: str) -> list[bytes]:
        if not ranges:
            return []
        from refmaker.replay.filesystem import FileSystem

        filesystem = FileSystem(_listed(self.targets, ranges), remote_options=self.storage_options)
        keys = [f"ranges/{row}" for row in range(len(ranges))]
        found = filesystem.cat(keys, on_error="return")
        found = found if isinstance(found, dict) else {keys[0]: found}
        for key in keys:
            data = found[key]
            if isinstance(data, RefmakerError):
                data.path = path
            if isinstance(data, BaseException):
                raise data
        return [bytes(found[key]) for key in keys]


@dataclass(slots=True, repr=False)
class _Ranges(Manifest):
    """A manifest whose text is short: filesystems make tokens from the text of what they are given."""

    def __repr__(self) -> str:
        return f"<ranges {id(self):x}>"


def _listed(targets: Sequence[Target], ranges: Sequence[_Range]) -> Manifest:
    """Make a manifest of one array whose chunks are the ranges."""
    known = [(row, *one) for row, one in enumerate(ranges) if one[2] is not None]
    cell, target, offset, size = zip(*known, strict=True) if known else ((), (), (), ())
    references = References(np.array(cell, "i8"), np.array(target, "u4"), np.array(offset, "u8"), np.array(size, "u8"))
    references.whole = {row: one[0] for row, one in enumerate(ranges) if one[2] is None}
    codecs, dtype = Codecs(), ZarrDtype(np.dtype("u1"))
    metadata, _ = make_metadata(2, (len(ranges),), (1,), dtype, codecs, None, ("range",))
    return _Ranges(2, {"": {}}, {"ranges": ManifestArray(metadata, {}, (len(ranges),), references)}, tuple(targets))
