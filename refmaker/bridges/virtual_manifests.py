"""Virtual stores and datasets of VirtualiZarr as manifests.

Contract: what VirtualiZarr's own writers would write, as columns: metadata in Zarr 3, attributes and encodings of
variables, chunk manifests. Variables that were loaded are encoded by xarray and kept in the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refmaker.bridges.packages import needed
from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.urls import is_local, local_path
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["manifest_of_store", "manifest_of_virtual"]

_MADE = "made of what VirtualiZarr holds"


class _Targets:
    """The files that chunk manifests name, numbered as they are met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, paths: np.ndarray) -> np.ndarray:
        """Return the number of the target of each path."""
        found, rows = np.unique(paths, return_inverse=True)
        numbers = [self.numbers.setdefault(str(path), len(self.numbers)) for path in found]
        return np.array(numbers, "i8")[rows]

    def listed(self) -> list[Target]:
        """Return all targets; VirtualiZarr knows nothing of them but where they are."""
        return [Target(local_path(url) if is_local(url) else url) for url in self.numbers]


def manifest_of_store(group: Any) -> Manifest:
    """Return a `ManifestGroup`, and all groups in it, as a manifest."""
    groups, arrays, targets = {}, {}, _Targets()
    for path, one in _groups(group, ""):
        groups[path] = _plain(one.metadata.to_dict().get("attributes") or {})
        for name, array in one.arrays.items():
            attributes = array.metadata.to_dict().get("attributes") or {}
            arrays[f"{path}/{name}".lstrip("/")] = _array(array, None, attributes, targets)
    return Manifest(3, groups, arrays, targets.listed(), history=[_MADE])


def manifest_of_virtual(virtual: Any) -> Manifest:
    """Return a virtual dataset or tree as a manifest.

    Raises
    ------
    TypeError
        It is neither.
    """
    import xarray as xr

    if isinstance(virtual, xr.DataTree):
        parts = {node.path.strip("/"): node.to_dataset(inherit=False) for node in virtual.subtree}
    elif isinstance(virtual, xr.Dataset):
        parts = {"": virtual}
    else:
        raise TypeError(f"expected a ManifestStore, or a virtual Dataset or DataTree, got {type(virtual).__name__}")
    groups: dict[str, dict[str, Any]] = {}
    arrays: dict[str, ManifestArray] = {}
    targets = _Targets()
    for path, dataset in parts.items():
        groups[path] = _add(dataset, f"{path}/" if path else "", arrays, targets)
    return Manifest(3, groups, arrays, targets.listed(), history=[_MADE])


def _add(dataset: Any, lead: str, arrays: dict[str, ManifestArray], targets: _Targets) -> dict[str, Any]:
    """Add the variables of a dataset; return the attributes of its group."""
    from xarray.conventions import encode_dataset_coordinates

    manifests = needed("virtualizarr", "virtualizarr.manifests")
    variables, attributes = encode_dataset_coordinates(dataset)
    virtual = {name: one for name, one in variables.items() if isinstance(one.data, manifests.ManifestArray)}
    for name, variable in virtual.items():
        own = {**variable.attrs, **{key: variable.encoding[key] for key in _ENCODINGS if key in variable.encoding}}
        arrays[lead + str(name)] = _array(variable.data, list(map(str, variable.dims)), own, targets)
    loaded = dataset.drop_vars(list(virtual))
    for name, array in _loaded(loaded).items():
        arrays[lead + name] = array
    plain: dict[str, Any] = _plain(attributes)
    return plain


_ENCODINGS = ("scale_factor", "add_offset", "_FillValue", "units", "calendar", "dtype", "coordinates")
"""Encodings of variables that are attributes in Zarr."""


def _array(array: Any, dimensions: list[str] | None, attributes: Mapping[str, Any], targets: _Targets) -> ManifestArray:
    """Return an array, in the dimensions of its variable where those of its own metadata were taken off."""
    document = {name: value for name, value in _document(array.metadata).items() if name != "attributes"}
    if dimensions is not None:
        document["dimension_names"] = dimensions
    metadata = ArrayMetadata.from_json(document)
    manifest = array.manifest
    if manifest.shape_chunk_grid != metadata.layout(structure="zarr.json").grid:
        raise ManifestError(
            "the chunk manifest is not of the array's grid",
            expected=metadata.layout(structure="zarr.json").grid,
            got=manifest.shape_chunk_grid,
        )
    return ManifestArray(metadata, _plain(attributes), manifest.shape_chunk_grid, _references(manifest, targets))


def _document(metadata: Any) -> dict[str, Any]:
    """Return the JSON of an array's metadata, as zarr writes it."""
    from zarr.core.buffer import default_buffer_prototype

    buffers = metadata.to_buffer_dict(default_buffer_prototype())
    found: dict[str, Any] = json.loads(buffers["zarr.json"].to_bytes())
    return found


def _references(manifest: Any, targets: _Targets) -> References:
    """Return the chunks of a chunk manifest."""
    shape = manifest.shape_chunk_grid
    inline = {(int(np.ravel_multi_index(at, shape)) if shape else 0): bytes(b) for at, b in manifest._inlined.items()}
    paths = manifest._paths.ravel()
    stored = paths != ""
    stored[list(inline)] = False
    cell = np.flatnonzero(stored)
    offset, size = manifest._offsets.ravel()[cell], manifest._lengths.ravel()[cell]
    return References(cell, targets.of(paths[cell]), offset, size, inline)


def _loaded(dataset: Any) -> dict[str, ManifestArray]:
    """Encode variables that were loaded as xarray writes them."""
    import zarr
    from zarr.core.sync import sync

    if not dataset.variables:
        return {}
    store = zarr.storage.MemoryStore()
    dataset.drop_attrs(deep=False).to_zarr(store, zarr_format=3, consolidated=False)
    root = zarr.open_group(store, mode="r")
    found = {}
    for name, array in root.arrays():
        document = _document(array.metadata)
        attributes = document.pop("attributes", {})
        metadata = ArrayMetadata.from_json(document)
        layout = metadata.layout(structure=name)
        inline = {}
        for cell in range(array.nchunks):
            data = sync(store.get(f"{name}/{layout.name(cell)}", zarr.core.buffer.default_buffer_prototype()))
            if data is not None:
                inline[cell] = data.to_bytes()
        references = References.empty()
        references.inline.update(inline)
        found[name] = ManifestArray(metadata, attributes, layout.grid, references)
    return found


def _groups(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Iterate over a group and all below it."""
    yield path, group
    for name, one in group.groups.items():
        yield from _groups(one, f"{path}/{name}".lstrip("/"))


def _plain(value: Any) -> Any:
    """Return attributes as JSON has them.

    Raises
    ------
    Unsupported
        JSON has no form for one.
    """
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        raise Unsupported(f"an attribute of {value}, for which JSON has no form")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise Unsupported(f"an attribute of the type {type(value).__name__}, for which JSON has no form")
