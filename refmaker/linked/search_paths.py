"""Where a file that another one names may be.

Contract: pure, but for environment variables and the current directory. For a local file the places are those that
libhdf5 looks at, in its order (`H5F_prefix_open_file` for virtual datasets and external links, `H5D__build_file_prefix`
and `H5_combine_path` for raw data). For a remote file there is one place, in its own directory or below: what a remote
file says never leads to a local file, to another host, or out of its directory.
"""

from __future__ import annotations

import os
import posixpath
from typing import Literal
from urllib.parse import quote

from refmaker.errors import Unsupported
from refmaker.urls import links

__all__ = ["Kind", "search_paths", "raw_prefix"]

Kind = Literal["virtual", "link", "raw"]

_PREFIXES = {"virtual": "HDF5_VDS_PREFIX", "link": "HDF5_EXT_PREFIX"}
_RAW_PREFIX = "HDF5_EXTFILE_PREFIX"
_ORIGIN = "${ORIGIN}"


def search_paths(url: str, name: str, kind: Kind, *, local: bool) -> list[str]:
    """Return the places where the file `name`, as the file at `url` calls it, is looked for.

    Parameters
    ----------
    url
        An absolute path when `local`.
    kind
        What names it: a virtual dataset, an external link, a list of raw data files.

    Raises
    ------
    Unsupported
        The file at `url` is remote, and the name leads out of its directory.
    """
    if not local:
        return [_sibling(url, name)]
    directory = os.path.dirname(url)
    found = _raw(directory, name) if kind == "raw" else _hdf5(url, name, kind)
    return list(dict.fromkeys(os.path.abspath(place) for place in found))


def _hdf5(url: str, name: str, kind: Kind) -> list[str]:
    places = []
    if os.path.isabs(name):
        places.append(name)
        name = os.path.basename(name)
    prefix = os.environ.get(_PREFIXES[kind], "")
    places += [os.path.join(part, name) for part in prefix.split(os.pathsep) if part]
    directory = os.path.dirname(url)
    if kind == "virtual" and prefix not in ("", "."):
        # Besides the list of prefixes, libhdf5 takes the whole variable for one prefix.
        places.append(os.path.join(_expanded(prefix, directory), name))
    return [*places, os.path.join(directory, name), name, os.path.join(os.path.dirname(os.path.realpath(url)), name)]


def _raw(directory: str, name: str) -> list[str]:
    """By default libhdf5 looks in the current directory only; the directory of the file is where people put them."""
    if os.path.isabs(name):
        return [name]
    prefix = raw_prefix(directory)
    first = name if prefix is None else os.path.join(prefix, name)
    return [first, os.path.join(directory, name)]


def raw_prefix(directory: str) -> str | None:
    """Return the directory that `HDF5_EXTFILE_PREFIX` names for the raw data of a file in `directory`.

    None for none.
    """
    prefix = os.environ.get(_RAW_PREFIX, "")
    return None if prefix in ("", ".") else _expanded(prefix, directory)


def _expanded(prefix: str, directory: str) -> str:
    return directory + prefix.removeprefix(_ORIGIN) if prefix.startswith(_ORIGIN) else prefix


def _sibling(url: str, name: str) -> str:
    """Return the url of a file in the directory of another."""
    if name.startswith("/"):
        name = posixpath.basename(name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "::" in name or "://" in name or "\\" in name:
        raise Unsupported(f"the file {name!r} is not in the directory of the remote file that names it")
    chain = links(url)
    # `simplecache::s3://bucket/key` names the file in the second link, `zip://member::s3://bucket/key` in the first.
    at = next((i for i, link in enumerate(chain) if link.partition("://")[2]), len(chain) - 1)
    protocol, separator, path = chain[at].partition("://")
    path, mark, query = path.partition("?") if protocol in ("http", "https") else (path, "", "")
    relative = "/".join(parts)
    if protocol in ("http", "https"):
        relative = quote(relative)
    directory, slash, _ = path.rpartition("/")
    if protocol in ("http", "https") and not slash:
        raise Unsupported(f"the file {name!r} cannot be found beside {url}")
    chain[at] = f"{protocol}{separator}{directory}{slash}{relative}{mark}{query}"
    return "::".join(chain)
