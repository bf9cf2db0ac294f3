"""Small manifests over bytes that the tests place where they like."""

from __future__ import annotations

from typing import Any

import numpy as np

from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["DATA", "FILL", "HEAD", "VALUES", "array", "manifest", "references", "scene"]

FILL = -9
HEAD = b"head of the file"
VALUES = np.arange(24, dtype="<i4").reshape(6, 4)
"""Of the array in `scene`; its chunks are two rows each."""
DATA = HEAD + VALUES.tobytes() + b"tail of the file"


def references(
    rows: dict[int, tuple[int, int, int]], inline: dict[int, bytes] | None = None, whole: dict[int, int] | None = None
) -> References:
    """Make references from cell -> (target, offset, size)."""
    cells = sorted(rows)
    columns = [[rows[cell][i] for cell in cells] for i in range(3)]
    return References(
        np.array(cells, "i8"),
        np.array(columns[0], "u4"),
        np.array(columns[1], "u8"),
        np.array(columns[2], "u8"),
        inline or {},
        whole or {},
    )


def array(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    held: References,
    *,
    zarr_format: int = 2,
    separator: str | None = None,
    encoding: str = "default",
    attributes: dict[str, Any] | None = None,
) -> ManifestArray:
    """Make an uncompressed int32 array."""
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
    metadata: dict[str, Any] = {"zarr_format": zarr_format, "shape": list(shape), "fill_value": FILL}
    if zarr_format == 2:
        metadata |= {"chunks": list(chunks), "dtype": "<i4", "compressor": None, "filters": None, "order": "C"}
        metadata |= {} if separator is None else {"dimension_separator": separator}
    else:
        settings = {} if separator is None else {"separator": separator}
        metadata |= {
            "node_type": "array",
            "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
            "chunk_key_encoding": {"name": encoding, "configuration": settings},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        }
    return ManifestArray(ArrayMetadata.from_json(metadata), attributes or {}, grid, held)


def manifest(arrays: dict[str, ManifestArray], targets: list[Target] | None = None, **rest: Any) -> Manifest:
    """Make a manifest with a root group and those on the way to the arrays."""
    groups: dict[str, dict[str, Any]] = {"": {}}
    for path in arrays:
        for depth in range(1, path.count("/") + 1):
            groups["/".join(path.split("/")[:depth])] = {}
    zarr_format = next((a.metadata.document["zarr_format"] for a in arrays.values()), 2)
    return Manifest(zarr_format, groups, arrays, tuple(targets or []), **rest)


def scene(url: str, *, zarr_format: int = 2, **recorded: Any) -> Manifest:
    """Make a manifest of `VALUES` at `g/x` in the file `DATA` at `url`; `recorded` goes into its target.

    The first chunk is referred to, the second absent, the third inlined. `g/bad` was refused.
    """
    row = VALUES[:2].nbytes
    held = references({0: (0, len(HEAD), row)}, {2: VALUES[4:].tobytes()})
    attributes = {"_ARRAY_DIMENSIONS": ["y", "x"]} if zarr_format == 2 else {}
    node = array((6, 4), (2, 4), held, zarr_format=zarr_format, attributes=attributes)
    if zarr_format == 3:
        node.metadata.document["dimension_names"] = ["y", "x"]
    return manifest({"g/x": node}, [Target(url, **recorded)], refusals={"/g/bad": "time datatype"})
