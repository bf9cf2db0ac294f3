"""The bytes of a manifest, from wherever it lies.

Contract: a local path or any fsspec url; gzip (RFC 1952) and zstd (RFC 8878) are told by their first bytes, never by
the name. What cannot be fetched is a `SourceError`, what cannot be unpacked a `ManifestError`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from refmaker import limits
from refmaker.errors import ManifestError, SourceError
from refmaker.kerchunk.compression import unpacked
from refmaker.urls import is_local, local_path, opened, text_of

__all__ = ["cat", "fetch", "load_bytes", "transport_errors"]


MOST = limits.MANIFEST_SIZE
_PIECE = 1 << 24


def load_bytes(path_or_url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> bytes:
    """Fetch a manifest and unpack it.

    Parameters
    ----------
    path_or_url
        Local path, or a url of any fsspec filesystem.
    storage_options
        For that filesystem.
    """
    name = text_of(path_or_url)
    return unpacked(fetch(name, storage_options), name)


def fetch(name: str, storage_options: Mapping[str, Any] | None) -> bytes:
    """Fetch a file as it is.

    Raises
    ------
    SourceError
        It cannot be read.
    ManifestError
        It is larger than may be fetched.
    """
    try:
        return _fetch(name, storage_options)
    except transport_errors() as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"cannot read the manifest: {reason or type(error).__name__}", source=name) from error


def _fetch(name: str, storage_options: Mapping[str, Any] | None) -> bytes:
    if is_local(name):
        with open(local_path(name), "rb") as file:
            return file.read()
    with opened(name, storage_options or {}) as file:
        size = getattr(file, "size", None)
        if isinstance(size, int) and size > MOST:
            raise _too_large(name, size)
        return _all_of(file, name)


def _all_of(file: Any, name: str) -> bytes:
    """Read a file to its end, as far as it has one."""
    parts: list[bytes] = []
    held = 0
    while part := file.read(_PIECE):
        parts.append(part)
        held += len(part)
        if held > MOST:
            raise _too_large(name, held)
    return b"".join(parts)


def _too_large(name: str, size: int) -> ManifestError:
    message = f"the manifest is too large to be fetched; {limits.ENVIRONMENT}=manifest-size=… sets another limit"
    return ManifestError(message, source=name, expected=f"<= {MOST} bytes", got=size)


def cat(filesystem: Any, path: str, *, end: int | None = None) -> bytes:
    """Return a file of a filesystem, or its first `end` bytes; no more than may be fetched, whatever a server sends.

    Raises
    ------
    ManifestError
        It is larger. Else whatever the filesystem raises.
    """
    http = sys.modules.get("fsspec.implementations.http")  # loading it takes packages that others do not need
    if http is None or not isinstance(filesystem, http.HTTPFileSystem) or filesystem.asynchronous:
        return bytes(filesystem.cat_file(path) if end is None else filesystem.cat_file(path, start=0, end=end))
    from fsspec.asyn import sync

    data: bytes = sync(filesystem.loop, _over_http, filesystem, path, end)
    return data


async def _over_http(filesystem: Any, path: str, end: int | None) -> bytes:
    options = dict(filesystem.kwargs)
    if end is not None:
        options["headers"] = {**options.get("headers", {}), "Range": f"bytes=0-{end - 1}"}
    session = await filesystem.set_session()
    async with session.get(filesystem.encode_url(path), **options) as answer:
        if answer.status == 404:
            raise FileNotFoundError(path)
        answer.raise_for_status()
        parts: list[bytes] = []
        held = 0
        while held <= (MOST if end is None else end):
            part = await answer.content.read(_PIECE)
            if not part:
                break
            parts.append(part)
            held += len(part)
    if end is None and held > MOST:
        raise _too_large(path, held)
    return b"".join(parts)[:end]


def transport_errors() -> tuple[type[Exception], ...]:
    """Return what filesystems raise for a failed read: unknown protocol, missing package, and their own kinds.

    Those of packages that are not loaded cannot have been raised; loading them only to name them would take seconds.
    """
    kinds: list[type[Exception]] = [OSError, ValueError, ImportError]
    for module, name in (("aiohttp", "ClientError"), ("botocore.exceptions", "BotoCoreError")):
        if module in sys.modules:
            kinds.append(getattr(sys.modules[module], name))
    return tuple(kinds)
