"""What a name means: a path of this machine, a url, or a chain of urls.

Contract: one set of rules for everything that takes a path or a url. A name is a url only if it begins with a protocol
(`s3://…`); it is a chain only if its first part can lead through others: a container or a cache of fsspec
(`zip://member::…`, `simplecache::…`), or any protocol but those of plain stores where a url follows. Everything else
with `::` in it is a name that has `::` in it: of a local file, or of an object. fsspec itself splits every name at
`::`, and would open `s3://bucket/run` for `s3://bucket/run::1.nc`; so filesystems are asked for here. A relative target
lies beside its manifest, wherever that is: never in the reader's working directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from refmaker.errors import ManifestError

__all__ = [
    "LOCAL",
    "filesystem_of",
    "first_link",
    "is_below",
    "is_local",
    "links",
    "local_path",
    "locate",
    "opened",
    "path_of",
    "protocol_of",
    "resolve",
    "slashed",
    "text_of",
]

LOCAL = ("file", "local")
_HEAD = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\/]")
"""How absolute paths of Windows begin: with a drive, or with a server."""
_BARE = re.compile(r"[a-z0-9_+]+")
_CONTAINERS = frozenset(
    (
        *("zip", "tar", "car", "libarchive", "dir", "reference", "refmaker"),
        *("cached", "blockcache", "filecache", "simplecache", "async_wrapper"),
    )
)
"""Filesystems of fsspec that lie in, or before, another one."""
_STORES = frozenset(
    (
        *("http", "https", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "hf", "github"),
        *("memory", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "webdav"),
    )
)
"""Filesystems that lie in no other one: what follows `::` is part of a name."""


def text_of(path: str | os.PathLike[str]) -> str:
    """Return a path or url as text; of a local path, `~` is the home directory."""
    name = os.fsdecode(path)
    if not is_local(name):
        return name
    own = local_path(name)
    return name[: len(name) - len(own)] + os.path.expanduser(own)


def protocol_of(url: str) -> str | None:
    """Return the (first) protocol of a url, None for a path."""
    match = _HEAD.match(url)
    if match is not None:
        return match[1]
    head, chained, rest = url.partition("::")
    if not (chained and rest and _BARE.fullmatch(head)) or head in LOCAL:
        return None
    return head if head in _CONTAINERS or (head not in _STORES and _HEAD.match(rest)) else None


def is_below(path: str, folder: str, *, system: Any = os.path) -> bool:
    """Return whether an absolute path is a folder or lies below it, as names of the system are compared.

    Parameters
    ----------
    system
        `posixpath` or `ntpath`.
    """
    inner, outer = system.normcase(path), system.normcase(folder)
    return bool(inner == outer or inner.startswith(system.join(outer, "")))


def slashed(path: str, *, system: Any = os.path) -> str:
    """Return a local path with slashes, as names of sources and outputs have them."""
    return path if system.sep == "/" else path.replace(system.sep, "/")


def is_local(url: str) -> bool:
    """Return whether a url or path names a file of this machine: a plain path, or `file://`, `local://`."""
    return protocol_of(url) in (None, *LOCAL)


def local_path(url: str) -> str:
    """Return the path of a local url; a path is given as it is."""
    return url if protocol_of(url) is None else _of_drive(url.partition("://")[2])


def _of_drive(path: str, system: Any = os.path) -> str:
    """Return the path of a `file://` url: of `file:///C:/x`, that is `C:/x` on systems with drives (RFC 8089, E.2)."""
    return path[1:] if path[:1] == "/" and system.splitdrive(path[1:])[0] else path


def _is_foreign(path: str, system: Any = os.path) -> bool:
    """Return whether a path is an absolute one of another system: with a drive here, without one on Windows."""
    if system.sep == "/":
        return _WINDOWS.match(path) is not None
    return path.startswith("/") and not system.splitdrive(path)[0]


def links(url: str) -> list[str]:
    """Return the parts of a chain of urls; only the name itself where it is none."""
    protocol = protocol_of(url)
    head, chained, rest = url.partition("::")
    if protocol in (None, *LOCAL) or not (chained and rest):
        return [url]
    if protocol in _CONTAINERS or (protocol not in _STORES and protocol_of(rest) is not None):
        return [head, *links(rest)]
    return [url]


def first_link(url: str) -> str:
    """Return the first part of a chain of urls: what is named in the others."""
    return links(url)[0]


def filesystem_of(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the filesystem of a url, and what the url names in it. Raises what fsspec does.

    Parameters
    ----------
    options
        As fsspec takes them: those of the links of a chain under their protocols.
    """
    import fsspec

    if _is_plain(url):
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, **options)
        return found
    kind = fsspec.get_filesystem_class("file" if is_local(url) else protocol_of(url))
    given = {name: value for name, value in options.items() if name != "protocol"}
    return kind(**{**kind._get_kwargs_from_urls(url), **given}), path_of(kind, url)


def path_of(kind: Any, url: str) -> str:
    """Return what a url that is no chain names in a kind of filesystem."""
    if is_local(url):
        return os.path.abspath(local_path(text_of(url)))
    path: str = kind._strip_protocol(url)
    # The filesystem in memory leaves a name with `::` as it is, for a chain.
    return "/" + path.lstrip("/") if protocol_of(url) == "memory" else path


def opened(url: str, options: Mapping[str, Any]) -> Any:
    """Return what opens the file of a url to be read, as a context; options may be those of `fsspec.open` too."""
    if _is_plain(url):
        import fsspec

        return fsspec.open(url, "rb", **options)
    filesystem, path = filesystem_of(url, options)
    return filesystem.open(path, "rb")


def _is_plain(url: str) -> bool:
    """Return whether fsspec understands a name as we do."""
    return "::" not in url or len(links(url)) > 1


def locate(name: str, protocol: str | None = None) -> str:
    """Return the absolute location of a manifest: a local path, or a url.

    Parameters
    ----------
    name
        As the user gave it.
    protocol
        Of `name` where that has none of its own, as fsspec splits chained urls.
    """
    if protocol not in (None, *LOCAL) and protocol_of(name) is None:
        return f"{protocol}://{name}"
    return os.path.abspath(os.path.expanduser(local_path(name))) if is_local(name) else name


def resolve(url: str, base: str | None) -> str:
    """Return the absolute location of a target.

    Parameters
    ----------
    url
        As the manifest has it.
    base
        Location of the manifest from `locate`; None for one made in memory, which lies in the working directory.

    Raises
    ------
    ManifestError
        A relative url leads above the root of the server or bucket of the manifest, or it is an absolute path of
        another operating system.
    """
    if not is_local(url):
        return url
    path = local_path(url)
    if _is_foreign(path):
        raise ManifestError(
            "the target is an absolute path of another operating system: use `refmaker rewrite` to name it here",
            source=base,
            got=repr(path),
        )
    if os.path.isabs(path):
        return path
    if base is None or is_local(base):
        return os.path.join(os.getcwd() if base is None else os.path.dirname(base), path)
    return _beside(base, path)


def _beside(base: str, path: str) -> str:
    """Join a relative path to the folder of a manifest that is not local."""
    bits = links(base)
    at = next((i for i, bit in enumerate(bits) if "://" in bit), 0)
    protocol, _, rest = bits[at].partition("://")
    if protocol in ("http", "https"):
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    folder = rest.split("/")[:-1]
    root = 0 if not folder or not folder[0] or protocol == "memory" else 1
    for part in path.split("/"):
        if part != "..":
            folder += [part] if part not in ("", ".") else []
        elif len(folder) > root:
            folder.pop()
        else:
            raise ManifestError("the target leads above the root of the manifest's store", source=base, got=repr(path))
    bits[at] = f"{protocol}://{'/'.join(folder)}"
    return "::".join(bits)
