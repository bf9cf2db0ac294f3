"""Keys of a Zarr store: which are metadata, which belong to what node.

Contract: pure work on text; what no store may hold raises `ManifestError`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator

from refmaker.errors import ManifestError
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.strict_json import key_name

__all__ = ["METADATA", "ancestors", "check_key", "chunk_like", "owner_of", "path_depth"]


METADATA = {2: (".zgroup", ".zattrs", ".zarray"), 3: ("zarr.json",)}
"""Last component of the keys of metadata, by Zarr format."""


def ancestors(path: str) -> Iterator[str]:
    """Yield the paths of the groups above a node, the root "" first; nothing for the root."""
    if path:
        yield ""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def check_key(key: str, *, source: str | None = None) -> None:
    """Make sure that a key leads to one place only, below the root.

    Raises
    ------
    ManifestError
        It has empty, "." or ".." parts, or is no text.
    """
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ManifestError("a key with empty, '.' or '..' parts", structure=key_name(key), source=source)
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise ManifestError("text with a lone surrogate", structure=key_name(key), source=source) from error


def path_depth(paths: Iterable[str]) -> int:
    """Return the number of parts of the deepest path."""
    return max((path.count("/") + 1 for path in paths if path), default=0)


def owner_of(key: str, arrays: Collection[str], depth: int) -> str | None:
    """Return the path of the array that a key stands below; `depth` is the `path_depth` of the arrays."""
    return next((above for above in itertools.islice(ancestors(key), depth + 1) if above in arrays), None)


def chunk_like(tail: str, layout: ChunkLayout) -> bool:
    """Return whether a key below an array is meant for a chunk, well spelt or not."""
    if tail == layout.scalar or (layout.head and tail.startswith(layout.head)):
        return True
    return tail.startswith(tuple("0123456789+-"))
