"""Parquet sets of references: the reader.

Contract: `.zmetadata` is read when the set is opened, a shard when a chunk in it is asked for. A set is data, from
anyone: what is malformed is a `ManifestError`. A shard that cannot be read is an error: only a set that says which
shards it has (ours do, with their digests) can have chunks without one, or one of which the caller says so
(`missing_shards`). Shards of a set that has taken the place of the one that was opened are an error too. Source:
fsspec's `LazyReferenceMapper`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from refmaker.errors import ManifestError, RefmakerError, SourceError, cause_of
from refmaker.kerchunk.chunk_columns import inline_data
from refmaker.kerchunk.extension import check_extension, extension_lines, extension_notes, member, source_records
from refmaker.kerchunk.fetch import cat, transport_errors
from refmaker.kerchunk.nodes import LEAVES, take_nodes
from refmaker.kerchunk.parquet_shard_codec import MAX_ROWS, Digest
from refmaker.kerchunk.parquet_shards import MissingShards, ShardedReferences, ShardSet
from refmaker.kerchunk.replacing import standing
from refmaker.kerchunk.urls import url_table
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import type_records
from refmaker.urls import filesystem_of, is_local, local_path, text_of
from refmaker.zarr.keys import check_key
from refmaker.zarr.strict_json import key_name, malformed, parse

__all__ = ["METADATA_FILE", "load_parquet"]

METADATA_FILE = ".zmetadata"


class _Files:
    """The files of a set, on the local disk or in any filesystem of fsspec.

    Parameters
    ----------
    location
        Path or url of the set.
    options
        For its filesystem.
    """

    def __init__(self, location: str, options: Mapping[str, Any]) -> None:
        self.location = location
        self.options = options
        self.opened: str | None = None
        self.version: tuple[int, ...] | None = None

    def open(self) -> bytes:
        """Read `.zmetadata`; what is read from now on is of that set."""
        self.version = self._version()
        data = self.read(METADATA_FILE)
        self.opened = hashlib.sha256(data).hexdigest()
        return data

    def is_there(self) -> bool:
        """Return whether `.zmetadata` is what it was when the set was opened; a `SourceError` where it is not there."""
        return hashlib.sha256(self.read(METADATA_FILE)).hexdigest() == self.opened

    def changed(self) -> bool:
        """Return whether `.zmetadata` is another file than when the set was opened, as far as a look at it can tell."""
        return self.version != self._version()

    def _version(self) -> tuple[int, ...] | None:
        if not _is_path(self.location):
            return None
        try:
            status = os.stat(os.path.join(standing(self.location), METADATA_FILE))
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the set; a `SourceError` where that fails."""
        try:
            return self._local(name) if _is_path(self.location) else self._remote(name)
        except RefmakerError:
            raise
        except Exception as error:  # every filesystem raises errors of its own
            strerror = error.strerror if isinstance(error, OSError) else None
            reason = strerror or cause_of(error)
            message = f"cannot read {name!r} of the manifest: {reason}"
            raise SourceError(message, source=self.location) from error

    def _local(self, name: str) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        path = os.path.join(standing(local_path(self.location)), *name.split("/"))
        with open(path, "rb", opener=lambda path, _: os.open(path, flags)) as file:
            return file.read()

    def _remote(self, name: str) -> bytes:
        # Asked for anew each time: fsspec keeps filesystems, and gives a forked process its own.
        filesystem, path = filesystem_of(self.location, self.options)
        return cat(filesystem, file_in(path, name))


def _is_path(location: str) -> bool:
    return is_local(location)


def file_in(path: str, name: str) -> str:
    """Return the path of a file of a set, in the filesystem that the set is in."""
    if not path.startswith(("http://", "https://")):
        return f"{path.rstrip('/')}/{name}"
    path, mark, query = path.partition("?")
    return f"{path.rstrip('/')}/{quote(name)}{mark}{query}"


def looks_like_parquet(location: str, options: Mapping[str, Any]) -> bool:
    """Return whether there is a folder with `.zmetadata` at a location; what cannot be looked at is none."""
    if _is_path(location):
        return os.path.isfile(os.path.join(standing(local_path(location)), METADATA_FILE))
    try:
        filesystem, path = filesystem_of(location, options)
        return bool(filesystem.isfile(file_in(path, METADATA_FILE)))
    except transport_errors():
        return False


def load_parquet(
    path_or_url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    missing_shards: MissingShards = "error",
) -> Manifest:
    """Open a Parquet set of references in a local folder, or at any fsspec url.

    Parameters
    ----------
    missing_shards
        What a shard is that is not there, in a set that does not say which it has: "error", or "empty": nothing was
        recorded for its chunks. kerchunk leaves out shards without references.

    Raises
    ------
    SourceError
        Its `.zmetadata` cannot be fetched.
    ManifestError
        That is malformed.
    """
    files = _Files(text_of(path_or_url), {} if storage_options is None else storage_options)
    source = files.location
    document = parse(files.open(), structure=METADATA_FILE, source=source)
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise malformed(
            "not a Parquet set", structure=METADATA_FILE, expected="`metadata`, an object", got=document, source=source
        )
    record_size = document.get("record_size")
    if type(record_size) is not int or not 1 <= record_size <= MAX_ROWS:
        expected = f"an integer from 1 to {MAX_ROWS}"
        raise malformed("bad record_size", structure=METADATA_FILE, expected=expected, got=record_size, source=source)
    extension = member(document, "refmaker", source)
    if extension:
        check_extension(extension, source)
    shards = ShardSet(files, url_table({}, extension, source), record_size, missing_shards)
    return _manifest(document["metadata"], extension, shards)


def _manifest(metadata: dict[str, Any], extension: dict[str, Any], shards: ShardSet) -> Manifest:
    source = shards.files.location
    refs = {**metadata, **member(extension, "metadata", source)}
    manifest = take_nodes(refs, source)
    for key, value in {**refs, **member(extension, "extra", source)}.items():
        if key.rpartition("/")[2] in LEAVES:
            raise ManifestError("extra data under a key of metadata", structure=key_name(key), source=source)
        check_key(key, source=source)
        manifest.extra[key] = inline_data(key, value, source)
    digests = _digests(extension, source) if extension else None
    for path, array in manifest.arrays.items():
        known = None if digests is None else digests.pop(path, {})
        if known and max(known) * shards.record_size >= array.cells:
            raise malformed(
                "shard outside the grid",
                structure="refmaker.shards",
                expected=f"fewer than {array.cells} cells",
                got=max(known),
                source=source,
            )
        array.references = ShardedReferences(shards, path, array.cells, known)
    if digests:
        raise ManifestError(
            "shards of no array", structure="refmaker.shards", got=key_name(next(iter(digests))), source=source
        )
    manifest.targets = tuple(shards.urls.targets) if shards.urls.closed else shards.urls.targets
    manifest.refusals = extension_lines(extension, "refusals", dict, source)
    manifest.history = extension_lines(extension, "history", list, source) + manifest.history
    manifest.notes = extension_notes(extension, source)
    manifest.sources = source_records(extension, manifest, source)
    manifest.types = type_records(extension, source)
    return manifest


def _digests(extension: dict[str, Any], source: str) -> dict[str, dict[int, Digest]]:
    """Read `refmaker.shards`: path of an array -> number of a shard -> [bytes, SHA-256, references]."""
    if "shards" not in extension:
        raise ManifestError("no list of shards", structure="refmaker.shards", source=source)
    found: dict[str, dict[int, Digest]] = {}
    for path, shards in member(extension, "shards", source).items():
        listed = found[path] = {}
        for number, record in shards.items() if isinstance(shards, dict) else [("", shards)]:
            size, sha256, references = record if isinstance(record, list) and len(record) == 3 else (None, None, None)
            if not (
                number.isascii()
                and number.isdigit()
                and len(number) < 20
                and type(size) is int
                and isinstance(sha256, str)
                and type(references) is int
                and references > 0
            ):
                expected = "path of an array -> number of a shard -> [bytes, SHA-256, references]"
                raise malformed(
                    "bad member", structure="refmaker.shards", expected=expected, got={path: record}, source=source
                )
            listed[int(number)] = Digest(size, sha256, references)
    return found
