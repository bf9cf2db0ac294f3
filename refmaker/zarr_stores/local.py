"""Zarr stores in folders of this machine.

Contract: see `zarr_stores.store.Store`. Every file of the folder is an entry, through symbolic links as zarr-python
reads them; a folder that cannot be listed is an error, as its chunks would look as if they were missing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from refmaker import limits
from refmaker.errors import FormatError, SourceError
from refmaker.file_version import FileVersion, Target, check_unchanged
from refmaker.urls import local_path
from refmaker.zarr_stores.store import Entry, Range, check_count

__all__ = ["LocalStore", "is_local_store"]

_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def is_local_store(url: str) -> bool:
    """Return whether a path names a folder that holds a Zarr store."""
    path = local_path(url)
    return os.path.isdir(path) and any(os.path.isfile(os.path.join(path, mark)) for mark in _MARKS)


@dataclass(slots=True)
class LocalStore:
    """A folder of this machine."""

    url: str
    path: str
    targets: list[Target]
    entries: dict[str, Entry]
    listed: bool = True
    used: set[int] = field(default_factory=set)

    @staticmethod
    def open(url: str) -> LocalStore:
        """List a folder."""
        path = os.path.abspath(local_path(url))
        store = LocalStore(path, path, [], {})
        for key, status in _files(path):
            store.entries[key] = Entry(len(store.targets), 0, status.st_size)
            store.targets.append(Target.of(os.path.join(path, *key.split("/")), FileVersion.of_status(status)))
            check_count(len(store.targets), path)
        return store

    def look_up(self, keys: Iterable[str]) -> None:
        """See `Store.look_up`: all are listed."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Store.read`."""
        found = []
        for key, start, size in ranges:
            entry = self.entries[key]
            self.used.add(entry.target)
            name = self.targets[entry.target].url
            try:
                with open(name, "rb") as file:
                    file.seek(start)
                    found.append(file.read(min(size, max(entry.size - start, 0))))
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}", source=name) from error
        return found

    def check_unchanged(self) -> None:
        """See `Store.check_unchanged`."""
        for code in sorted(self.used):
            target = self.targets[code]
            try:
                now = FileVersion.of_status(os.stat(target.url))
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}", source=target.url) from error
            check_unchanged(target.url, target.version, now)


def _files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the keys of all files below a folder, with what the system says of them."""
    pending: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(root, "", frozenset())]
    while pending:
        folder, head, above = pending.pop()
        try:
            identity = os.stat(folder)
            with os.scandir(folder) as listed:
                found = sorted(listed, key=lambda one: one.name)
            place = identity.st_dev, identity.st_ino
            if place in above or len(above) > limits.NODE_DEPTH:
                raise FormatError("folders that lead in circles, or too deep", source=folder)
            kinds = [(one, one.stat()) for one in found]
            # Folders in reverse, so that the one that is taken next is the first.
            inner = [one for one, status in reversed(kinds) if stat.S_ISDIR(status.st_mode)]
            pending += [(one.path, f"{head}{one.name}/", above | {place}) for one in inner]
            for one, status in kinds:
                if stat.S_ISREG(status.st_mode):
                    yield head + one.name, status
        except OSError as error:
            raise SourceError(f"cannot be listed: {error.strerror}", source=folder) from error
