"""The targets of a manifest as they are now, and whether its references can be true of them.

Contract: reads no data. A target is compared with what the manifest recorded of it (`refmaker.file_version`);
references are checked as whole columns.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refmaker.errors import RefmakerError, SourceError, cause_of
from refmaker.file_version import FileVersion
from refmaker.manifest.manifest import ManifestArray, Target
from refmaker.replay.targets import Targets
from refmaker.urls import filesystem_of, is_local, local_path
from refmaker.verification.retrying import CountedRetries
from refmaker.verification.values import counted
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["TargetResult", "check_targets", "reference_problems"]

_LOOKUPS = 16
_UNKNOWN = np.uint64(2**64 - 1)


@dataclass(slots=True)
class TargetResult:
    """What became of one target.

    Attributes
    ----------
    status
        "unreadable" when it is not there or cannot be reached.
    size
        In bytes, as it is now; None where the store does not tell.
    """

    url: str
    status: Literal["same", "changed", "unreadable"]
    size: int | None = None
    reason: str | None = None


def check_targets(targets: Targets, retries: CountedRetries | None = None) -> list[TargetResult]:
    """Look up every target, several at a time."""
    retries = CountedRetries() if retries is None else retries
    with ThreadPoolExecutor(_LOOKUPS) as pool:
        return list(pool.map(lambda code: _check(targets, code, retries), range(len(targets.records))))


def _check(targets: Targets, code: int, retries: CountedRetries) -> TargetResult:
    record = targets.records[code]
    try:
        url, options = targets.location(code)
        seen = _look(url, options, retries)
    except RefmakerError as error:
        return TargetResult(record.url, "unreadable", None, error.message)
    differences = record.version.differences(seen)
    if differences:
        return TargetResult(record.url, "changed", seen.size, "; ".join(differences))
    reason = None
    basis = record.version.basis(seen)
    if record.version == FileVersion():
        reason = "the manifest does not say what the file was like"
    elif basis == "weak ETag":
        reason = "only its size and a weak ETag could be compared: its contents may have changed"
    return TargetResult(record.url, "same", seen.size, reason)


def _look(url: str, options: Any, retries: CountedRetries) -> FileVersion:
    if is_local(url):
        try:
            status = os.stat(local_path(url))
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", source=url) from error
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("cannot be read: it is not a regular file", source=url)
        return FileVersion.of_status(status)
    try:
        filesystem, path = filesystem_of(url, options)
        filesystem.invalidate_cache()
        return FileVersion.of(retries(lambda: filesystem.info(path)))
    except Exception as error:  # every filesystem raises errors of its own
        cause = cause_of(error)
        raise SourceError(f"cannot be reached: {cause}", source=url) from error


def reference_problems(
    array: ManifestArray, layout: ChunkLayout, targets: Sequence[Target], sizes: Sequence[int | None]
) -> Iterator[str]:
    """Return what cannot be true of the references of an array.

    Parameters
    ----------
    sizes
        Of the targets, None where unknown.
    """
    found = array.references
    cells = np.concatenate([found.cell, np.array([*found.inline, *found.whole], "i8")])
    outside = (cells < 0) | (cells >= array.cells)
    if outside.any():
        yield f"{counted(int(outside.sum()), 'reference')} outside the chunk grid"
    twice = len(cells) - len(np.unique(cells))
    if twice:
        yield f"more than one reference for a chunk: {twice} too many"
    codes = np.concatenate([found.target.astype("i8"), np.array([*found.whole.values()], "i8")])
    nowhere = (codes < 0) | (codes >= len(targets))
    if nowhere.any():
        yield f"{counted(int(nowhere.sum()), 'reference')} to no target"
    elif len(found.cell):
        yield from _beyond(array, layout, targets, sizes)


def _beyond(
    array: ManifestArray, layout: ChunkLayout, targets: Sequence[Target], sizes: Sequence[int | None]
) -> Iterator[str]:
    """Find references that reach beyond the end of their target."""
    found = array.references
    known = np.array([_UNKNOWN if size is None else size for size in sizes], "u8")
    limit = known[found.target]
    beyond = (found.offset > limit) | (found.size > limit - np.minimum(found.offset, limit))
    if beyond.any():
        at = int(beyond.argmax())
        code, cell = int(found.target[at]), int(found.cell[at])
        name = layout.name(cell) if 0 <= cell < array.cells else f"number {cell}"
        first, stop = int(found.offset[at]), int(found.offset[at]) + int(found.size[at])
        yield (
            f"{counted(int(beyond.sum()), 'reference')} beyond the end of a target: the first, of chunk {name}, asks "
            f"for bytes {first} to {stop} of {targets[code].url}, which has {int(limit[at])}"
        )
