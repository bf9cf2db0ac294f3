"""From a key to what the manifest records for it, by columns.

Contract: a key is parsed once (`Lookup.resolve`); all later steps take what that gave. No key strings are held and
nothing is read. Three answers are kept apart: recorded (bytes, or a `ByteRange`), absent (`FileNotFoundError`), and
never to be filled in (`Unsupported` for what the scan refused, `ManifestError` for a key that no chunk of its array can
have, or a reference that its target cannot hold).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.references import ByteRange
from refmaker.replay.keys import ChunkKeyEncoding, cell_of
from refmaker.zarr import strict_json as strict
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.keys import ancestors
from refmaker.zarr.node_documents import array_documents, group_documents

__all__ = ["ChunkKey", "Lookup", "OtherKey", "ResolvedKey"]


class ChunkKey(NamedTuple):
    """A key that names a chunk of the array at `path`: `cell` is its linear index in the chunk grid (C order)."""

    key: str
    path: str
    cell: int


class OtherKey(NamedTuple):
    """A key that names no chunk of a grid: of a metadata document, of extra data, or of nothing at all."""

    key: str


ResolvedKey: TypeAlias = ChunkKey | OtherKey
"""A parsed key. `key` is as it was asked for, without slashes at its ends."""


class Lookup:
    """What a manifest holds under each key. Keys have no protocol; leading slashes do not count.

    Parameters
    ----------
    withheld
        Paths of arrays that readers must not open -> why.
    loose
        References that are no chunk of any array, by key.

    Attributes
    ----------
    sharded
        The manifest has shards that are read when they are needed.
    """

    def __init__(
        self,
        manifest: Manifest,
        withheld: Mapping[str, str] | None = None,
        loose: Mapping[str, ByteRange] | None = None,
    ) -> None:
        self.manifest = manifest
        self.withheld: Mapping[str, str] = {} if withheld is None else withheld
        self.loose: Mapping[str, ByteRange] = {} if loose is None else loose
        self.sharded = not manifest.is_loaded
        self._key_encodings: dict[str, ChunkKeyEncoding] = {}

    def find(self, key: str) -> bytes | ByteRange:
        """Return what is recorded under a key that was not parsed yet; see `recorded`."""
        return self.recorded(self.resolve(key))

    def recorded(self, resolved: ResolvedKey) -> bytes | ByteRange:
        """Return the metadata or inlined bytes of a key, or where its bytes are.

        Raises
        ------
        FileNotFoundError
            The manifest records nothing under this key: a chunk never written, or no such object.
        Unsupported
            The key belongs to an object that the scan refused.
        ManifestError
            The key is none that a chunk of its array can have, the reference is impossible, or the array withheld.
        """
        if isinstance(resolved, ChunkKey):
            return self._chunk(resolved)
        key = resolved.key
        path, _, name = key.rpartition("/")
        document = self.documents(path).get(name)
        if document is not None:
            if path in self.withheld:
                raise ManifestError(self.withheld[path], path=key)
            return strict.text(document, structure=f"key {key!r}").encode()
        if key in self.manifest.extra:
            return self.manifest.extra[key]
        if key in self.loose:
            return self.loose[key]
        owner = None if name.startswith(".") or name == "zarr.json" else self.owner(key)
        return self._absent(key) if owner is None else self._no_chunk(owner, key)

    def is_loaded(self, resolved: ResolvedKey) -> bool:
        """Return whether `recorded` answers without reading a shard of the manifest."""
        if not self.sharded or not isinstance(resolved, ChunkKey):
            return True
        return self.manifest.arrays[resolved.path].references.is_loaded(resolved.cell)

    def resolve(self, key: str) -> ResolvedKey:
        """Parse a key: the one place where that is done. Whether anything is recorded for it, `recorded` says."""
        key = key.strip("/")
        path = self.owner(key)
        if path is None:
            return OtherKey(key)
        encoding = self._key_encodings.get(path)
        if encoding is None:
            name = key.rpartition("/")[2]
            if name.startswith(".") or name == "zarr.json":
                return OtherKey(key)  # metadata are shown even where the chunk grid is not as they say
            try:
                encoding = self._key_encoding(path)
            except ManifestError:
                return OtherKey(key)  # `recorded` raises it again, with the key
        cell = encoding.cell(key[len(path) + 1 :] if path else key)
        return OtherKey(key) if cell is None else ChunkKey(key, path, cell)

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """Attributes of every group by path, of those too that are only implied by a node below them."""
        manifest = self.manifest
        groups = {} if "" in manifest.arrays else {"": manifest.groups.get("", {})}
        for path in (*manifest.groups, *manifest.arrays):
            for above in ancestors(path):
                groups.setdefault(above, manifest.groups.get(above, {}))
        return groups | manifest.groups

    def documents(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the metadata documents of the array or group at `path` by name; empty where there is none."""
        array = self.manifest.arrays.get(path)
        attributes = self.groups.get(path) if array is None else array.attributes
        if attributes is None:
            return {}
        if array is None:
            return group_documents(self.manifest.zarr_format, attributes)
        return array_documents(array.metadata, attributes)

    def owner(self, key: str) -> str | None:
        """Return the path of the array that `key` lies below, or None."""
        path = key
        while path:
            path = path.rpartition("/")[0]
            if path in self.manifest.arrays:
                return path
        return None

    def layout(self, path: str) -> ChunkLayout:
        """Return the chunk grid of the array at `path` and the spelling of its chunk keys."""
        return self._key_encoding(path).layout

    def _key_encoding(self, path: str) -> ChunkKeyEncoding:
        found = self._key_encodings.get(path)
        if found is None:
            array = self.manifest.arrays[path]
            layout = array.metadata.layout(structure=f"metadata of array {path!r}")
            if layout.grid != array.grid:
                raise ManifestError("chunk grid and metadata differ", path=path, expected=layout.grid, got=array.grid)
            found = self._key_encodings[path] = ChunkKeyEncoding(layout)
        return found

    def _no_chunk(self, path: str, key: str) -> bytes | ByteRange:
        """Return what a key below an array is that is no chunk in its grid."""
        try:
            cell_of(self.layout(path), key[len(path) :].removeprefix("/"))
        except ManifestError as error:
            error.path = key
            raise
        return self._absent(key)

    def _chunk(self, chunk: ChunkKey) -> bytes | ByteRange:
        """Return what is recorded for a chunk, with the size of its target where it is all of that."""
        key, path, cell = chunk
        found = self.manifest.arrays[path].references.at(cell)
        if found is None:
            return self._absent(key)
        if isinstance(found, bytes):
            return found
        target = self._target(key, found.target)
        if found.size is None:
            return found if target.size is None else found._replace(size=target.size)
        offset, size = found.offset, found.size
        if target.size is not None and offset + size > target.size:
            raise ManifestError(
                "the reference reaches beyond the end of its target",
                path=key,
                expected=f"at most {target.size}",
                got=f"{offset} + {size}",
                source=target.url,
            )
        return found

    def _target(self, key: str, target_index: int) -> Target:
        if not 0 <= target_index < len(self.manifest.targets):
            raise ManifestError("the reference points to no target of the manifest", path=key, got=target_index)
        return self.manifest.targets[target_index]

    def _absent(self, key: str) -> bytes:
        """Raise for a key that nothing is recorded under: refused, or absent."""
        path = key
        while path and self.manifest.refusals:
            known = path in self.manifest.arrays or path in self.groups
            if not known and (reason := self.manifest.refusals.get("/" + path)) is not None:
                raise Unsupported(f"refused when the manifest was made: {reason}", path="/" + path)
            path = path.rpartition("/")[0]
        raise FileNotFoundError(errno.ENOENT, "the manifest records nothing under this key", key)
