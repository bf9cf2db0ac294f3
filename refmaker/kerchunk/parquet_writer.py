"""Parquet sets of references: the writer, and under its public name the reader.

Contract: the layout of fsspec's `LazyReferenceMapper`, which kerchunk, VirtualiZarr and GDAL read: a folder with
`.zmetadata` and, for every array, files `refs.N.parq` of `record_size` chunks each, in the order of the grid. Nulls
are nulls, `raw` is binary also where it is empty, files are packed with zstd. A shard without any reference is not
written. One more member of `.zmetadata`, `refmaker`, holds what the format has no place for, and the digest of every
shard. Memory is bounded by a shard, where the references are not in memory anyway. A set appears whole or not at all.

Some things are not as in the manifest that is written. Other readers take chunk keys apart at dots only, so that
`dimension_separator` is always "." (no reference depends on it). They have no Zarr 3, and look in the wrong place for
the shards of arrays of some names: these metadata stand in `refmaker` alone, so that they find nothing rather than
fill values. They take data that begin with `base64:` to be base64: such data are written so.
"""

from __future__ import annotations

import base64
import os
import re
from typing import Any

from refmaker.errors import ManifestError, OutputError, RefmakerError
from refmaker.kerchunk.documents import documents, extension
from refmaker.kerchunk.parquet_reader import METADATA_FILE, load_parquet
from refmaker.kerchunk.parquet_shard_codec import MAX_ROWS, digest_of, encode_shard
from refmaker.kerchunk.publishing import publishable
from refmaker.kerchunk.replacing import replacing
from refmaker.manifest.check import check_manifest, check_references
from refmaker.manifest.manifest import Manifest
from refmaker.zarr import strict_json as strict

__all__ = ["RECORD_SIZE", "load_parquet", "write_parquet"]

RECORD_SIZE = 100_000
"""Chunks of a shard: some hundred kilobytes, read in about ten milliseconds."""

_MISLEADING = re.compile(r"(^|/)\.z|[?#+\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")
"""Paths of arrays whose shards fsspec does not find, and takes for fill values.

It takes `.z` for metadata; over HTTP it encodes none of the others so that every server understands them.
"""


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
    if manifest.composites:
        path_of_one = next(iter(manifest.composites))
        raise ManifestError(
            "a Parquet set cannot hold composite arrays yet: write JSON, or combine with --on-mismatch inline",
            path="/" + path_of_one,
        )
    manifest = publishable(manifest)
    check_manifest(manifest, streamed=True)
    for name in manifest.arrays:
        if "\0" in name or name.partition("/")[0] == METADATA_FILE:
            raise ManifestError("a Parquet set has no folder of this name", path=name)
    head = _head(manifest, record_size)
    name = os.path.expanduser(os.fsdecode(path))
    _refuse_others(name)
    with replacing(name) as folder:
        shards = {name: _write_array(manifest, name, folder, record_size) for name in manifest.arrays}
        head["refmaker"]["shards"] = {name: digests for name, digests in shards.items() if digests}
        _write_file(os.path.join(folder, METADATA_FILE), strict.encoded(head, structure=METADATA_FILE))


def _head(manifest: Manifest, record_size: int) -> dict[str, Any]:
    """Return `.zmetadata`, the digests left out."""
    metadata: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for key, document in documents(manifest):
        strict.encoded({key: document}, structure=strict.key_name(key))
        path, _, leaf = key.rpartition("/")
        unseen = manifest.zarr_format == 3 or (path in manifest.arrays and _MISLEADING.search(path))
        (hidden if unseen else metadata)[key] = (
            {**document, "dimension_separator": "."} if leaf == ".zarray" else document
        )
    ours = extension(manifest)
    if hidden:
        ours["metadata"] = hidden
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


def _refuse_others(path: str) -> None:
    """Make sure that nothing stands at `path`, or a set, which is what may be replaced."""
    if "\0" in path:
        raise OutputError(f"cannot write {path!r}: a file name holds no NUL")
    real = os.path.realpath(path)
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
