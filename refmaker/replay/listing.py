"""Folders and files of a manifest, as a filesystem shows them.

Contract: made up from the columns when asked, at the cost of the answer; listing groups never looks at chunks.
With the separator "/" the leading indices of chunk keys are folders.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Target
from refmaker.manifest.references import References
from refmaker.replay.keys import indices_of, names_of, position
from refmaker.replay.lookup import Lookup
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["Contents", "Entry", "Listing", "described"]

_Names: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder. `size` in bytes; None for a folder, or a chunk that is a whole target of unknown size."""

    name: str
    size: int | None = None
    folder: bool = False


@dataclass(slots=True)
class Contents:
    """What lies in a folder: names of folders, names of files, and the sizes of those (None: not known)."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)

    def add(self, other: Contents) -> None:
        """Put what is in `other` behind."""
        self.folders += other.folders
        self.files += other.files
        self.sizes += other.sizes


class Listing:
    """The folders of a manifest. Paths have no leading or trailing slash; "" is the root."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    def contents(self, path: str) -> Contents:
        """Return what lies directly below `path`.

        Raises
        ------
        FileNotFoundError
            No such folder.
        """
        found = self._documents(path)
        found.folders += self._folders.get(path, ())
        owner = path if path in self.lookup.manifest.arrays else self.lookup.owner(path)
        if owner is not None:
            found.add(self._chunks(owner, path[len(owner) :].strip("/")))
        if not found.files and not found.folders and path not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder in the manifest", path)
        return found

    def entries(self, path: str) -> list[Entry]:
        """Return what lies directly below `path`, one by one; see `contents`."""
        found = self.contents(path)
        files = [Entry(name, size) for name, size in zip(found.files, found.sizes, strict=True)]
        return files + [Entry(name, folder=True) for name in found.folders]

    def find(self, path: str) -> dict[str, int | None]:
        """Return every file at or below `path`, by its full name, with its size; in the order of names.

        Raises
        ------
        FileNotFoundError
            No such folder or file.
        RefmakerError
            As `Lookup.find` does.
        """
        found = self._found(path)
        sizes = dict(zip(found.files, found.sizes, strict=True))
        return {name: sizes[name] for name in sorted(sizes)}

    def names(self, path: str) -> list[str]:
        """Return every file at or below `path`, by its full name, sorted; raises as `find` does."""
        return sorted(self._found(path).files)

    def _found(self, path: str) -> Contents:
        entry = self.entry(path)
        if not entry.folder:
            return Contents([], [path], [entry.size])
        found = Contents()
        below = [node for node in self._folders if node == path or not path or node.startswith(f"{path}/")]
        for node in below:
            inside = self._documents(node)
            found.add(Contents([], [_join(node, name) for name in inside.files], inside.sizes))
            if node in self.lookup.manifest.arrays:
                found.add(self._all_chunks(node, 0, self.lookup.manifest.arrays[node].cells))
        if not below:
            owner, start, stop = self._chunk_folder(path) or ("", 0, 0)
            found = self._all_chunks(owner, start, stop)
        return found

    def entry(self, path: str) -> Entry:
        """Return the folder or file at `path`, under that name.

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
        """Return whether there is a folder, or else a file, at `path`.

        Raises
        ------
        RefmakerError
            A shard of the manifest that would say so cannot be read.
        """
        try:
            return self.entry(path).folder == folder
        except (FileNotFoundError, Unsupported):
            return False
        except ManifestError:
            if not self.lookup.is_loaded(self.lookup.resolve(path)):
                raise
            return False

    @cached_property
    def _folders(self) -> _Names:
        return _folders_of((*self.lookup.groups, *self.lookup.manifest.arrays, *self._extra))

    @cached_property
    def _extra(self) -> _Names:
        """Names of the extra data of the manifest, and of references that are no chunk, by the folder they lie in."""
        found: _Names = {}
        for key in (*self.lookup.manifest.extra, *self.lookup.loose):
            path, _, name = key.rpartition("/")
            found.setdefault(path, []).append(name)
        return found

    def _documents(self, path: str) -> Contents:
        """Return the metadata and extra data in a folder."""
        names = [*self.lookup.documents(path), *self._extra.get(path, ())]
        data = (self.lookup.find(_join(path, name)) for name in names)
        return Contents([], names, [len(found) if isinstance(found, bytes) else found.size for found in data])

    def _chunk_folder(self, path: str) -> tuple[str, int, int] | None:
        """Return the array and the range of cells that a folder of chunks stands for, None where it is none."""
        owner = self.lookup.owner(path)
        if owner is None:
            return None
        place = _cells_below(self.lookup.layout(owner), path[len(owner) :].strip("/"))
        return None if place is None else (owner, *place[1:])

    def _is_chunk_folder(self, path: str) -> bool:
        owner, start, stop = self._chunk_folder(path) or ("", 0, 0)
        return start < stop and self.lookup.manifest.arrays[owner].references.any_between(start, stop)

    def _all_chunks(self, owner: str, start: int, stop: int) -> Contents:
        """Return the chunks of an array from one cell to before another, by their full names."""
        cells, sizes = self._columns(owner, start, stop)
        names = names_of(self.lookup.layout(owner), cells, f"{owner}/" if owner else "")
        return Contents([], names, _known(sizes))

    def _chunks(self, owner: str, tail: str) -> Contents:
        """Return what lies at `tail`, below the array at `owner`: chunks, or the folders on the way to them."""
        layout = self.lookup.layout(owner)
        place = _cells_below(layout, tail)
        if place is None:
            return Contents()
        depth, start, stop = place
        if layout.head == "c/" and not tail and layout.grid:
            held = self.lookup.manifest.arrays[owner].references.any_between(start, stop)
            return Contents(["c"] if held else [])
        cells, sizes = self._columns(owner, start, stop)
        if layout.separator == "." or not layout.grid:
            return Contents([], names_of(layout, cells), _known(sizes))
        indices = (cells - start) // math.prod(layout.grid[depth + 1 :])
        if depth == len(layout.grid) - 1:
            return Contents([], list(map(str, indices.tolist())), _known(sizes))
        return Contents(list(map(str, np.unique(indices).tolist())))

    def _columns(self, owner: str, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        manifest = self.lookup.manifest
        return _columns(manifest.arrays[owner].references.between(start, stop), manifest.targets)


def _cells_below(layout: ChunkLayout, tail: str) -> tuple[int, int, int] | None:
    """Return how many indices a folder below an array has, and the range of its cells; None where it is no folder."""
    parts = tail.split("/") if tail else []
    whole = (0, 0, math.prod(layout.grid))
    if layout.separator == "." or not layout.grid or not parts:
        return None if parts else whole
    if layout.head and parts.pop(0) != "c":
        return None
    depth = len(parts)
    leading = position(layout, parts) if depth < len(layout.grid) and indices_of(parts) else None
    if leading is None:
        return None
    below = math.prod(layout.grid[depth:])
    return depth, leading * below, (leading + 1) * below


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _known(sizes: npt.NDArray[np.int64]) -> list[int | None]:
    """Return sizes with None for what is not known."""
    known: list[int | None] = sizes.tolist()
    return known if not len(sizes) or sizes.min() >= 0 else [size if size >= 0 else None for size in sizes.tolist()]


def _folders_of(paths: Iterable[str]) -> _Names:
    """Return the folders at `paths` and above, each with the names of the folders in it."""
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
    """Return cells and sizes of all chunks sorted by cell; -1 for a size that is not known."""
    sizes = references.size.astype("i8")
    if not references.inline and not references.whole:
        return references.cell, sizes
    other = {cell: len(data) for cell, data in references.inline.items()}
    whole = ((cell, targets[code].size) for cell, code in references.whole.items())
    other.update((cell, -1 if size is None else size) for cell, size in whole)
    cells = np.concatenate([references.cell, np.fromiter(other, "i8", len(other))])
    order = np.argsort(cells, kind="stable")
    return cells[order], np.concatenate([sizes, np.fromiter(other.values(), "i8", len(other))])[order]


def described(name: str, entry: Entry) -> dict[str, Any]:
    """Describe a folder or file as fsspec does."""
    if entry.folder:
        return {"name": name, "size": 0, "type": "directory"}
    return {"name": name, "size": entry.size, "type": "file"}
