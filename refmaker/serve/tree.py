"""A manifest as a Zarr tree in one format and one view: what each key is, before any byte of it is read.

Contract: reads go through `refmaker.replay.filesystem.FileSystem`, so that merging, checks of versions and the policy
of targets hold as they do there. Consolidated metadata are made here, from the documents of the nodes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from refmaker.errors import redact_error
from refmaker.file_version import is_weak
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.zarr_conversion import with_zarr_format
from refmaker.replay.filesystem import FileSystem
from refmaker.replay.listing import Listing
from refmaker.replay.loading import LoadedManifest
from refmaker.replay.lookup import ChunkKey, Lookup
from refmaker.zarr import strict_json
from refmaker.zarr.consolidated import consolidated_document, consolidated_key
from refmaker.zarr.metadata import ZarrFormat

__all__ = ["Entity", "Tree", "TreeFileSystem", "TreeKind", "ViewName", "converter"]

ViewName: TypeAlias = Literal["as-stored", "decoded"]

_KIND = re.compile(r"~v([23])-(stored|decoded)")


@dataclass(frozen=True, slots=True)
class TreeKind:
    """Which tree of a manifest: its Zarr format (None: that of the manifest), and chunks as stored or decoded."""

    zarr_format: ZarrFormat | None = None
    view: ViewName = "as-stored"

    @staticmethod
    def parse(part: str) -> TreeKind | None:
        """Return what the first part of a url asks for, such as `~v3-decoded`; None where it asks for no tree."""
        found = _KIND.fullmatch(part)
        if found is None:
            return None
        return TreeKind(2 if found[1] == "2" else 3, "decoded" if found[2] == "decoded" else "as-stored")


class TreeFileSystem(FileSystem):
    """A manifest replayed after `adapt` has made another of it, under the policy of the one that was loaded."""

    def __init__(self, fo: Any = None, *, adapt: Callable[[Manifest], Manifest] | None = None, **options: Any) -> None:
        super().__init__(fo, **options)
        self.adapt = adapt

    async def _adapted(self, opened: LoadedManifest) -> LoadedManifest:
        if self.adapt is None:
            return opened
        made = await asyncio.to_thread(self.adapt, opened.lookup.manifest)
        if made is opened.lookup.manifest:
            return opened
        lookup = Lookup(made, opened.lookup.withheld, opened.lookup.loose)
        return LoadedManifest(opened.location, lookup, Listing(lookup))


@dataclass(frozen=True, slots=True)
class Entity:
    """What stands under a key.

    Attributes
    ----------
    key
        As the filesystem knows it.
    size
        In bytes; None for a whole target whose size nobody recorded.
    data
        The bytes, where the manifest holds them.
    etag
        A strong entity tag; None where nothing tells one version of the bytes from the next.
    chunk
        Whether it is a chunk, or else metadata.
    """

    key: str
    size: int | None
    data: bytes | None
    etag: str | None
    chunk: bool


class Tree:
    """A manifest as a Zarr tree.

    Parameters
    ----------
    fs
        Replays it.
    kind
        Which tree it is.
    version
        Of the manifest: what tells it from the next. None where nothing does.
    """

    def __init__(self, fs: FileSystem, kind: TreeKind, version: Hashable | None) -> None:
        self.fs = fs
        self.kind = kind
        self.version = version
        salt = repr((kind.zarr_format, kind.view, fs.chunk_target, version)).encode()
        self._salt = hashlib.blake2b(salt, digest_size=32).digest()
        self._opened: LoadedManifest | None = None
        self._consolidated: dict[str, bytes] = {}
        self._checked = 0
        self._versioned = True

    async def opened(self) -> LoadedManifest:
        """Return the manifest, loaded; raises as `FileSystem` does."""
        if self._opened is None:
            self._opened = (await self.fs._ready()).opened
        return self._opened

    async def entity(self, key: str) -> Entity:
        """Return what stands under a key.

        Raises
        ------
        FileNotFoundError
            The manifest records nothing under it.
        RefmakerError
            It was refused, or its array is withheld, or it is malformed.
        """
        opened = self._opened or await self.opened()
        lookup = opened.lookup
        folder, _, name = key.rpartition("/")
        if name == consolidated_key(lookup.manifest.zarr_format) and folder in lookup.groups:
            data = self._consolidated.get(folder)
            if data is None:
                data = self._consolidated[folder] = await asyncio.to_thread(_consolidated, lookup, folder)
            return Entity(key, len(data), data, _tag(data), False)
        resolved = lookup.resolve(key)
        found = lookup.recorded(resolved) if lookup.is_loaded(resolved) else (await opened.recorded([resolved]))[0]
        if isinstance(found, Exception):
            raise found
        chunk = isinstance(resolved, ChunkKey)
        if isinstance(found, bytes):
            return Entity(key, len(found), found, _tag(found), chunk)
        return Entity(key, found.size, None, self._etag(key), chunk)

    async def read(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return bytes of a key; raises as `FileSystem` does."""
        data: bytes = await self.fs._cat_file(key, start, stop)
        return data

    async def size(self, key: str) -> int | None:
        """Return the size of what stands under a key whose size the manifest does not record."""
        info = await self.fs._info(key)
        size: int | None = info["size"]
        return size

    def conceal(self, error: Exception) -> None:
        """Leave secrets of this manifest's options out of an error."""
        redact_error(error, self.fs._secrets)  # type: ignore[arg-type]  # any exception has causes

    def _etag(self, key: str) -> str | None:
        """Return the tag of bytes in a target: of their place, where every target is held to a version."""
        if self.version is None or self.fs.access.check != "strict" or not self._all_versioned():
            return None
        return _tag(key.encode("utf-8", "surrogatepass"), self._salt)

    def _all_versioned(self) -> bool:
        """Return whether all targets that are known have a version; sets of shards add some as they are read."""
        stored = self.fs._opened  # the decoded view shows targets that are nowhere
        targets = stored.lookup.manifest.targets if stored is not None else ()
        while self._versioned and self._checked < len(targets):
            target = targets[self._checked]
            strong = target.etag is not None and not is_weak(target.etag)
            self._versioned = strong or target.mtime is not None
            self._checked += 1
        return self._versioned


def converter(zarr_format: ZarrFormat | None) -> Callable[[Manifest], Manifest] | None:
    """Return what makes a manifest one of a Zarr format; None where it stays as it is."""
    if zarr_format is None:
        return None

    def convert(manifest: Manifest) -> Manifest:
        made = with_zarr_format(manifest, zarr_format)
        if made is manifest:
            return manifest
        extra = {key: data for key, data in made.extra.items() if key.rpartition("/")[2] != ".zmetadata"}
        return replace(made, extra=extra)  # consolidated metadata of the other format would be taken for these

    return convert


def _tag(data: bytes, salt: bytes = b"") -> str:
    return f'"{hashlib.blake2b(data, key=salt, digest_size=12).hexdigest()}"'


def _consolidated(lookup: Lookup, folder: str) -> bytes:
    """Return consolidated metadata of a group. Withheld arrays are not in them; their own documents say why."""
    lead = f"{folder}/" if folder else ""
    paths = [*lookup.groups, *(path for path in lookup.manifest.arrays if path not in lookup.withheld)]
    nodes = {path[len(lead) :]: lookup.documents(path) for path in sorted(paths) if path.startswith(lead)}
    nodes = {"": lookup.documents(folder)} | nodes
    document = consolidated_document(lookup.manifest.zarr_format, nodes)
    return strict_json.text(document, structure=f"consolidated metadata of /{folder}").encode()
