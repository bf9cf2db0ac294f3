"""Finding the source of a virtual dataset by its path, through all kinds of links.

Contract: `find_source` gives the dataset, or None where libhdf5 takes the source for missing and reads fill values: the
last name of the path is not there, or is a link, however many of them, to what is not there. All else is refused with
the reason: a way that ends before the last name, which libhdf5 takes for an error, objects that are no dataset, links
in circles, files that are there and cannot be read.

Semantics: libhdf5 2.0, `H5D__virtual_open_source_dset`, which asks `H5G_loc_exists` before it opens.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.linked.files import COMMITTED, Files
from refmaker.linked.open_named import NamedFiles
from refmaker.model import Dataset, ExternalLink, Tree

__all__ = ["find_source"]

MAX_LINKS = limits.SOURCE_LINKS


@dataclass(slots=True)
class _Way:
    """Where a search is: in which file, at which path, and the names that are left, the next one last.

    `outside` says that the last name of the source's path is an external link: however the way behind it fails, libhdf5
    says no more than that the source does not exist.
    """

    number: int
    tree: Tree
    here: str
    pending: list[str]
    outside: bool = False


def find_source(files: Files, named: NamedFiles, number: int, path: str, *, own: bool) -> Dataset | None:
    """Find a source dataset.

    Parameters
    ----------
    number
        Of the file that `path` begins at the root of.
    own
        It is the file of the virtual dataset.

    Raises
    ------
    Unsupported
        What is there is no dataset that can be read, or nobody can tell what is there.
    """
    way = _Way(number, files.tree(number), "/", _parts(path))
    links = 0
    while way.pending:
        parent = way.here
        _step(way)
        target = way.tree.dangling.get(way.here)
        link = way.tree.external.get(way.here)
        if target is None and link is None:
            if _is_missing(way):
                return None
            continue
        if link is not None and not own:
            raise Unsupported("it is an external link in another file, at which libhdf5 itself crashes")
        links += 1
        if links > MAX_LINKS and way.outside:
            return None
        if links > MAX_LINKS:
            raise Unsupported(f"links that lead in circles, or through more than {MAX_LINKS} others")
        if target is not None:
            way.here = "/" if target.startswith("/") else parent
            way.pending += _parts(target)
        elif link is not None and not _enter(way, link, files, named):
            if way.pending:
                raise Unsupported(f"{link.path} leads to a file that is missing, {link.file!r}")
            return None
    found = way.tree.datasets.get(way.here)
    if found is None:
        raise Unsupported(_what_is_there(way))
    return found


def _parts(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _step(way: _Way) -> None:
    """Go on by one name, and to the first path of the object there."""
    name = way.pending.pop()
    way.here = f"/{name}" if way.here == "/" else f"{way.here}/{name}"
    link = way.tree.links.get(way.here)
    if link is not None:
        way.here = link.first


def _enter(way: _Way, link: ExternalLink, files: Files, named: NamedFiles) -> bool:
    """Go to where an external link leads; return False where its file is missing."""
    number, _ = named.open(way.number, link.file, "link")
    if number is None:
        return False
    way.number, way.tree, way.here = number, files.tree(number), "/"
    way.outside = way.outside or not way.pending
    way.pending += _parts(link.target)
    return True


def _is_missing(way: _Way) -> bool:
    """Return whether the last name is not there; raise where the way ends before it."""
    if way.here in way.tree.groups or (not way.pending and way.here in way.tree.datasets):
        return False
    if way.here in way.tree.datasets or way.here in way.tree.types or way.here in way.tree.refusals:
        raise Unsupported(_what_is_there(way))
    if way.pending and not way.outside:
        raise Unsupported(f"there is no group {way.here}")
    return True


def _what_is_there(way: _Way) -> str:
    refusal = way.tree.refusals.get(way.here)
    if refusal is not None:
        return refusal.reason
    if way.here in way.tree.types:
        return COMMITTED
    return f"{way.here} is no group" if way.pending else "it is no dataset"
