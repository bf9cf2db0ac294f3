"""Folders and files of a manifest, as a filesystem shows them.

Contract: made up from the columns when asked, one folder at a time; listing groups and arrays never looks at chunks.
With the separator "/" the leading indices of chunk keys are folders.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import References, Target
from refmaker.replay.keys import indices_of, names_of, position
from refmaker.replay.lookup import Lookup

__all__ = ["Entry", "Listing"]

_Names: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder. `size` in bytes; None for a folder, or a chunk that is a whole target of unknown size."""

    name: str
    size: int | None = None
    folder: bool = False


class Listing:
    """The folders of a manifest. Paths have no leading or trailing slash; "" is the root."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    def entries(self, path: str) -> list[Entry]:
        """Give what lies directly below `path`.

        Raises
        ------
        FileNotFoundError
            No such folder.
        """
        lookup, folders = self.lookup, self._folders
        found = [self.entry(_join(path, name)) for name in (*lookup.documents(path), *self._extra.get(path, ()))]
        found = [Entry(entry.name[len(path) :].lstrip("/"), entry.size) for entry in found]
        found += [Entry(name, folder=True) for name in folders.get(path, [])]
        owner = path if path in lookup.manifest.arrays else lookup.owner(path)
        if owner is not None:
            found += self._chunks(owner, path[len(owner) :].strip("/"))
        if not found and path not in folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder in the manifest", path)
        return found

    def entry(self, path: str) -> Entry:
        """Give the folder or file at `path`, under that name.

        Raises
        ------
        FileNotFoundError
            No such folder or file.
        RefmakerError
            As `Lookup.find` does.
        """
        if path in self._folders or self._is_chunk_folder(path):
            return Entry(path, folder=True)
        found = self.lookup.find(path)
        return Entry(path, len(found) if isinstance(found, bytes) else found.size)

    def holds(self, path: str, *, folder: bool) -> bool:
        """Tell whether there is a folder, or else a file, at `path`."""
        try:
            return self.entry(path).folder == folder
        except (FileNotFoundError, RefmakerError):
            return False

    @cached_property
    def _folders(self) -> _Names:
        return _folders_of((*self.lookup.groups, *self.lookup.manifest.arrays, *self._extra))

    @cached_property
    def _extra(self) -> _Names:
        """Names of the extra data of the manifest, by the folder they lie in."""
        found: _Names = {}
        for key in self.lookup.manifest.extra:
            path, _, name = key.rpartition("/")
            found.setdefault(path, []).append(name)
        return found

    def _is_chunk_folder(self, path: str) -> bool:
        owner = self.lookup.owner(path)
        return owner is not None and bool(self._chunks(owner, path[len(owner) :].strip("/")))

    def _chunks(self, owner: str, tail: str) -> list[Entry]:
        """Give what lies at `tail`, below the array at `owner`: chunks, or the folders on the way to them."""
        layout = self.lookup.layout(owner)
        manifest = self.lookup.manifest
        cells, sizes = _columns(manifest.arrays[owner].references, manifest.targets)
        if layout.separator == "." or not layout.grid:
            return [] if tail else _files(names_of(layout, cells), sizes)
        parts = tail.split("/") if tail else []
        if layout.head:
            if not parts:
                return [Entry("c", folder=True)] if len(cells) else []
            if parts.pop(0) != "c":
                return []
        depth = len(parts)
        leading = position(layout, parts) if depth < len(layout.grid) and indices_of(parts) else None
        if leading is None:
            return []
        below, step = math.prod(layout.grid[depth:]), math.prod(layout.grid[depth + 1 :])
        first, stop = np.searchsorted(cells, [leading * below, (leading + 1) * below])
        indices = (cells[first:stop] - leading * below) // step
        if depth == len(layout.grid) - 1:
            return _files(map(str, indices.tolist()), sizes[first:stop])
        return [Entry(str(index), folder=True) for index in np.unique(indices).tolist()]


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _files(names: Iterable[str], sizes: npt.NDArray[np.int64]) -> list[Entry]:
    return [Entry(name, size if size >= 0 else None) for name, size in zip(names, sizes.tolist(), strict=True)]


def _folders_of(paths: Iterable[str]) -> _Names:
    """Give the folders at `paths` and above, each with the names of the folders in it."""
    tree: _Names = {"": []}
    for path in paths:
        missing = path
        while missing not in tree:
            tree[missing] = []
            missing = missing.rpartition("/")[0]
    for path in tree:
        if path:
            parent, _, name = path.rpartition("/")
            tree[parent].append(name)
    return tree


def _columns(references: References, targets: Sequence[Target]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give cells and sizes of all chunks sorted by cell; -1 for a size that is not known."""
    sizes = references.size.astype("i8")
    if not references.inline and not references.whole:
        return references.cell, sizes
    other = {cell: len(data) for cell, data in references.inline.items()}
    whole = ((cell, targets[code].size) for cell, code in references.whole.items())
    other.update((cell, -1 if size is None else size) for cell, size in whole)
    cells = np.concatenate([references.cell, np.fromiter(other, "i8", len(other))])
    order = np.argsort(cells, kind="stable")
    return cells[order], np.concatenate([sizes, np.fromiter(other.values(), "i8", len(other))])[order]
