"""A manifest as VirtualiZarr's `ManifestGroup`: groups as a tree, arrays with the chunk manifests that it has.

Contract: `ChunkManifest.from_arrays` of VirtualiZarr 2.8. Arrays of the shape of the chunk grid have a path, an offset
and a length for every chunk: the path "" for one that is absent, `__inlined__` for one whose bytes are in `inlined`.
All chunks of a grid take memory, so that a grid has a limit. An array that VirtualiZarr cannot hold is left out, and
why is said in what `virtual_group` returns beside the group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refmaker import limits
from refmaker.bridges.locations import virtualizarr_location
from refmaker.bridges.packages import needed
from refmaker.bridges.trimming import trimmed
from refmaker.errors import RefmakerError, Unsupported
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.manifest.zarr_conversion import with_zarr_format
from refmaker.zarr.keys import ancestors

__all__ = ["virtual_group"]

INLINED = "__inlined__"
"""What VirtualiZarr has in the place of a path where the bytes of a chunk are in its memory."""


def virtual_group(manifest: Manifest) -> tuple[Any, dict[str, str]]:
    """Return the root group, and the refusals: of the manifest, and of arrays that VirtualiZarr cannot hold.

    Raises
    ------
    Unsupported
        VirtualiZarr is not installed, or the root of the manifest is an array.
    """
    manifest.load()
    converted = with_zarr_format(manifest.without_composites(), 3)
    if "" in converted.arrays:
        raise Unsupported("the root of the manifest is an array, where VirtualiZarr wants a group")
    refusals, arrays = dict(converted.refusals), {}
    locations = _Locations(converted)
    for path, array in converted.arrays.items():
        try:
            arrays[path] = _array(array, locations)
        except Unsupported as error:
            refusals["/" + path] = error.message
    return _tree(converted, arrays), refusals


class _Locations:
    """The urls of the targets that arrays refer to, each looked at once."""

    def __init__(self, manifest: Manifest) -> None:
        self.targets = manifest.targets
        self.known: dict[int, str] = {}

    def of(self, target: np.ndarray) -> np.ndarray:
        """Return the url of each row."""
        numbers, rows = np.unique(target, return_inverse=True)
        for number in numbers.tolist():
            if number not in self.known:
                self.known[number] = virtualizarr_location(self.targets[number].url)
        text: Any = np.dtypes.StringDType()
        urls = np.array([self.known[number] for number in numbers.tolist()], text)
        return urls[rows]

    def size(self, target: int) -> int:
        """Return the size of a target that is a chunk as a whole."""
        size = self.targets[target].size
        if size is None:
            raise Unsupported("a chunk is a whole file, whose size the manifest does not tell")
        return size


def _array(array: ManifestArray, locations: _Locations) -> Any:
    """Return an array as VirtualiZarr has it."""
    manifests = needed("virtualizarr", "virtualizarr.manifests")
    from zarr.core.metadata import ArrayV3Metadata

    if not array.metadata.is_regular:
        raise Unsupported("chunks of different lengths along an axis, which VirtualiZarr does not have")
    array = trimmed(array)
    if array.cells > limits.VIRTUAL_CELLS:
        raise Unsupported(
            "a grid of too many chunks, all of which VirtualiZarr keeps in memory",
            expected=f"<= {limits.VIRTUAL_CELLS} chunks",
            got=array.cells,
        )
    document = {**array.metadata.to_json(), "attributes": array.attributes}
    try:
        metadata = ArrayV3Metadata.from_dict(document)
        return manifests.ManifestArray(metadata=metadata, chunkmanifest=_chunks(array, locations))
    except RefmakerError:
        raise
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # whatever zarr has for metadata
        raise Unsupported(f"zarr does not take its metadata: {str(error)[:200]}") from error


def _chunks(array: ManifestArray, locations: _Locations) -> Any:
    """Return the chunk manifest of an array."""
    manifests = needed("virtualizarr", "virtualizarr.manifests")
    references, shape = array.references, array.grid
    text: Any = np.dtypes.StringDType()
    paths = np.full(array.cells, "", text)
    offsets, lengths = np.zeros(array.cells, "u8"), np.zeros(array.cells, "u8")
    if len(references.cell):
        cell = references.cell
        paths[cell], offsets[cell] = locations.of(np.asarray(references.target)), references.offset
        lengths[cell] = references.size
    for at, target in references.whole.items():
        paths[at : at + 1], lengths[at] = locations.of(np.array([target])), locations.size(target)
    if len(references.inline):
        cell = np.fromiter(references.inline, "i8", len(references.inline))
        paths[cell] = INLINED
        lengths[cell] = [len(data) for data in references.inline.values()]
    if not lengths[paths != ""].all():
        raise Unsupported("a chunk of no bytes, which VirtualiZarr does not take")
    return manifests.ChunkManifest.from_arrays(
        paths=paths.reshape(shape),
        offsets=offsets.reshape(shape),
        lengths=lengths.reshape(shape),
        validate_paths=False,
        inlined=_inlined(references, shape),
    )


def _inlined(references: References, shape: tuple[int, ...]) -> dict[tuple[int, ...], bytes]:
    """Return the bytes of inlined chunks by their index in the grid."""
    if not shape:
        return dict(zip([()], references.inline.values(), strict=False))
    return {tuple(map(int, np.unravel_index(cell, shape))): data for cell, data in references.inline.items()}


def _tree(manifest: Manifest, arrays: dict[str, Any]) -> Any:
    """Return the groups of a manifest within one another, those included that only their members imply."""
    manifests = needed("virtualizarr", "virtualizarr.manifests")
    attributes: dict[str, dict[str, Any]] = {"": {}, **manifest.groups}
    for path in (*manifest.groups, *arrays):
        for above in ancestors(path):
            attributes.setdefault(above, {})
    held: dict[str, dict[str, dict[str, Any]]] = {path: {"arrays": {}, "groups": {}} for path in attributes}
    for path, array in arrays.items():
        above, _, name = path.rpartition("/")
        held[above]["arrays"][name] = array
    made: Any = None
    for path in sorted(attributes, key=lambda one: one.count("/") if one else -1, reverse=True):  # the deepest first
        made = manifests.ManifestGroup(**held[path], attributes=attributes[path])
        above, _, name = path.rpartition("/")
        if path:
            held[above]["groups"][name] = made
    return made
