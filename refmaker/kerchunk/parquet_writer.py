"""Parquet sets of references: the writer, and under its public name the reader.

Contract: the layout of fsspec's `LazyReferenceMapper`, which kerchunk, VirtualiZarr and GDAL read: a folder with
`.zmetadata` and, for every array, files `refs.N.parq` of `record_size` chunks each, in the order of the grid. Nulls
are nulls, `raw` is binary also where it is empty, files are packed with zstd. A shard without any reference is not
written. One more member of `.zmetadata`, `refmaker`, holds what the format has no place for, and the digest of every
shard. Memory is bounded by a shard, where the references are not in memory anyway. A set appears whole or not at all.

Two things are not as in the manifest that is written, because other readers take chunk keys apart at dots only and
have no Zarr 3: `dimension_separator` is always "." (no reference depends on it), and Zarr 3 metadata stand in
`refmaker` alone, so that those readers find nothing rather than fill values.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from typing import Any

from refmaker.errors import ManifestError, OutputError, RefmakerError
from refmaker.kerchunk.documents import documents, extension
from refmaker.kerchunk.parquet_reader import METADATA_FILE, load_parquet
from refmaker.kerchunk.parquet_shard_codec import MAX_ROWS, digest_of, encode_shard
from refmaker.kerchunk.publishing import publishable
from refmaker.manifest.check import check_manifest, check_references
from refmaker.manifest.manifest import Manifest
from refmaker.zarr import strict_json as strict

__all__ = ["RECORD_SIZE", "load_parquet", "write_parquet"]

RECORD_SIZE = 100_000
"""Chunks of a shard: some hundred kilobytes, read in about ten milliseconds."""


def write_parquet(manifest: Manifest, path: str | os.PathLike[str], *, record_size: int = RECORD_SIZE) -> None:
    """Write a manifest as a Parquet set, whole or not at all.

    Parameters
    ----------
    path
        The folder to make. A set that stands there is replaced, anything else is not.
    record_size
        Chunks of a shard.

    Raises
    ------
    ManifestError
        Something in the manifest cannot be written without loss; nothing was written.
    OutputError
        The set cannot be written; what stood at `path` still does.
    """
    if not 1 <= record_size <= MAX_ROWS:
        raise ManifestError("bad record_size", expected=f"1 to {MAX_ROWS}", got=record_size)
    manifest = publishable(manifest)
    check_manifest(manifest, streamed=True)
    for name in manifest.arrays:
        if "\0" in name or name.partition("/")[0] == METADATA_FILE:
            raise ManifestError("a Parquet set has no folder of this name", path=name)
    head = _head(manifest, record_size)
    with _replacing(os.fspath(path)) as folder:
        shards = {name: _write_array(manifest, name, folder, record_size) for name in manifest.arrays}
        head["refmaker"]["shards"] = {name: digests for name, digests in shards.items() if digests}
        _write_file(os.path.join(folder, METADATA_FILE), strict.encoded(head, structure=METADATA_FILE))


def _head(manifest: Manifest, record_size: int) -> dict[str, Any]:
    """Return `.zmetadata`, the digests left out."""
    metadata: dict[str, Any] = {}
    for key, document in documents(manifest):
        strict.encoded({key: document}, structure=strict.key_name(key))
        metadata[key] = {**document, "dimension_separator": "."} if key.endswith(".zarray") else document
    ours = extension(manifest)
    if manifest.zarr_format == 3:
        ours["metadata"], metadata = metadata, {}
    if manifest.extra:
        ours["extra"] = {key: f"base64:{base64.b64encode(data).decode()}" for key, data in manifest.extra.items()}
    strict.encoded(ours, structure="refmaker")
    version = {"zarr_consolidated_format": 1} if manifest.zarr_format == 2 else {}
    return {**version, "metadata": metadata, "record_size": record_size, "refmaker": ours}


def _write_array(manifest: Manifest, path: str, folder: str, record_size: int) -> dict[str, list[Any]]:
    """Write the shards of an array, and give their digests by number."""
    array = manifest.arrays[path]
    urls = [target.url for target in manifest.targets]
    below = os.path.join(folder, *path.split("/")) if path else folder
    os.makedirs(below, exist_ok=True)
    digests = {}
    for number, part in array.references.windows(record_size):
        first = number * record_size
        rows = min(record_size, array.cells - first)
        try:
            if array.references.streamed:
                check_references(part, array.cells, len(urls), f"array {path!r}")
            data = encode_shard(part, first, rows, urls)
        except RefmakerError as error:
            error.path = path
            raise
        digest = digest_of(data, len(part))
        digests[str(number)] = [digest.size, digest.sha256, digest.references]
        _write_file(os.path.join(below, f"refs.{number}.parq"), data)
    return digests


def _write_file(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[str]:
    """Yield a new folder that takes the place of `path` when the block ends well.

    Raises
    ------
    OutputError
        For every `OSError` on the way, and where something else than a set stands at `path`.
    """
    if "\0" in path:
        raise OutputError(f"cannot write {path!r}: a file name holds no NUL")
    real = os.path.realpath(path)
    _refuse_others(path, real)
    mark = secrets.token_hex(8)
    temporary, old = (os.path.join(os.path.dirname(real), f".refmaker-{mark}.{end}") for end in ("tmp", "old"))
    try:
        os.mkdir(temporary)
        yield temporary
        _sync(temporary)
        if os.path.isdir(real):
            os.rename(real, old)
            try:
                os.rename(temporary, real)
            except OSError:
                os.rename(old, real)
                raise
            shutil.rmtree(old)
        else:
            os.rename(temporary, real)
    except OSError as error:
        raise OutputError(f"cannot write {path!r}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_others(path: str, real: str) -> None:
    """Make sure that nothing stands at `path`, or a set, which is what may be replaced."""
    if not os.path.lexists(real):
        return
    if not os.path.isdir(real):
        raise OutputError(f"cannot write {path!r}: it is a file, and a Parquet set is a folder")
    for folder, _, files in os.walk(real):
        for name in files:
            top = folder == real and name == METADATA_FILE
            if not top and not (name.startswith("refs.") and name.endswith(".parq")):
                message = f"cannot write {path!r}: a folder that holds other things than a Parquet set"
                raise OutputError(message, got=os.path.join(folder, name))
    if os.listdir(real) and not os.path.isfile(os.path.join(real, METADATA_FILE)):
        raise OutputError(f"cannot write {path!r}: a folder without {METADATA_FILE}, not a Parquet set")


def _sync(folder: str) -> None:
    """Have the names in a folder on the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
