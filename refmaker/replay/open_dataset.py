"""Manifests and source files as datasets of xarray, in one call.

Contract: `xarray.open_dataset(source, engine="refmaker")`, with the options of a filesystem given once. A source file
is scanned in memory: only its metadata are read, in as few requests as a scan takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refmaker.manifest.manifest import Manifest
from refmaker.urls import is_local, text_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_dataset", "open_datatree"]


def open_dataset(
    source: str | os.PathLike[str] | Manifest,
    *,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return a group of a file, or of a manifest, as a dataset whose values are read when they are needed.

    Parameters
    ----------
    source
        Path or url of a file that can be scanned, or of a manifest; or a `Manifest`.
    group
        By default the root.
    storage_options
        Of the fsspec filesystem of the source, and of the files that a manifest refers to.
    **options
        Of `xarray.open_dataset`, such as `chunks` and `decode_times`; and of `refmaker.FileSystem`, such as `check`.

    Raises
    ------
    SourceError
        The file cannot be read.
    ManifestError, FormatError
        It is malformed, or of no format that can be scanned.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> refmaker.open_dataset("air.h5")["t"].values.tolist()
    [280.0, 281.5]
    """
    import xarray

    from refmaker.replay.xarray_backend import RefmakerBackend

    given = {**_options(source, storage_options), **options}
    opened: xr.Dataset = xarray.open_dataset(source, engine=RefmakerBackend, group=group, **given)  # type: ignore[arg-type]
    return opened


def open_datatree(
    source: str | os.PathLike[str] | Manifest,
    *,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> xr.DataTree:
    """Return all groups of a file, or of a manifest, as a tree. See `open_dataset`.

    Parameters
    ----------
    source
        Path or url of a file that can be scanned, or of a manifest; or a `Manifest`.
    storage_options
        Of the fsspec filesystem of the source, and of the files that a manifest refers to.
    **options
        Of `xarray.open_datatree` and of `refmaker.FileSystem`.

    Raises
    ------
    SourceError
        The file cannot be read.
    ManifestError, FormatError
        It is malformed, or of no format that can be scanned.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["forecast/t"] = [280.0, 281.5]
    >>> refmaker.open_datatree("air.h5").groups
    ('/', '/forecast')
    """
    import xarray

    from refmaker.replay.xarray_backend import RefmakerBackend

    given = {**_options(source, storage_options), **options}
    opened: xr.DataTree = xarray.open_datatree(source, engine=RefmakerBackend, **given)  # type: ignore[arg-type]
    return opened


def _options(source: Any, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of `FileSystem` for a filesystem that both manifest and targets are in."""
    if storage_options is None:
        return {}
    elsewhere = isinstance(source, str | os.PathLike) and not is_local(text_of(source))
    return {"remote_options": storage_options, **({"target_options": storage_options} if elsewhere else {})}
