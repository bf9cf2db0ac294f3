"""What the page shows of manifests, as JSON: a page of variables at a time, one variable with its chunks.

Contract: costs are those of the answer and of one look at the columns; chunks are counted in at most `BINS` bins,
however many there are. Sets whose shards are not read yet are not read for it: what is not known is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refmaker.manifest.manifest import ManifestArray
from refmaker.replay.loading import LoadedManifest

__all__ = ["BINS", "chunk_map", "manifest_summary", "variable_summary"]

BINS = 4096
"""Bins that a map of chunks has at most."""


def manifest_summary(opened: LoadedManifest, offset: int, limit: int, search: str) -> dict[str, Any]:
    """Return what is shown of a manifest: some of its variables, in the order of their paths."""
    manifest = opened.lookup.manifest
    refused = {path.strip("/"): reason for path, reason in manifest.refusals.items()}
    paths = sorted(path for path in {*manifest.arrays, *refused} if search.lower() in path.lower())
    rows = [
        variable_row(path, manifest.arrays[path]) if path in manifest.arrays else _refused(path, refused[path])
        for path in paths[offset : offset + limit]
    ]
    return {
        "zarr_format": manifest.zarr_format,
        "groups": sorted(opened.lookup.groups)[:1000],
        "attributes": opened.lookup.groups.get("", {}),
        "targets": len(manifest.targets),
        "refused": len(refused),
        "total": len(paths),
        "variables": rows,
    }


def variable_row(path: str, array: ManifestArray) -> dict[str, Any]:
    """Return the line of a variable."""
    metadata, references = array.metadata, array.references
    known = references.is_loaded()
    return {
        "path": path,
        "dimensions": metadata.dimension_names(array.attributes),
        "shape": metadata.shape,
        "chunks": metadata.chunk_shape,
        "dtype": str(metadata.data_type),
        "codecs": metadata.codec_names,
        "cells": array.cells,
        "present": len(references) if known else None,
        "inlined": len(references.inline) if known else None,
        "stored": int(references.size.sum()) + sum(map(len, references.inline.values())) if known else None,
    }


def variable_summary(opened: LoadedManifest, path: str) -> dict[str, Any]:
    """Return what is shown of one variable; raises `KeyError` where there is none."""
    array = opened.lookup.manifest.arrays[path]
    return {
        **variable_row(path, array),
        "attributes": array.attributes,
        "fill_value": array.metadata.fill_value,
        "order": array.metadata.order,
        "grid": array.grid,
        "map": chunk_map(array),
    }


def chunk_map(array: ManifestArray) -> dict[str, Any] | None:
    """Return how many chunks there are in each of equal parts of the grid (in C order), and how many bytes they have.

    None where it is not known without reading shards.
    """
    references = array.references
    if not references.is_loaded():
        return None
    each = max(-(-array.cells // BINS), 1)
    count = -(-array.cells // each)
    present = np.bincount(references.cell // each, minlength=count)
    stored = np.bincount(references.cell // each, weights=references.size.astype("f8"), minlength=count)
    inlined = np.bincount(np.fromiter(references.inline, "i8", len(references.inline)) // each, minlength=count)
    whole = np.bincount(np.fromiter(references.whole, "i8", len(references.whole)) // each, minlength=count)
    target = np.full(count, -1, "i8")
    target[references.cell // each] = references.target  # the last of each part
    return {
        "each": each,
        "present": (present + whole).tolist(),
        "inlined": inlined.tolist(),
        "stored": stored.astype("i8").tolist(),
        "target": target.tolist(),
    }


def _refused(path: str, reason: str) -> dict[str, Any]:
    return {"path": path, "refused": reason}
