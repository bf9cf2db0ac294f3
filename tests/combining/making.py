"""Small netCDF files, how xarray shows them, and how it shows a manifest."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from refmaker import FileSystem, Manifest

LAT = np.linspace(-60, 60, 4)
LON = np.linspace(0, 270, 5)


def values(start: int, rows: int, *, seed: int = 0) -> np.ndarray:
    """Return rows that are the same however they are divided among files: whole numbers, different in every cell."""
    whole = np.arange(start, start + rows)[:, None, None] * 100 + np.arange(20).reshape(4, 5)
    return whole + seed


def write(
    path: Path,
    start: int = 0,
    rows: int = 4,
    *,
    times: Sequence[float] | None = None,
    time_dtype: str = "f8",
    time_attributes: Mapping[str, Any] | None = None,
    lat: np.ndarray = LAT,
    dtype: str = "f4",
    endian: str = "native",
    chunks: tuple[int, ...] | None = (2, 4, 5),
    compression: str | None = "zlib",
    shuffle: bool = True,
    level: int = 4,
    fill: Any = None,
    attributes: Mapping[str, Any] | None = None,
    dims: tuple[str, ...] = ("time", "lat", "lon"),
    raw: np.ndarray | None = None,
    extra: Mapping[str, tuple[tuple[str, ...], Any]] | None = None,
    variable: str | None = "t2m",
    coordinates: bool = True,
    unlimited: bool = True,
    group_attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a file with `t2m(time, lat, lon)`, times `start` to `start + rows`."""
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"title": "test"} if group_attributes is None else group_attributes)
        contiguous = chunks is None
        file.createDimension("time", None if unlimited and not contiguous else rows)
        file.createDimension("lat", len(lat))
        file.createDimension("lon", len(LON))
        if coordinates:
            time = file.createVariable("time", time_dtype, ("time",))
            time.setncatts({"units": "hours since 2000-01-01", "calendar": "standard", **(time_attributes or {})})
            time[:] = np.arange(start, start + rows) if times is None else times
            file.createVariable("lat", "f8", ("lat",))[:] = lat
            file["lat"].units = "degrees_north"
            file.createVariable("lon", "f4", ("lon",))[:] = LON
        if variable is not None:
            options: dict[str, Any] = {"contiguous": True} if contiguous else {"chunksizes": chunks}
            if not contiguous and compression:
                options |= {"compression": compression, "shuffle": shuffle, "complevel": level}
            stored = np.dtype(dtype).newbyteorder(">" if endian == "big" else "=")
            made = file.createVariable(variable, stored, dims, fill_value=fill, endian=endian, **options)
            made.set_auto_maskandscale(False)
            made.setncatts({"units": "K", "long_name": "temperature", **(attributes or {})})
            data = values(start, rows) if raw is None else raw
            order = ("time", "lat", "lon")
            made[:] = data.transpose([order.index(name) for name in dims]) if data.ndim == 3 else data
        for name, (own, content) in (extra or {}).items():
            content = np.asarray(content)
            for dimension, size in zip(own, content.shape, strict=True):
                if dimension not in file.dimensions:
                    file.createDimension(dimension, size)
            file.createVariable(name, content.dtype, own)[:] = content
    return path


def shown(manifest: Manifest, group: str | None = None) -> xr.Dataset:
    """Return what xarray shows of a manifest, in memory."""
    from zarr.storage import FsspecStore

    store = FsspecStore(FileSystem(manifest, asynchronous=True), read_only=True, path="")
    options: dict[str, Any] = {} if manifest.zarr_format == 3 else {"zarr_format": 2}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numcodecs codecs are not in the Zarr version 3 specification")
        with xr.open_zarr(store, consolidated=False, group=group, **options) as dataset:
            return dataset.load()


def original(*paths: Path) -> list[xr.Dataset]:
    """Return what xarray shows of files, in memory."""
    found = []
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            found.append(dataset.load())
    return found


def joined(*paths: Path, dim: str = "time") -> xr.Dataset:
    """Put files together with xarray."""
    return xr.concat(
        original(*paths),
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        join="exact",
        combine_attrs="override",
    )
