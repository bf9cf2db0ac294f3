"""What must hold before a manifest is written, and after one is read.

Contract: a manifest that passes has one key per thing: no two chunks, arrays or groups claim the same one, and every
column says what its grid and its targets can hold. Every violation is a `ManifestError`; nothing is repaired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.keys import METADATA, ancestors, chunk_like, owner_of, path_depth
from refmaker.zarr.strict_json import key_name, shown

__all__ = ["check_manifest", "check_nodes", "check_references"]


_MAX_DEPTH = limits.NODE_DEPTH
"""Levels of nesting: writing the groups above a node takes time and room in the square of its depth."""


def check_nodes(groups: Collection[str], arrays: Collection[str], *, source: str | None = None) -> None:
    """Make sure that the paths of groups and arrays are paths, and that no array stands where a group must."""
    seen: set[str] = set()
    for path in (*groups, *arrays):
        structure = f"path {shown(path)}"
        parts = path.split("/") if path else []
        if len(parts) > _MAX_DEPTH or not {"", ".", ".."}.isdisjoint(parts):
            message = f"not the path of a node: empty, '.' or '..' parts, or over {_MAX_DEPTH} levels"
            raise ManifestError(message, structure=structure, source=source)
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise ManifestError("text with a lone surrogate", structure=structure, source=source) from error
        if path in arrays and path in groups:
            raise ManifestError("both an array and a group", structure=structure, source=source)
        parent = path.rpartition("/")[0]
        if path and parent not in seen:
            seen.add(parent)
            above = next((a for a in ancestors(path) if a in arrays), None)
            if above is not None:
                raise ManifestError(f"stands inside the array {shown(above)}", structure=structure, source=source)


def check_manifest(manifest: Manifest, *, streamed: bool = False) -> dict[str, ChunkLayout]:
    """Make sure that a manifest can be written without loss or contradiction, and give the layout of every array.

    Parameters
    ----------
    streamed
        Leave out the references that are made when they are asked for: `check_references` is for their parts.
    """
    if manifest.zarr_format not in METADATA:
        raise ManifestError("unknown Zarr format", expected="2 or 3", got=shown(manifest.zarr_format))
    for array in manifest.arrays.values():
        if not (streamed and array.references.streamed):
            array.references.load()
    check_nodes(manifest.groups, manifest.arrays)
    for path, (target, _) in manifest.sources.items():
        if path not in manifest.arrays or not 0 <= target < len(manifest.targets):
            raise ManifestError("source of no array, or in no target", structure=f"array {shown(path)}")
    urls = [target.url for target in manifest.targets]
    for url, count in Counter(urls).items():
        if not url or count > 1:
            raise ManifestError("empty url of a target, or two targets of one url", got=shown(url))
    layouts = {}
    for path, array in manifest.arrays.items():
        structure = f"array {shown(path)}"
        if array.metadata.zarr_format != manifest.zarr_format:
            message = "metadata of another Zarr format than the manifest's"
            raise ManifestError(message, structure=structure, expected=manifest.zarr_format)
        layout = array.metadata.layout(structure=structure)
        if layout.grid != tuple(array.grid):
            message = "grid contradicts the metadata"
            raise ManifestError(message, structure=structure, expected=layout.grid, got=shown(array.grid))
        if not (streamed and array.references.streamed):
            check_references(array.references, array.cells, len(urls), structure)
        layouts[path] = layout
    _check_extra(manifest, layouts)
    return layouts


def check_references(references: References, cells: int, targets: int, structure: str) -> None:
    """Make sure that references are in the grid, of so many cells, and lead to one of so many targets."""

    def require(holds: object, message: str) -> None:
        if not holds:
            raise ManifestError(message, structure=structure)

    cell, target, offset, size = references.cell, references.target, references.offset, references.size
    require(cell.shape == target.shape == offset.shape == size.shape == (len(cell),), "columns differ in length")
    require(cell.dtype == np.int64 and np.issubdtype(target.dtype, np.integer), "columns of a wrong dtype")
    require(offset.dtype == np.uint64 and size.dtype == np.uint64, "columns of a wrong dtype")
    if len(cell):
        require((cell[1:] > cell[:-1]).all(), "cells are not sorted, or one stands twice")
        require(cell[0] >= 0 and cell[-1] < cells, f"a cell outside the grid of {cells}")
        require(target.min() >= 0 and target.max() < targets, f"a target outside the table of {targets}")
        require((offset + size >= offset).all(), "a reference that ends at 2**64 or beyond")
    others = [*references.inline, *references.whole]
    require(all(0 <= other < cells for other in others), f"a cell outside the grid of {cells}")
    require(all(0 <= code < targets for code in references.whole.values()), f"a target outside the table of {targets}")
    require(len(set(others)) == len(others), "a cell stands twice")
    if others and len(cell):
        wanted = np.array(others, "i8")
        found = np.searchsorted(cell, wanted).clip(max=len(cell) - 1)
        require((cell[found] != wanted).all(), "a cell stands twice")


def _check_extra(manifest: Manifest, layouts: dict[str, ChunkLayout]) -> None:
    leaves = (*METADATA[2], *METADATA[3])
    depth = path_depth(layouts)
    for key in manifest.extra:
        owner = owner_of(key, layouts, depth)
        tail = key if owner is None or owner == "" else key[len(owner) + 1 :]
        if key.rpartition("/")[2] in leaves or (owner is not None and chunk_like(tail, layouts[owner])):
            raise ManifestError("extra data under a key of metadata or of a chunk", structure=key_name(key))
