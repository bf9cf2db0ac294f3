"""The xarray engine "refmaker", found through the entry point group `xarray.backends`.

    xr.open_dataset("m.json", engine="refmaker")
    xr.open_dataset("s3://bucket/m.json", engine="refmaker", group="forecast", target_options={"anon": True})
    xr.open_datatree("m.json", engine="refmaker")

Contract: what xarray's netCDF-4 engine shows of the file. `refmaker.replay.xarray_store` makes of xarray's own Zarr
store what that takes. Works with zarr-python 2 and 3. This module is a face towards xarray and imports it; nothing of
refmaker imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.backends.store import StoreBackendEntrypoint

from refmaker.kerchunk.sniff import looks_like_manifest
from refmaker.replay.xarray_store import ManifestStores
from refmaker.urls import is_local

__all__ = ["RefmakerBackend"]

_DECODERS = (
    "mask_and_scale",
    "decode_times",
    "concat_characters",
    "decode_coords",
    "use_cftime",
    "decode_timedelta",
)


class RefmakerBackend(BackendEntrypoint):
    """Opens reference manifests, and the files that they could be made of: these are scanned in memory."""

    description: ClassVar[str] = "Open reference manifests of HDF5 and netCDF files with refmaker"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = ("filename_or_obj", "drop_variables", "group", *_DECODERS)
    supports_groups: ClassVar[bool] = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Open a group of a manifest.

        Parameters
        ----------
        filename_or_obj
            Path or url of the manifest, or a `Manifest`; or path or url of a file, which is scanned with
            `remote_options`.
        group
            The group, by default the root.
        storage_options
            As `options`, for those who keep them in a dict: `{"remote_options": {"anon": True}}`, not `{"anon": True}`.
        options
            Of `refmaker.FileSystem`: `target_options`, `remote_options`, `check`, `allow`, ….
        """
        stores = ManifestStores(filename_or_obj, {**(storage_options or {}), **options})
        decoders = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "decode_coords": decode_coords,
            "drop_variables": drop_variables,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        return _opened(stores, group, concat_characters, decoders)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, xr.Dataset]:
        """Open all groups of a manifest, or those from `group` on; see `open_dataset`.

        Returns
        -------
        groups
            By path: from the root on, or relative to `group` where one is given.
        """
        stores = ManifestStores(filename_or_obj, {**(storage_options or {}), **options})
        decoders = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "decode_coords": decode_coords,
            "drop_variables": drop_variables,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        top = (group or "").strip("/")
        found = {}
        for path in stores.groups(top):
            name = path[len(top) :].strip("/")
            found[(name or ".") if top else "/" + name] = _opened(stores, path, concat_characters, decoders)
        return found

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open a manifest as a tree of all its groups. Options are those of `open_groups_as_dict`."""
        tree: xr.DataTree = xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether a file begins as a manifest does. Urls are not looked at: that would fetch them."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        name = os.fspath(filename_or_obj)
        return is_local(name) and looks_like_manifest(name)


def _opened(stores: ManifestStores, group: str | None, concat: Any, decoders: dict[str, Any]) -> xr.Dataset:
    """Open a group."""
    store = stores.open(group)
    decoders = {name: value for name, value in decoders.items() if value is not None}
    if store.apart and concat is not False:
        names = store.array_keys()
        asked = concat if isinstance(concat, Mapping) else dict.fromkeys(names, concat)
        concat = {**asked, **dict.fromkeys(store.apart, False)}
    opened: xr.Dataset = StoreBackendEntrypoint().open_dataset(store, concat_characters=concat, **decoders)
    if stores.source is not None:
        opened.encoding["source"] = stores.source
    return opened
