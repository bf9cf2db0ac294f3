"""The xarray engine "refmaker", found through the entry point group `xarray.backends`.

    xr.open_dataset("m.json", engine="refmaker")
    xr.open_dataset("s3://bucket/m.json", engine="refmaker", group="forecast", target_options={"anon": True})

Contract: what xarray's own Zarr engine shows of a store that `refmaker.replay` serves; nothing is decoded here. Works
with zarr-python 2 and 3. This module is a face towards xarray and imports it; nothing of refmaker imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from refmaker.kerchunk.sniff import looks_like_manifest
from refmaker.replay.filesystem import FileSystem

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
    """Opens reference manifests."""

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
            Path or url of the manifest, or a `Manifest`.
        group
            The group, by default the root.
        storage_options
            As `options`, for those who keep them in a dict.
        options
            Of `refmaker.FileSystem`: `target_options`, `remote_options`, `check`, `allow`, ….
        """
        given = {**({} if storage_options is None else storage_options), **options}
        decoders = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "concat_characters": concat_characters,
            "decode_coords": decode_coords,
            "drop_variables": drop_variables,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        opened: xr.Dataset = xr.open_dataset(
            _store(filename_or_obj, given),
            engine="zarr",
            group=group,
            consolidated=False,
            chunks=None,
            **{name: value for name, value in decoders.items() if value is not None},
        )
        return opened

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether a file begins as a manifest does. Urls are not looked at: that would fetch them."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        name = os.fspath(filename_or_obj)
        return "://" not in name and "::" not in name and looks_like_manifest(name)


def _store(manifest: Any, options: dict[str, Any]) -> Any:
    """Return the store that xarray's Zarr engine takes, of the installed zarr's kind."""
    import zarr

    if isinstance(manifest, os.PathLike):
        manifest = os.fspath(manifest)
    if hasattr(zarr.storage, "FsspecStore"):
        return zarr.storage.FsspecStore(FileSystem(manifest, asynchronous=True, **options), read_only=True, path="")
    return FileSystem(manifest, **options).get_mapper("", check=False, create=False)
