"""A manifest in the metadata of the other Zarr format, its references as they are.

Contract: an array is converted only if the result says exactly the same (`zarr.conversion`). Any other array is refused
by name.
"""

from __future__ import annotations

from dataclasses import replace

from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.zarr.conversion import convert_metadata
from refmaker.zarr.keys import ancestors
from refmaker.zarr.metadata import ZarrFormat

__all__ = ["with_zarr_format"]


def with_zarr_format(manifest: Manifest, zarr_format: ZarrFormat) -> Manifest:
    """Return a manifest in a Zarr format. Arrays that have no exact form in it are among the refusals of the result."""
    if zarr_format is manifest.zarr_format:
        return manifest
    manifest = manifest.without_composites()
    manifest.load()
    arrays, refusals = {}, dict(manifest.refusals)
    for path, array in manifest.arrays.items():
        try:
            complete = len(array.references) == array.cells
            made = convert_metadata(array.metadata, array.attributes, zarr_format, complete=complete)
            arrays[path] = ManifestArray(*made, array.grid, array.references)
        except (Unsupported, ManifestError) as error:
            refusals["/" + path] = f"not expressible in Zarr {zarr_format}: {error.message}"
    groups = dict(manifest.groups)
    for path in manifest.arrays.keys() - arrays.keys():  # the groups that only these implied
        for above in ancestors(path):
            groups.setdefault(above, {})
    return replace(
        manifest,
        zarr_format=zarr_format,
        groups=groups if "" in arrays else {"": {}, **groups},
        arrays=arrays,
        refusals=refusals,
        sources={path: source for path, source in manifest.sources.items() if path in arrays},
        history=[*manifest.history, f"converted from Zarr {manifest.zarr_format} to Zarr {zarr_format}"],
    )
