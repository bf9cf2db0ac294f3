"""A group of a manifest as a data store of xarray: its Zarr store, with what Zarr does not tell put right.

Contract: variables and attributes as xarray's netCDF-4 engine has them before it decodes anything:

- Attributes have the types of the source, as far as the manifest has recorded them: xarray computes with these.
- `_FillValue` is what the source has. Zarr 2 has its fill value in its place, which need not be the same.
- Text is text: to xarray byte strings are characters, which it may join to other ones.
- Characters that xarray is not to join, because of variables that are not in the manifest, are named (`apart`).

Nothing is read, but text that xarray's netCDF-4 engine reads when it opens a file, as far as it is little.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from xarray import Variable
from xarray.backends import AbstractDataStore, BackendArray, ZarrStore
from xarray.core import indexing

from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import CHARACTERS, restored
from refmaker.replay.filesystem import FileSystem
from refmaker.replay.loading import load
from refmaker.replay.source_files import of_source, source_of

__all__ = ["GroupStore", "ManifestStores"]

_TEXT = np.dtype("O", metadata={"element_type": str})
"""How xarray marks objects that are strings."""
_STORED_AS = frozenset({"chunks", "shards", "compressor", "compressors", "filters", "serializer"})
"""Encodings that are about chunks of the source: a copy has its own, as of what the netCDF-4 engine opens."""
_READ_AT_ONCE = 16
"""Chunks of text that are read when a group is opened, so that numpy's own strings can be made of them."""


class ManifestStores:
    """The groups of a manifest.

    Parameters
    ----------
    manifest
        Path or url of it, a reference document, or a `Manifest`.
    options
        Of `FileSystem`.
    """

    def __init__(self, manifest: Any, options: Mapping[str, Any]) -> None:
        if isinstance(manifest, os.PathLike):
            manifest = os.fspath(manifest)
        given, manifest = manifest, of_source(manifest, options)
        self.store: Any
        self.store, filesystem = _store(manifest, options)
        opened = load(filesystem.fo, filesystem.target_protocol, filesystem.target_options).result()
        self.manifest: Manifest = opened.lookup.manifest
        named = given if isinstance(given, str) else None
        self.source = source_of(self.manifest, opened.location) or named
        self.rectilinear = any(one.metadata.chunk_lengths is not None for one in self.manifest.arrays.values())
        if self.rectilinear and filesystem.view == "transparent" and not _reads_rectilinear():
            self.store, _ = _store(manifest, {**options, "view": "regular"})

    def groups(self, top: str) -> Iterator[str]:
        """Iterate over a group and all below it, parents first."""
        yield top
        lead = f"{top}/" if top else ""
        seen = {top}
        for path in (*self.manifest.groups, *(array.rpartition("/")[0] for array in self.manifest.arrays)):
            parts = path[len(lead) :].split("/") if path.startswith(lead) and path != top else []
            for count in range(1, len(parts) + 1):
                name = lead + "/".join(parts[:count])
                if name not in seen:
                    seen.add(name)
                    yield name

    def open(self, group: str | None) -> GroupStore:
        """Open one group."""
        with _rectilinear_chunks() if self.rectilinear else nullcontext():
            store = ZarrStore.open_group(self.store, mode="r", group=group or None, consolidated=False)
        return GroupStore(store, (group or "").strip("/"), self.manifest)


def _store(manifest: Any, options: Mapping[str, Any]) -> tuple[Any, FileSystem]:
    """Return a store of zarr-python, of either version, and the filesystem behind it."""
    import zarr

    if hasattr(zarr.storage, "FsspecStore"):
        filesystem = FileSystem(manifest, asynchronous=True, **options)
        return zarr.storage.FsspecStore(filesystem, read_only=True, path=""), filesystem
    filesystem = FileSystem(manifest, **options)
    return filesystem.get_mapper("", check=False, create=False), filesystem


def _reads_rectilinear() -> bool:
    """Return whether zarr-python knows chunks of different lengths (3.2 and later)."""
    import zarr

    return hasattr(zarr, "config") and zarr.config.get("array.rectilinear_chunks", None) is not None


def _rectilinear_chunks() -> AbstractContextManager[Any]:
    """Let zarr-python read chunks of different lengths, which it does on request only."""
    import zarr

    found: AbstractContextManager[Any] = nullcontext()
    if _reads_rectilinear():
        found = zarr.config.set({"array.rectilinear_chunks": True})
    return found


class GroupStore(AbstractDataStore):
    """A group of a manifest.

    Attributes
    ----------
    apart
        Arrays of characters that are not to be joined.
    """

    def __init__(self, store: ZarrStore, path: str, manifest: Manifest) -> None:
        self.store: Any = store
        self.path = path
        self.manifest = manifest
        self.apart = [name for name in store.array_keys() if self._types(name).get("") == CHARACTERS]

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def _types(self, name: str) -> dict[str, str]:
        return (self.manifest.types or {}).get(self._path(name), {})

    def array_keys(self) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(self.store.array_keys())

    def get_variables(self) -> dict[str, Variable]:
        """Return all arrays, not decoded."""
        return {name: self._variable(name) for name in self.array_keys()}

    def get_attrs(self) -> dict[str, Any]:
        """Return the attributes of the group."""
        found = self.store.get_attrs()
        if self.manifest.types is None:
            return dict(found)
        types = self.manifest.types.get(self.path, {})
        return {name: restored(value, types.get(name)) for name, value in found.items()}

    def get_dimensions(self) -> Mapping[str, int]:
        """Return the dimensions and their lengths."""
        found: Mapping[str, int] = self.store.get_dimensions()
        return found

    def get_encoding(self) -> dict[str, Any]:
        """Return what xarray keeps for writing."""
        return dict(self.store.get_encoding())

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _variable(self, name: str) -> Variable:
        variable: Variable = self.store.open_store_variable(name)
        variable.encoding = {key: value for key, value in variable.encoding.items() if key not in _STORED_AS}
        if self.manifest.types is None:
            return variable
        types = self._types(name)
        fill = variable.attrs.pop("_FillValue", None)
        attributes = {key: restored(value, types.get(key)) for key, value in variable.attrs.items()}
        if variable.dtype.kind not in "iufb":
            attributes |= {} if fill is None else {"_FillValue": fill}
        elif "_FillValue" in types:
            array = self.manifest.arrays[self._path(name)]
            own = array.attributes.get("_FillValue")
            in_place_of_own = array.metadata.masks_fill_value and own is not None
            attributes["_FillValue"] = restored(own if in_place_of_own else fill, types["_FillValue"])
        made = Variable(variable.dims, variable._data, attributes, variable.encoding, fastpath=True)
        return self._as_text(name, made) if _is_text(made) else made

    def _as_text(self, name: str, variable: Variable) -> Variable:
        attributes, encoding = dict(variable.attrs), dict(variable.encoding)
        array = self.manifest.arrays[self._path(name)]
        characters = variable.dtype == np.dtype("S1")
        charset = attributes.pop("_Encoding", None)
        if charset is not None:
            encoding["_Encoding"] = charset
        if len(array.references.cell) <= _READ_AT_ONCE and not characters:
            encoding["dtype"] = str
        else:
            encoding.pop("dtype", None)
        data = indexing.LazilyIndexedArray(_Text(variable._data, charset or "utf-8"))
        return Variable(variable.dims, data, attributes, encoding, fastpath=True)


def _is_text(variable: Variable) -> bool:
    """Return whether an array holds strings that xarray's netCDF-4 engine has as text."""
    if variable.dtype.kind == "S":
        return "_Encoding" in variable.attrs and variable.dtype.itemsize > 1
    return variable.dtype.kind == "T" or (
        variable.dtype.kind == "O" and (variable.dtype.metadata or {}).get("element_type") is str
    )


class _Text(BackendArray):
    """Strings, whatever they are stored as. Bytes that are not valid are kept as lone surrogates, as h5py has them."""

    def __init__(self, array: Any, charset: str) -> None:
        self.array = array
        self.charset = charset
        self.shape = array.shape
        self.dtype = _TEXT

    def __getitem__(self, key: Any) -> np.ndarray:
        values = np.asarray(self.array[key].get_duck_array())
        found = np.empty(math.prod(values.shape), object)
        found[:] = [
            one.decode(self.charset, "surrogateescape") if isinstance(one, bytes) else str(one)
            for one in values.ravel().tolist()
        ]
        return found.reshape(values.shape)
