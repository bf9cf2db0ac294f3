"""Is it a manifest, or a file to scan? By content, never by name.

Contract: only the first bytes are read. What cannot be read is no manifest: whoever opens it next says why.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from refmaker.kerchunk.compression import GZIP, ZSTD, unpacked
from refmaker.kerchunk.fetch import cat, transport_errors
from refmaker.kerchunk.parquet_reader import looks_like_parquet
from refmaker.urls import filesystem_of, is_local, local_path, text_of

__all__ = ["local_manifest", "looks_like_manifest", "manifest_head"]

_HEAD = 512
_FIRST = 1 << 16
"""Most manifests of single files are shorter, and are read at once."""
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)


def looks_like_manifest(
    path_or_url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> bool:
    """Return whether there is a manifest: a file that begins with `{`, one packed with gzip or zstd, or a Parquet set.

    Neither HDF5 nor netCDF can begin so, except HDF5 behind a user block of JSON. Such a file is taken for a manifest.
    """
    try:
        head = _head(text_of(path_or_url), storage_options)
    except transport_errors():
        head = b""
    if not head:
        return looks_like_parquet(text_of(path_or_url), storage_options or {})
    return _begins_as_manifest(head)


def manifest_head(name: str, size: int, storage_options: Mapping[str, Any] | None) -> bytes | None:
    """Return the first `size` bytes of a manifest in a store; None for what is none, or cannot be read.

    Examples
    --------
    >>> import fsspec
    >>> from refmaker.kerchunk.sniff import manifest_head
    >>> fsspec.filesystem("memory").pipe_file("/sniffed.json", b'{"refs": {}}')
    >>> manifest_head("memory://sniffed.json", 8, None)
    b'{"refs":'
    """
    try:
        filesystem, path = filesystem_of(name, storage_options or {})
        head = cat(filesystem, path, end=size)
    except transport_errors():
        return None
    return head if _begins_as_manifest(head) else None


def local_manifest(name: str) -> bytes | None:
    """Return the bytes of a local manifest, unpacked; None for a folder, what is no manifest, or cannot be read.

    The file is opened once and asked for nothing else: on network filesystems each question takes a millisecond, and
    an archive has a hundred thousand manifests.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(local_path(name), os.O_RDONLY | _NONBLOCK | _BINARY)
    except (OSError, ValueError):  # a NUL in the name
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = os.read(descriptor, _FIRST)
        if not _begins_as_manifest(data):
            return None
        if len(data) == _FIRST:
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                data += file.readall()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return unpacked(data, name)


def _begins_as_manifest(head: bytes) -> bool:
    return head.startswith((GZIP, ZSTD)) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _head(name: str, storage_options: Mapping[str, Any] | None) -> bytes:
    if is_local(name):
        name = local_path(name)
        if not os.path.isfile(name):  # opening a named pipe would wait for a writer
            return b""
        with open(name, "rb") as file:
            return file.read(_HEAD)
    filesystem, path = filesystem_of(name, storage_options or {})
    return cat(filesystem, path, end=_HEAD)
