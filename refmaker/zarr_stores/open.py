"""Whether a url is a Zarr store, and the store.

Contract: `open_store` looks at local folders, and at remote urls that are written as those of stores are: with a slash
at the end, or a component that ends in `.zarr`. Any other url is that of a file, which costs no request here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from refmaker.errors import Unsupported
from refmaker.urls import is_local, links, local_path
from refmaker.zarr_stores.local import LocalStore, is_local_store
from refmaker.zarr_stores.remote import RemoteStore
from refmaker.zarr_stores.store import Store

__all__ = ["looks_like_store", "open_store"]

_ENDS = (".zarr", ".zarr2", ".zarr3")


def looks_like_store(url: str) -> bool:
    """Return whether a remote url is written as that of a Zarr store.

    Examples
    --------
    >>> looks_like_store("s3://bucket/image.ome.zarr"), looks_like_store("s3://bucket/air.nc")
    (True, False)
    """
    if is_local(url) or len(links(url)) > 1:
        return False
    path = url.partition("://")[2].partition("?")[0]
    return path.endswith("/") or any(part.endswith(_ENDS) for part in path.split("/"))


def open_store(url: str, storage_options: Mapping[str, Any] | None) -> Store | None:
    """Open a Zarr store; None where a url is not that of one.

    Raises
    ------
    SourceError
        It cannot be listed.
    Unsupported
        It is a folder of N5.
    """
    if is_local(url):
        path = local_path(url)
        if not os.path.isdir(path):
            return None
        if is_local_store(url):
            return LocalStore.open(url)
        if os.path.isfile(os.path.join(path, "attributes.json")):
            message = "a folder of N5, whose blocks have headers of their own: write it as Zarr, and scan that"
            raise Unsupported(message, source=url)
        return None
    return RemoteStore.open(url, storage_options) if looks_like_store(url) else None
