"""From the path of a url to a tree and a key in it; manifests are found again when they change.

Contract: directories and manifests are looked at again after `FRESH` seconds, off the event loop, and never while
somebody else does so. A manifest that changed is loaded anew, and answers that are under way end as they began. A
name that is gone is no absent chunk: see `NotServed`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refmaker.errors import SourceError
from refmaker.replay.loading import manifest_state
from refmaker.serve.names import Names
from refmaker.serve.tree import Tree, TreeFileSystem, TreeKind, converter

__all__ = ["FRESH", "Catalogue", "NotServed", "Place"]

FRESH = 2.0
"""Seconds for which a directory, or the version of a manifest, is taken to be as it was seen."""

KEPT = 64
"""Trees that are kept open, the ones used last."""

_METADATA = re.compile(r"(\.z(array|attrs|group|metadata)|zarr\.json|[^/]*\.[a-z]+|)")


class NotServed(Exception):
    """No manifest has this name. `chunk`: a client may have asked for a chunk of one that was there before."""

    def __init__(self, path: str, *, chunk: bool) -> None:
        super().__init__(path)
        self.chunk = chunk


@dataclass(frozen=True, slots=True)
class Place:
    """A name, the tree of it that is asked for, and a key in that."""

    name: str
    kind: TreeKind
    key: str


@dataclass(slots=True)
class _Opened:
    tree: Tree
    version: Hashable | None
    looked: float


@dataclass(slots=True)
class Catalogue:
    """All that is served.

    Attributes
    ----------
    names
        Which manifests there are.
    kind
        Of the trees whose urls do not say it.
    options
        For `FileSystem`.
    """

    names: Names
    kind: TreeKind = field(default_factory=TreeKind)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _found: dict[str, str] = field(default_factory=dict)
    _listed: float = float("-inf")
    _opened: OrderedDict[tuple[str, TreeKind], _Opened] = field(default_factory=OrderedDict)
    _looking: dict[Any, asyncio.Future[Any]] = field(default_factory=dict)

    async def manifests(self) -> dict[str, str]:
        """Return name -> path or url of what is served now; raises `SourceError` where a directory cannot be listed."""
        if time.monotonic() - self._listed > FRESH:
            await self._once("names", self._list())
        return self._found

    async def place(self, path: str) -> Place:
        """Return what a path, without a slash in front, means.

        Raises
        ------
        NotServed
            No manifest has a name that it could begin with.
        """
        first, _, rest = path.partition("/")
        kind = TreeKind.parse(first) if first.startswith("~") else None
        wanted = path if kind is None else rest
        found = self._split(wanted)
        if found is None:
            await self.manifests()
            found = self._split(wanted)
        if found is None:
            raise NotServed(path, chunk="/" in wanted and not _METADATA.fullmatch(wanted.rpartition("/")[2]))
        return Place(found[0], kind or self.kind, found[1])

    async def tree(self, name: str, kind: TreeKind) -> Tree:
        """Return a tree of the manifest of a name that `place` gave; raises `SourceError` where it is not there."""
        held = self._opened.get((name, kind))
        if held is not None and time.monotonic() - held.looked < FRESH:
            return held.tree
        found: Tree = await self._once((name, kind), self._look(name, kind))
        return found

    def _split(self, path: str) -> tuple[str, str] | None:
        """Take a path apart into a name and a key. No name lies in another one: manifests are files, or sets."""
        at = path.find("/")
        while True:
            name = path if at < 0 else path[:at]
            if name in self._found:
                return name, "" if at < 0 else path[at + 1 :]
            if at < 0:
                return None
            at = path.find("/", at + 1)

    async def _once(self, what: Any, work: Any) -> Any:
        """Do what nobody does yet, or wait for who does it."""
        under_way = self._looking.get(what)
        if under_way is not None and under_way.get_loop() is asyncio.get_running_loop():
            work.close()
        else:
            under_way = self._looking[what] = asyncio.ensure_future(work)
            under_way.add_done_callback(lambda done: self._done(what, done))
        return await asyncio.shield(under_way)

    def _done(self, what: Any, done: asyncio.Future[Any]) -> None:
        if self._looking.get(what) is done:
            del self._looking[what]
        if not done.cancelled():
            done.exception()

    async def _list(self) -> None:
        self._found = await asyncio.to_thread(self.names.find)
        self._listed = time.monotonic()

    async def _look(self, name: str, kind: TreeKind) -> Tree:
        location = (await self.manifests()).get(name)
        if location is None:
            self._opened.pop((name, kind), None)
            raise SourceError("the manifest is not served any more", source=name)
        version = await asyncio.to_thread(manifest_state, location, self.names.storage_options)
        held = self._opened.get((name, kind))
        if held is None or version is None or version != held.version:
            held = _Opened(Tree(self._replay(location, kind), kind, version), version, 0.0)
            await held.tree.opened()
            self._opened[name, kind] = held
        held.looked = time.monotonic()
        self._opened.move_to_end((name, kind))
        while len(self._opened) > KEPT:
            self._opened.popitem(last=False)
        return held.tree

    def _replay(self, location: str, kind: TreeKind) -> TreeFileSystem:
        view = "decoded" if kind.view == "decoded" else "transparent"
        return TreeFileSystem(
            location,
            adapt=converter(kind.zarr_format),
            view=view,
            target_options=self.names.storage_options,
            asynchronous=True,
            **self.options,
        )
