"""Which chunk of an array a key is, and which keys belong to which array.

Contract: pure. A key counts only in the spelling that the metadata ask for, as readers look for no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.keys import ancestors

__all__ = ["by_array", "cell_of", "is_spelt_otherwise", "pattern_of"]

_OTHERWISE = re.compile(r"(?:c[/.])?\d+(?:[/.]\d+)*")


def by_array(keys: Iterable[str], arrays: Collection[str]) -> dict[str, list[str]]:
    """Return path of an array -> the keys below it.

    Examples
    --------
    >>> by_array(["a/0.0", "b/c/0", "x"], {"a", "b"})
    {'a': ['a/0.0'], 'b': ['b/c/0']}
    """
    owners: dict[str, str | None] = {}
    found: dict[str, list[str]] = {path: [] for path in arrays}
    for key in keys:
        folder = key.rpartition("/")[0]
        if folder not in owners:
            owners[folder] = next(
                (above for above in ancestors(folder + "/x" if folder else "x") if above in arrays), None
            )
        owner = owners[folder]
        if owner is not None:
            found[owner].append(key)
    return found


def pattern_of(layout: ChunkLayout) -> re.Pattern[str]:
    """Return what the keys of the chunks of an array look like, below the array."""
    if not layout.grid:
        return re.compile(re.escape(layout.scalar))
    index = r"(0|[1-9]\d{0,18})"
    return re.compile(re.escape(layout.head) + re.escape(layout.separator).join([index] * len(layout.grid)))


def cell_of(match: re.Match[str], layout: ChunkLayout) -> int | None:
    """Return the ravelled position of a chunk, None where it lies outside the grid."""
    cell = 0
    for text, extent in zip(match.groups(), layout.grid, strict=True):
        index = int(text)
        if index >= extent:
            return None
        cell = cell * extent + index
    return cell


def is_spelt_otherwise(tail: str) -> bool:
    """Return whether what stands below an array looks like a chunk of another spelling."""
    return _OTHERWISE.fullmatch(tail) is not None
