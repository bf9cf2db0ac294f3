"""Where targets are, as VirtualiZarr and Icechunk name files.

Contract: pure text. Both name files by absolute urls, but read them differently:

- VirtualiZarr hands the path of a url to the store as it stands there. Nothing is decoded, so nothing may be encoded,
  and a path with `?` or `#`, where Python's `urlparse` ends it, cannot be named at all (`manifests/store.py`, 2.8).
  Its own functions nevertheless encode the paths that users give them (`Path.as_uri`): `plain` undoes that.
- Icechunk parses locations as urls and decodes them: `%`, `?` and `#` have to be encoded.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from refmaker.errors import Unsupported
from refmaker.urls import is_local, links, local_path

__all__ = ["absolute", "icechunk_location", "plain", "virtualizarr_location"]

_ENCODED = {"%": "%25", "?": "%3F", "#": "%23"}


def absolute(url: str) -> str:
    """Return the url of a target; a path of this machine becomes `file://` and that path.

    Examples
    --------
    >>> absolute("/data/a b.nc"), absolute("s3://bucket/a.nc")
    ('file:///data/a b.nc', 's3://bucket/a.nc')
    """
    if len(links(url)) > 1:
        raise Unsupported("a file within a container has no url of its own", source=url)
    return f"file://{os.path.abspath(local_path(url))}" if is_local(url) else url


def virtualizarr_location(url: str) -> str:
    """Return the url of a target as VirtualiZarr reads it.

    Raises
    ------
    Unsupported
        VirtualiZarr would read another file.
    """
    found = absolute(url)
    parts = urlsplit(found)
    if parts.query or parts.fragment or found.endswith(("?", "#")):
        raise Unsupported("a path with '?' or '#', where VirtualiZarr ends it: it would read another file", source=url)
    return found


def icechunk_location(url: str) -> str:
    """Return the url of a target as Icechunk reads it.

    Examples
    --------
    >>> icechunk_location("/data/100%.nc")
    'file:///data/100%25.nc'
    """
    found = absolute(url)
    protocol, _, path = found.partition("://")
    if protocol in ("http", "https"):  # which are urls already, with everything encoded
        return found
    return f"{protocol}://" + "".join(_ENCODED.get(character, character) for character in path)


def plain(url: str) -> str:
    """Return a url with its path decoded, as a store wants it."""
    protocol, _, path = url.partition("://")
    return f"{protocol}://{unquote(path)}"
