"""From what was asked for to sources: files, directories, patterns, local and remote.

Contract: every source has its absolute path or url, a name (a relative path, from which that of its manifest is made)
and what tells its version, all from listings: no file is asked for by itself except those named one by one, and the
first bytes of those whose names do not say what they are. A name that leads to nothing is an error, so that an archive
that is not there is not taken for an empty one. What lies in the output directory is no source.
"""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from refmaker.batch.listing import UNKNOWN, Entry, Remote, absolute, is_glob, stat_local, stat_many, walk_local
from refmaker.errors import BatchError
from refmaker.urls import first_link, is_below, is_local, slashed

__all__ = ["ABSENT", "Inputs", "covered", "find_sources", "listed_roots"]

ABSENT = "cannot be read: No such file or directory"
"""The problem of a name that was given and leads to nothing."""
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was asked for.

    Attributes
    ----------
    names
        Files, directories, patterns; paths or urls.
    pattern
        Of directories, takes the files that match rather than those that are recognised.
    base
        Directory that names of sources are relative to. Without, that is the directory that was asked for, the part of
        a pattern before its first wildcard, the directory of a file.
    """

    names: tuple[str, ...]
    pattern: str | None = None
    base: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)


def find_sources(roots: Inputs, *, out: str | None = None) -> list[Entry]:
    """List all sources, each once, under the first name that leads to it.

    Parameters
    ----------
    out
        The output directory, an absolute path or a url.

    Raises
    ------
    BatchError
        A name leads to nothing, or into the output directory.
    SourceError
        A remote directory cannot be listed.
    """
    leave_out = os.path.realpath(out) if out is not None and is_local(out) else None
    above = out.rstrip("/") + "/" if out is not None and leave_out is None else None
    found: dict[str, Entry] = {}
    single: list[str] = []
    for name in roots.names:
        if "\0" in name:
            raise BatchError("a name contains a NUL: write one name per line", source=name[:_SHOWN])
        some = False
        for entry in _expand(name, roots, leave_out, above, single):
            if above is None or not entry.url.startswith(above):
                some = True
                found.setdefault(entry.url, entry)
        if not some:
            raise BatchError(
                "found no source here: check the path, or choose files by name with --pattern", source=name
            )
    for url, seen in stat_many(single, roots.storage_options).items():
        found[url] = replace(found[url], seen=UNKNOWN if isinstance(seen, Exception) else seen)
    if roots.base is None:
        return list(found.values())
    return [_based(entry, absolute(roots.base)) for entry in found.values()]


def _expand(name: str, roots: Inputs, leave_out: str | None, above: str | None, single: list[str]) -> Iterator[Entry]:
    """Yield the sources under a name; those in `single` have not been looked at."""
    if is_local(name):
        yield from _expand_local(name, roots.pattern, leave_out)
        return
    if not is_glob(first_link(name)):
        remote = None if _is_file_name(name) else Remote(name, roots.storage_options)
        if remote is None or not remote.is_directory():
            single.append(name)
            yield Entry(name, _last_part(name), UNKNOWN)
        else:
            yield from remote.find(roots.pattern, above)
        return
    yield from Remote(name, roots.storage_options).glob()


def _expand_local(name: str, pattern: str | None, leave_out: str | None) -> Iterator[Entry]:
    path = absolute(name)
    if leave_out is not None and _inside(path, leave_out) and not is_glob(name):
        raise BatchError("the source is inside the output directory: move one of them", source=name)
    if os.path.isdir(path):
        yield from walk_local(path, pattern, leave_out)
    elif os.path.lexists(path) or not is_glob(path):
        yield _file(path, os.path.basename(path))
    else:
        yield from _glob_local(path, leave_out)


def _glob_local(pattern: str, leave_out: str | None) -> Iterator[Entry]:
    parts = slashed(pattern).split("/")
    base = "/".join(parts[: next(i for i, part in enumerate(parts) if is_glob(part))]) or "/"
    inside: dict[str, bool] = {}
    for path in sorted(glob.iglob(pattern, recursive=True)):
        folder = os.path.dirname(path)
        if folder not in inside:
            inside[folder] = leave_out is not None and _inside(folder, leave_out)
        if not inside[folder] and not os.path.isdir(path):
            yield _file(path, slashed(os.path.relpath(path, base)))


def _inside(path: str, folder: str) -> bool:
    """Return whether a path leads into a directory, whose real path is given."""
    return is_below(os.path.realpath(path), folder)


def _file(path: str, name: str) -> Entry:
    try:
        return Entry(path, name, stat_local(path))
    except FileNotFoundError:
        return Entry(path, name, UNKNOWN, None if os.path.lexists(path) else ABSENT)
    except (OSError, ValueError):  # the scan says what is wrong with it
        return Entry(path, name, UNKNOWN)


def _is_file_name(url: str) -> bool:
    """Return whether a url is plainly one of a file, so that its store need not be asked what it is."""
    return bool(posixpath.splitext(_last_part(url))[1]) and not first_link(url).endswith("/")


def _last_part(url: str) -> str:
    first = first_link(url)
    if first.startswith(("http://", "https://")):
        first = first.partition("?")[0].partition("#")[0]
    return posixpath.basename(first.rstrip("/")) or "source"


def _based(entry: Entry, base: str) -> Entry:
    """Name a source relative to a directory."""
    prefix, url = _slashed(base).rstrip("/") + "/", _slashed(entry.url)
    if not url.startswith(prefix):
        raise BatchError(
            "the source is not below --base, which names are relative to: choose another --base",
            source=entry.url,
            expected=base,
        )
    return replace(entry, name=(url if is_local(entry.url) else first_link(url)).removeprefix(prefix))


def covered(roots: Iterable[str], url: str) -> bool:
    """Return whether a listing of these roots would have shown a source."""
    return any(url == root or _below(root, url) for root in map(absolute, roots))


def _below(root: str, url: str) -> bool:
    parts = _slashed(root).split("/")
    plain = next((i for i, part in enumerate(parts) if is_glob(part)), len(parts))
    return _slashed(url).startswith("/".join(parts[:plain]).rstrip("/") + "/")


def _slashed(name: str) -> str:
    """Return a local path with slashes; a url as it is."""
    return slashed(name) if is_local(name) else name


def listed_roots(names: Sequence[str]) -> list[str]:
    """Return the names that may lead to new sources: directories and patterns."""
    return [name for name in names if is_glob(name) or (os.path.isdir(absolute(name)) if is_local(name) else True)]
