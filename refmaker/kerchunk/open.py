"""The forms of a manifest: which one stands somewhere, and which one a name asks for.

Contract: what is read is told by content, JSON (plain or packed) or a Parquet set; what is written by the end of the
name: `.parq` and `.parquet` are a Parquet set, anything else is kerchunk JSON, packed for `.gz`, `.zst` and `.zstd`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from refmaker.errors import SourceError, concealed
from refmaker.kerchunk.json_reader import load_json
from refmaker.manifest.manifest import Manifest
from refmaker.urls import first_link, is_local, local_path, text_of

__all__ = ["head_file", "is_parquet", "is_parquet_name", "open_manifest", "write_manifest"]

_PARQUET = (".parq", ".parquet")


@concealed
def open_manifest(
    path_or_url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    missing_shards: Literal["error", "empty"] = "error",
) -> Manifest:
    """Open a manifest: kerchunk JSON, plain or packed with gzip or zstd, or a Parquet set of references.

    Parameters
    ----------
    path_or_url
        Local path, or a url of any fsspec filesystem.
    storage_options
        For that filesystem.
    missing_shards
        What it means where a Parquet set that does not list its shards lacks one: "error", or "empty": nothing is
        recorded for the chunks of that shard. kerchunk writes no shards without references.

    Raises
    ------
    SourceError
        The manifest cannot be fetched.
    ManifestError
        It is malformed, or asks for what is not supported.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> refmaker.write_manifest(refmaker.scan("air.h5"), "air.json")
    >>> list(refmaker.open_manifest("air.json").arrays)
    ['t']
    """
    from refmaker.kerchunk.parquet_reader import load_parquet, looks_like_parquet

    name = text_of(path_or_url)
    options = {} if storage_options is None else storage_options
    if is_parquet(name, options):
        return load_parquet(name, storage_options=options, missing_shards=missing_shards)
    try:
        return load_json(name, storage_options=options)
    except SourceError:
        if not looks_like_parquet(name, options):
            raise
    return load_parquet(name, storage_options=options, missing_shards=missing_shards)


def is_parquet(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a path or url is to be opened as a Parquet set: by its name, or as it is a folder.

    A name is taken at its word, so that a set which cannot be reached is called what it is.
    """
    from refmaker.kerchunk.parquet_reader import looks_like_parquet

    path = local_path(name) if is_local(name) else name
    if is_parquet_name(name):
        return not os.path.isfile(path)
    return (name.endswith("/") or os.path.isdir(path)) and looks_like_parquet(name, options)


def head_file(path: str, *, parquet: bool) -> str:
    """Return the path of the file of a manifest whose version is that of the manifest."""
    from refmaker.kerchunk.parquet_reader import METADATA_FILE, file_in
    from refmaker.kerchunk.replacing import standing

    return file_in(standing(path), METADATA_FILE) if parquet else path


def write_manifest(
    manifest: Manifest, path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write a manifest in the form that the name asks for, whole or not at all.

    Parameters
    ----------
    manifest
        What to write.
    path
        Where: a path, or a url of any fsspec filesystem that can be written to. `.parq` and `.parquet` are a Parquet
        set, anything else is kerchunk JSON version 1, packed for `.gz`, `.zst` and `.zstd`. In a store a Parquet set is
        several objects: one that is being replaced is refused by its readers until it is whole.
    storage_options
        For that filesystem.

    Raises
    ------
    ManifestError
        Something in the manifest cannot be written without loss; nothing was written.
    OutputError
        The output cannot be written; what stood at `path` still does.

    Examples
    --------
    >>> import h5py, os, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> manifest = refmaker.scan("air.h5")
    >>> refmaker.write_manifest(manifest, "air.json.gz")
    >>> refmaker.write_manifest(manifest, "air.parq")
    >>> os.path.isfile("air.json.gz"), os.path.isdir("air.parq")
    (True, True)
    """
    name = text_of(path)
    if not is_local(name):
        from refmaker.kerchunk.uploading import upload_manifest

        upload_manifest(manifest, name, storage_options, parquet=is_parquet_name(name))
        return
    name = local_path(name)
    if is_parquet_name(name):
        manifest.to_parquet(name)
    else:
        manifest.to_json(name)


def is_parquet_name(name: str) -> bool:
    """Return whether a path or url is named as a Parquet set."""
    return _stem(name).lower().endswith(_PARQUET)


def _stem(name: str) -> str:
    """Return a url without what it is chained to, its query and a slash at the end."""
    first = first_link(name)
    if first.startswith(("http://", "https://")):
        first = first.split("?", 1)[0].split("#", 1)[0]
    return first.rstrip("/")
