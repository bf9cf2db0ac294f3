"""Files that a registry of stores leads to, as VirtualiZarr hands them to parsers.

Contract: `registered_file` finds the store of a url and what the file is called in it. VirtualiZarr encodes the paths
of its users (`Path.as_uri`) and hands them to stores as they are, so that a name with a space or a `+` is not found:
where there is no file of the encoded name, the decoded one is taken. Files of this machine are read by their path,
everything else through its store, with whatever credentials that has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from refmaker.bridges.locations import plain
from refmaker.errors import SourceError, cause_of
from refmaker.manifest.manifest import Manifest
from refmaker.urls import LOCAL

__all__ = ["RegisteredFile", "registered_file"]


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """A file in a store.

    Attributes
    ----------
    url
        As manifests refer to it, nothing in it encoded that the store has not encoded.
    path
        In the store.
    local
        Its path on this machine, None for one that is read through the store.
    """

    url: str
    store: Any
    path: str
    local: str | None

    def scan(self, options: dict[str, Any]) -> Manifest:
        """Scan it. Files that it names are read as far as they can be reached without the store."""
        from refmaker.scanning.scan import scan

        if self.local is not None:
            return scan(self.local, **options)
        # What credentials the store has, nobody else has: another file would be looked for in vain, and its values
        # taken for missing.
        if options.get("storage_options") is None:
            options = {**options, "other_files": False}
        return scan(self.path, store=self.store, url=self.url, **options)


def registered_file(url: str, registry: Any) -> RegisteredFile:
    """Find the file of a url.

    Parameters
    ----------
    registry
        An `obspec_utils.registry.ObjectStoreRegistry`, or what resolves urls as that does.

    Raises
    ------
    ValueError
        The registry has no store for the url; the registry's own error.
    SourceError
        The store cannot be asked for the file.
    """
    store, path = registry.resolve(url)
    if "%" in path and not _is_there(store, path, url):
        decoded = plain(url)
        inside = registry.resolve(decoded)[1]
        if _is_there(store, inside, decoded):
            url, path = decoded, inside
    return RegisteredFile(url, store, path, _local_path(url, store, path))


def _is_there(store: Any, path: str, url: str) -> bool:
    try:
        store.head(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SourceError(f"cannot be reached: {cause_of(error)}", source=url) from error
    return True


def _local_path(url: str, store: Any, path: str) -> str | None:
    """Return the path of a file of this machine: where a store of local files stands for nothing else."""
    if urlsplit(url).scheme not in LOCAL or type(store).__name__ != "LocalStore":
        return None
    found = os.path.join("/", str(getattr(store, "prefix", None) or ""), path)
    return found if urlsplit(url).path == found else None
