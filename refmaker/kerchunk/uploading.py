"""Manifests into stores.

Contract: a manifest of one file is one object, and so appears whole. Of a Parquet set `.zmetadata` is written last: it
has the digests of all shards, so that a reader never takes a shard of another set for one of its own. Shards that are
there as they are to be stay as they are: what was appended to is written, not all of the set. Stores cannot replace
several objects at once: a set that is being replaced in place, or whose writer was killed at that, is refused by its
readers until it is whole.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Mapping
from typing import Any

from refmaker.errors import ManifestError, OutputError, cause_of
from refmaker.kerchunk.parquet_reader import METADATA_FILE
from refmaker.manifest.manifest import Manifest
from refmaker.urls import filesystem_of, first_link, protocol_of
from refmaker.zarr import strict_json

__all__ = ["upload", "upload_bytes", "upload_manifest"]

# There, making a folder would make the bucket, if that is not there.
_WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "http", "https"})


def upload_manifest(
    manifest: Manifest, url: str, storage_options: Mapping[str, Any] | None = None, *, parquet: bool
) -> int:
    """Write a manifest to a store, as a Parquet set or as JSON; return the bytes of it, or of its head.

    Raises
    ------
    OutputError
        It cannot be written.
    ManifestError
        Something in it cannot be written without loss.
    """
    name = posixpath.basename(first_link(url).rstrip("/"))
    with tempfile.TemporaryDirectory(prefix="refmaker-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, name)
        if parquet:
            manifest.to_parquet(path)
        else:
            manifest.to_json(path)
        upload(path, url, storage_options)
        return os.path.getsize(os.path.join(path, METADATA_FILE) if os.path.isdir(path) else path)


def upload_bytes(data: bytes, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Write a file to a store. Raises `OutputError`."""
    with tempfile.TemporaryDirectory(prefix="refmaker-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "content")
        with open(path, "wb") as file:
            file.write(data)
        upload(path, url, storage_options)


def upload(path: str, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Copy a local file, or a Parquet set, to a store.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        filesystem, place = filesystem_of(url, {} if storage_options is None else storage_options)
        if os.path.isdir(path):
            _upload_set(filesystem, path, place.rstrip("/"), folders=protocol_of(url) not in _WITHOUT_FOLDERS)
        else:
            if protocol_of(url) not in _WITHOUT_FOLDERS:
                filesystem.makedirs(posixpath.dirname(place), exist_ok=True)
            filesystem.put_file(path, place)
        filesystem.invalidate_cache()
    except Exception as error:  # every filesystem raises errors of its own
        raise OutputError(f"cannot write {url!r}: {cause_of(error)}") from error


def _upload_set(filesystem: Any, folder: str, place: str, *, folders: bool) -> None:
    filesystem.invalidate_cache()
    names = [
        os.path.relpath(os.path.join(below, name), folder).replace(os.sep, "/")
        for below, _, found in os.walk(folder)
        for name in found
    ]
    there = {path.removeprefix(place + "/"): info for path, info in _found(filesystem, place).items()}
    old = _digests(filesystem.cat_file(f"{place}/{METADATA_FILE}")) if METADATA_FILE in there else {}
    with open(os.path.join(folder, METADATA_FILE), "rb") as file:
        new = _digests(file.read())
    for name in sorted(names, key=lambda name: (name == METADATA_FILE, name)):
        if name in old and old[name] == new.get(name) and there.get(name, {}).get("size") == old[name][0]:
            continue
        if folders:
            filesystem.makedirs(posixpath.dirname(f"{place}/{name}"), exist_ok=True)
        filesystem.put_file(os.path.join(folder, *name.split("/")), f"{place}/{name}")
    for name in set(old) - set(names):  # of the set that stood there, and of no other
        filesystem.rm_file(f"{place}/{name}")


def _found(filesystem: Any, place: str) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = filesystem.find(place, detail=True)
    except FileNotFoundError:
        return {}
    return found


def _digests(head: bytes) -> dict[str, list[Any]]:
    """Return the digests of shards that a head lists, by the names of their files."""
    try:
        shards = strict_json.parse(head, structure=METADATA_FILE, source=None)["refmaker"]["shards"]
        return {
            f"{path}/refs.{number}.parq".lstrip("/"): list(digest)
            for path, numbers in shards.items()
            for number, digest in numbers.items()
        }
    except (ManifestError, KeyError, TypeError, AttributeError):  # the set of another program
        return {}
