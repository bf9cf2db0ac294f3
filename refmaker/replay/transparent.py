"""A manifest as it is: the bytes of its chunks as they stand in the targets.

Contract: `View` is what the filesystem shows, whichever way it is made. A view has keys and folders (`opened`), and
reads what a key refers to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from refmaker.replay.engine import Variable
from refmaker.replay.keys import cell_of
from refmaker.replay.lookup import Reference
from refmaker.replay.merging import SMALL, Request
from refmaker.replay.opening import Opened
from refmaker.replay.targets import Targets

__all__ = ["Transparent", "View", "Wanted"]

Wanted: TypeAlias = tuple[str, Reference, int | None, int | None]
"""Key, what it refers to, and the slice of that: start and end as slices have them."""


class View(Protocol):
    """What a filesystem shows of a manifest."""

    opened: Opened

    async def read(self, key: str, found: Reference, start: int | None, end: int | None) -> bytes:
        """Give a slice of what a key refers to; raises a `RefmakerError` where it cannot be read."""
        ...

    async def read_all(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """Give slices of what keys refer to, for each its bytes or its error."""
        ...

    async def size(self, key: str, found: Reference) -> int | None:
        """Look up the size of what a key refers to where the manifest does not say; None where nobody does."""
        ...


class Transparent:
    """A manifest as it is; see `View`."""

    def __init__(self, opened: Opened, targets: Targets) -> None:
        self.opened = opened
        self.targets = targets
        self._variables: dict[str, Variable] = {}

    async def read(self, key: str, found: Reference, start: int | None, end: int | None) -> bytes:
        """See `View.read`."""
        engine = await self.targets.engine()
        if found.size is None:
            return (await engine.read(Request(key, found.target, 0, None)))[start:end]
        if start is not None or end is not None:
            return await engine.read(_part(key, found, start, end))
        request = Request(key, found.target, found.offset, found.size)
        if found.size > SMALL:
            return await engine.read(request)
        return await engine.read(request, *self._place(key.strip("/")))

    async def read_all(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """See `View.read_all`."""
        read = await (await self.targets.engine()).read_all([_part(*one) for one in wanted])
        cuts = [slice(start, end) if found.size is None else slice(None) for _, found, start, end in wanted]
        return [data if isinstance(data, Exception) else data[cut] for data, cut in zip(read, cuts, strict=True)]

    async def size(self, key: str, found: Reference) -> int | None:
        """See `View.size`."""
        return await self.targets.size(found.target, key) if found.size is None else found.size

    def _place(self, key: str) -> tuple[Variable | None, int]:
        """Give the array and cell of a chunk, so that the next can be foreseen."""
        lookup = self.opened.lookup
        if lookup.sharded:  # its columns are read when they are asked for: looking ahead would read all of them
            return None, 0
        path = lookup.owner(key)
        if path is None:
            return None, 0
        variable = self._variables.get(path)
        if variable is None:
            array = lookup.manifest.arrays[path]
            variable = self._variables[path] = Variable(path, array.grid, array.references)
        cell = cell_of(lookup.layout(path), key[len(path) :].removeprefix("/"))
        return (None, 0) if cell is None else (variable, cell)


def _part(key: str, found: Reference, start: int | None, end: int | None) -> Request:
    """Give what is to be read for a slice of a key."""
    if found.size is None:
        return Request(key, found.target, 0, None)
    first, stop, _ = slice(start, end).indices(found.size)
    return Request(key, found.target, found.offset + first, max(stop - first, 0))
