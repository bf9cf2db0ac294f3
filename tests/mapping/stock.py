"""A manifest as unmodified readers see it: stock fsspec `reference`, zarr, xarray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import xarray as xr
import zarr

from refmaker.codecs import zarr3_struct
from refmaker.manifest.manifest import Manifest
from refmaker.scanning.scan import scan

zarr3_struct.register()  # zarr-python 3.1 does not know the registered name; newer ones are left as they are

__all__ = ["identical_groups", "open_array", "open_dataset", "open_group", "references", "store"]


def references(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Write a manifest and read it back as plain JSON, with consolidated metadata.

    Without these, the stock reader lists nothing but the root group.
    """
    path = folder / "manifest.json"
    manifest.to_json(str(path))
    content = json.loads(path.read_text(), parse_constant=_no_constants)
    refs = content["refs"]
    if manifest.zarr_format == 2 and ".zmetadata" not in refs:
        names = (".zarray", ".zattrs", ".zgroup")
        metadata = {key: json.loads(refs[key]) for key in sorted(refs) if key.rpartition("/")[2] in names}
        refs[".zmetadata"] = json.dumps({"zarr_consolidated_format": 1, "metadata": metadata})
    return {"version": 1, "refs": refs}


def _no_constants(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def store(content: dict[str, Any]) -> zarr.storage.FsspecStore:
    """Open references with the stock filesystem."""
    fs = fsspec.filesystem(
        "reference",
        fo=content,
        asynchronous=True,
        remote_protocol="file",
        remote_options={"asynchronous": True},
        skip_instance_cache=True,
    )
    return zarr.storage.FsspecStore(fs, read_only=True)


def open_group(manifest: Manifest, folder: Path) -> zarr.Group:
    """Open a manifest with zarr; arrays are found by their whole path."""
    return zarr.open_group(store(references(manifest, folder)), mode="r", use_consolidated=False)


def open_array(manifest: Manifest, folder: Path, path: str) -> Any:
    """Open one array of a manifest with zarr."""
    return open_group(manifest, folder)[path]


def open_dataset(content: dict[str, Any], group: str = "/", **options: Any) -> xr.Dataset:
    """Open a group with xarray, by its defaults for this Zarr format."""
    options.setdefault("consolidated", ".zmetadata" in content["refs"])
    return xr.open_zarr(store(content), group=group.strip("/") or None, **options)


def identical_groups(path: Path, folder: Path, *, zarr_format: Any = 2) -> Manifest:
    """Scan a file and hold every group of it against xarray's netCDF-4 engine; give the manifest."""
    import netCDF4

    manifest = scan(str(path), zarr_format=zarr_format)
    content = references(manifest, folder)
    with netCDF4.Dataset(path) as nc:
        groups = ["/"]
        stack = [nc]
        while stack:
            for group in stack.pop().groups.values():
                groups.append(group.path)
                stack.append(group)
    for group in groups:
        with xr.open_dataset(path, engine="netcdf4", group=group) as want, open_dataset(content, group) as got:
            xr.testing.assert_identical(want.load(), got.load())
    return manifest
