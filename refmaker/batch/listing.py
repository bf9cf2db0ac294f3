"""Directories and files, local and remote, under one way to ask: what is there, as it is now.

Contract: a listing gives every file with what tells its version (size, ETag, modification time). What cannot be listed
is told by name, never left out. Nothing is read here but the first bytes of files, to tell what they are.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from refmaker.errors import SourceError, cause_of
from refmaker.file_version import FileVersion
from refmaker.scanning.recognise import (
    MIN_SIZE,
    REMOTE_HEAD,
    has_known_suffix,
    head_is_recognised,
    is_recognised,
)
from refmaker.urls import filesystem_of, first_link, is_local, links, local_path, text_of

__all__ = ["Entry", "Remote", "absolute", "is_glob", "stat_many", "stat_local", "walk_local"]

_ASKED_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a listing.

    Attributes
    ----------
    url
        Absolute path, or url.
    name
        Path below what was listed, with slashes.
    problem
        Why it is none: what cannot be listed.
    """

    url: str
    name: str
    seen: FileVersion
    problem: str | None = None


UNKNOWN = FileVersion()


def absolute(name: str) -> str:
    """Return a local path as an absolute one; a url as it is."""
    return os.path.abspath(local_path(text_of(name))) if is_local(name) else name


def is_glob(name: str) -> bool:
    """Return whether a path or url is a pattern. In urls of HTTP only `*` is one, the rest is common there."""
    return "*" in name if name.startswith(("http://", "https://")) else glob.has_magic(name)


def stat_local(path: str) -> FileVersion:
    """Return what tells the version of a local file. Raises `OSError`."""
    status = os.stat(path)
    return FileVersion.of_status(status)


def walk_local(folder: str, pattern: str | None, leave_out: str | None) -> Iterator[Entry]:
    """List the sources below a local directory, in the order of names.

    Links to directories are not followed, hidden files and directories are left out.

    Parameters
    ----------
    pattern
        Takes the files whose path or name matches; without, those that are recognised.
    leave_out
        The real path of a directory that is not entered.
    """
    pending = [(folder, "")]
    while pending:
        path, name = pending.pop()
        try:
            with os.scandir(path) as found:
                children = sorted(found, key=lambda child: child.name)
        except OSError as error:
            yield Entry(path, name or os.path.basename(path), UNKNOWN, f"cannot be listed: {error.strerror}")
            continue
        below = []
        for child in children:
            if child.name.startswith("."):
                continue
            if _is_folder(child):
                if leave_out is None or os.path.realpath(child.path) != leave_out:
                    below.append((child.path, posixpath.join(name, child.name)))
            else:
                yield from _file(child, posixpath.join(name, child.name), pattern)
        pending.extend(reversed(below))


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir(follow_symlinks=False)
    except OSError:  # what it is cannot be told
        return False


def _file(child: os.DirEntry[str], name: str, pattern: str | None) -> Iterator[Entry]:
    """Yield a file if it is a source. One that may not be read might be."""
    try:
        status = child.stat()
        if stat.S_ISREG(status.st_mode) and (is_recognised(child.path) if pattern is None else _matches(name, pattern)):
            yield Entry(child.path, name, FileVersion.of_status(status))
    except FileNotFoundError:  # it went away meanwhile, or is a link that leads nowhere
        if _matches(name, pattern) if pattern is not None else has_known_suffix(name):
            yield Entry(child.path, name, UNKNOWN)
    except OSError:
        yield Entry(child.path, name, UNKNOWN)


def _matches(name: str, pattern: str) -> bool:
    """Match a path as `find` would: a pattern without a slash is one of the last part."""
    return fnmatch.fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


class Remote:
    """A filesystem of fsspec, with what becomes of urls in it.

    Parameters
    ----------
    url
        Any url of it.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        try:
            self.filesystem, self.path = filesystem_of(url, storage_options)
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {cause_of(error)}", source=url) from error
        self.url = url
        self.storage_options = storage_options
        first, *rest = links(url)
        self._chained = "".join(f"::{link}" for link in rest)
        self._protocol, _, named = first.partition("://")
        self._server = _outside(named, self.path)

    def to_url(self, path: str) -> str:
        """Return the url of a path of this filesystem, with the account, host and port of the one that was named."""
        if path.startswith(f"{self._protocol}://"):
            return path + self._chained
        return f"{self._protocol}://{_joined(self._server, path)}{self._chained}"

    def glob(self) -> Iterator[Entry]:
        """List the files that match the url, by their paths below the part of it that is no pattern."""
        parts = self.path.split("/")
        plain = next((i for i, part in enumerate(parts) if is_glob(part)), len(parts))
        yield from self._with_versions(
            self._entries(self._ask("glob", self.path, detail=True), "/".join(parts[:plain]))
        )

    def find(self, pattern: str | None, leave_out: str | None = None) -> Iterator[Entry]:
        """List the sources below the url, each with what tells its version; see `_find`."""
        yield from self._with_versions(self._find(pattern, leave_out))

    def _with_versions(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Ask for the versions of files, many at a time, where listings say nothing of them: pages of HTTP servers."""
        if self._protocol not in ("http", "https"):
            yield from entries
            return
        found = list(entries)
        asked = [one.url for one in found if one.problem is None and one.seen == UNKNOWN]
        versions = stat_many(asked, self.storage_options)
        for one in found:
            seen = versions.get(one.url)
            yield replace(one, seen=seen) if isinstance(seen, FileVersion) else one

    def _find(self, pattern: str | None, leave_out: str | None) -> Iterator[Entry]:
        """List the files below the url that are sources by name or by their first bytes, or match a pattern.

        Parameters
        ----------
        leave_out
            Url of a directory, with a slash, below which nothing is a source.
        """
        listing = self._ask("find", self.path, detail=True)
        paths = {self.to_url(path): path for path in listing}
        found = [
            entry
            for entry in self._entries(listing, self.path)
            if not any(part.startswith(".") for part in entry.name.split("/"))
            and (leave_out is None or not entry.url.startswith(leave_out))
        ]
        if pattern is not None:
            yield from (entry for entry in found if _matches(entry.name, pattern))
            return
        unknown = [entry for entry in found if not has_known_suffix(entry.name) and _may_be_source(entry.seen)]
        heads = dict(zip((one.url for one in unknown), self._heads([paths[one.url] for one in unknown]), strict=True))
        for entry in found:
            outcome = heads.get(entry.url, b"")
            if has_known_suffix(entry.name) or (isinstance(outcome, bytes) and head_is_recognised(outcome)):
                yield entry
            elif not isinstance(outcome, bytes | FileNotFoundError):
                yield Entry(entry.url, entry.name, UNKNOWN)  # the scan says what is wrong with it

    def _heads(self, paths: Sequence[str]) -> Iterator[bytes | BaseException]:
        """Yield the first bytes of files.

        Or why they cannot be had; many at a time where the filesystem can do that.
        """
        workers = _ASKED_TOGETHER if getattr(self.filesystem, "async_impl", False) else 1
        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(self._head, path) for path in paths]:
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield future.result() if error is None else error

    def _head(self, path: str) -> bytes:
        if self._protocol in ("http", "https"):  # servers may send the whole file, of which `read` takes the beginning
            with self.filesystem.open(path, "rb", block_size=REMOTE_HEAD, cache_type="none") as file:
                return bytes(file.read(REMOTE_HEAD))
        return bytes(self.filesystem.cat_file(path, start=0, end=REMOTE_HEAD))

    def files(self) -> dict[str, FileVersion]:
        """List all files below the url, by their paths below it; nothing where there is no such directory."""
        found = self._ask("find", self.path, detail=True)
        return {entry.name: entry.seen for entry in self._entries(found, self.path)}

    def is_directory(self) -> bool:
        """Return whether the url is a directory.

        What cannot be told is a file, of which the scan says what is wrong.
        """
        if self.path.endswith("/") or first_link(self.url).endswith("/"):
            return True
        if self._protocol in ("http", "https"):
            return False
        info = _attempt(self.filesystem.info, self.path)
        return isinstance(info, Mapping) and info.get("type") == "directory"

    def _entries(self, found: Mapping[str, Mapping[str, Any]], base: str) -> Iterator[Entry]:
        prefix = base.rstrip("/") + "/" if base.strip("/") else base
        for path, info in sorted(found.items()):
            if info.get("type") != "directory":
                yield Entry(self.to_url(path), path.removeprefix(prefix).lstrip("/"), FileVersion.of(info))

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            self.filesystem.invalidate_cache()
            return getattr(self.filesystem, method)(*arguments, **options)
        except FileNotFoundError:
            return {}
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be listed: {cause_of(error)}", source=self.url) from error


def _outside(named: str, path: str) -> str:
    """Return what a filesystem leaves out of the front of a url (without its protocol) to get a path: its server.

    Azure has the account behind the container (`container@account.host/…`), for which the path has the container.
    """
    inner = path.strip("/")
    container, mark, account = named.partition("/")[0].partition("@")
    if mark and inner.partition("/")[0] == container and account not in ("", inner.partition("/")[0]):
        return f"{container}@{account}"
    plain = named.rstrip("/")
    if not inner:
        return plain
    return plain[: len(plain) - len(inner)].rstrip("/") if plain.endswith(inner) else named.partition("/")[0]


def _joined(server: str, path: str) -> str:
    """Return a url without its protocol, of a path in a filesystem; see `_outside`."""
    inner = path.lstrip("/")
    container, mark, _ = server.partition("@")
    if mark and inner.partition("/")[0] == container:
        inner = inner.partition("/")[2]
    if not server or server.endswith("@"):
        return server + inner
    return f"{server}/{inner}"


def _may_be_source(seen: FileVersion) -> bool:
    return seen.size is None or seen.size >= MIN_SIZE


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a call, or the exception that it raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, *arguments)
    return future.exception() or future.result()


def stat_many(urls: Sequence[str], storage_options: Mapping[str, Any]) -> dict[str, FileVersion | Exception]:
    """Ask for the version of each file, many at a time; return why where there is none."""
    found: dict[str, FileVersion | Exception] = {}
    remote = []
    for url in urls:
        if not is_local(url):
            remote.append(url)
            continue
        try:
            found[url] = stat_local(local_path(url))
        except (OSError, ValueError) as error:
            found[url] = error
    return found | dict(_stat_remote(remote, storage_options))


def _stat_remote(urls: Iterable[str], options: Mapping[str, Any]) -> Iterator[tuple[str, FileVersion | Exception]]:
    def info(url: str) -> FileVersion:
        filesystem, path = filesystem_of(url, options)
        filesystem.invalidate_cache(filesystem._parent(path))
        return FileVersion.of(filesystem.info(path))

    with ThreadPoolExecutor(_ASKED_TOGETHER) as pool:
        futures = [(url, pool.submit(info, url)) for url in urls]
        for url, future in futures:
            error = future.exception()
            if error is None:
                yield url, future.result()
            elif isinstance(error, Exception):
                yield url, error
            else:
                raise error
