"""Where manifests and targets lie: local or not, relative to what.

Contract: pure string work on fsspec urls (`protocol://path`, chains with `::`) and local paths; nothing is opened. A
relative target lies beside its manifest, wherever that is: never in the reader's working directory.
"""

from __future__ import annotations

import os
import re

from refmaker.errors import ManifestError

__all__ = ["is_local", "local_path", "locate", "protocol_of", "resolve"]

_LOCAL = ("file", "local")
_BARE_PROTOCOL = re.compile("[a-z0-9_+]+")


def protocol_of(url: str) -> str | None:
    """Return the (first) protocol of a url, None for a path."""
    head = url.partition("::")[0]
    if "://" in head:
        return head.partition("://")[0] or None
    return head if "::" in url and "://" in url and _BARE_PROTOCOL.fullmatch(head) else None


def is_local(url: str) -> bool:
    """Return whether a url or path names a file of the local disk."""
    return protocol_of(url) in (None, *_LOCAL)


def local_path(url: str) -> str:
    """Return the path of a local url; a path is given as it is."""
    return url if protocol_of(url) is None else url.partition("://")[2]


def locate(name: str, protocol: str | None = None) -> str:
    """Return the absolute location of a manifest: a local path, or a url.

    Parameters
    ----------
    name
        As the user gave it.
    protocol
        Of `name` where that has none of its own, as fsspec splits chained urls.
    """
    if protocol not in (None, *_LOCAL) and protocol_of(name) is None:
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
        A relative url leads above the root of the server or bucket of the manifest.
    """
    if not is_local(url):
        return url
    path = local_path(url)
    if os.path.isabs(path):
        return path
    if base is None or is_local(base):
        return os.path.join(os.getcwd() if base is None else os.path.dirname(base), path)
    return _beside(base, path)


def _beside(base: str, path: str) -> str:
    """Join a relative path to the folder of a manifest that is not local."""
    bits = base.split("::")
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
