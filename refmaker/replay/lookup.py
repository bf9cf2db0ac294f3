"""From a key to what the manifest records for it, by columns.

Contract: no key strings are held and nothing is read. Three answers are kept apart: recorded (bytes, or a `ChunkRef`),
absent (`FileNotFoundError`), and never to be filled in (`Unsupported` for what the scan refused, `ManifestError` for a
key that no chunk of its array can have, or a reference that its target cannot hold).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.keys import ChunkKeyEncoding, cell_of
from refmaker.zarr import strict_json as strict
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.keys import ancestors
from refmaker.zarr.node_documents import array_documents, group_documents

__all__ = ["Lookup", "ChunkRef"]


class ChunkRef(NamedTuple):
    """`size` bytes from `offset` of target number `target`; `size` None: all of a target whose size is not recorded."""

    target: int
    offset: int
    size: int | None


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
        loose: Mapping[str, ChunkRef] | None = None,
    ) -> None:
        self.manifest = manifest
        self.withheld: Mapping[str, str] = {} if withheld is None else withheld
        self.loose: Mapping[str, ChunkRef] = {} if loose is None else loose
        self.sharded = not manifest.is_loaded
        self._key_encodings: dict[str, ChunkKeyEncoding] = {}

    def find(self, key: str) -> bytes | ChunkRef:
        """Return the metadata or inlined bytes of `key`, or where its bytes are.

        Raises
        ------
        FileNotFoundError
            The manifest records nothing under this key: a chunk never written, or no such object.
        Unsupported
            The key belongs to an object that the scan refused.
        ManifestError
            The key is none that a chunk of its array can have, the reference is impossible, or the array withheld.
        """
        key = key.strip("/")
        place = self.place(key)
        if place is not None:
            return self._recorded(key, *place)
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
        return self._absent(key) if owner is None else self._chunk(owner, key)

    def is_loaded(self, key: str) -> bool:
        """Return whether `find` answers without reading a shard of the manifest."""
        if not self.sharded:
            return True
        place = self.place(key.strip("/"))
        return place is None or self.manifest.arrays[place[0]].references.is_loaded(place[1])

    def place(self, key: str) -> tuple[str, int] | None:
        """Return array and cell of a key without leading slashes, None where it is no chunk in the grid of an array."""
        path = self.owner(key)
        if path is None:
            return None
        spelling = self._key_encodings.get(path)
        if spelling is None:
            name = key.rpartition("/")[2]
            if name.startswith(".") or name == "zarr.json":
                return None
            try:
                spelling = self._key_encoding(path)
            except ManifestError:
                return None
        cell = spelling.cell(key[len(path) + 1 :] if path else key)
        return None if cell is None else (path, cell)

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

    def _chunk(self, path: str, key: str) -> bytes | ChunkRef:
        """Return what a key below an array is that is no chunk in its grid."""
        try:
            cell_of(self.layout(path), key[len(path) :].removeprefix("/"))
        except ManifestError as error:
            error.path = key
            raise
        return self._absent(key)

    def _recorded(self, key: str, path: str, cell: int) -> bytes | ChunkRef:
        found = self.manifest.arrays[path].references.at(cell)
        if found is None:
            return self._absent(key)
        if isinstance(found, bytes):
            return found
        code, offset, size = found
        return self._reference(key, code, offset, self._target(key, code).size if size is None else size)

    def _target(self, key: str, code: int) -> Target:
        if not 0 <= code < len(self.manifest.targets):
            raise ManifestError("the reference points to no target of the manifest", path=key, got=code)
        return self.manifest.targets[code]

    def _reference(self, key: str, code: int, offset: int, size: int | None) -> ChunkRef:
        target = self._target(key, code)
        if size is not None and target.size is not None and offset + size > target.size:
            raise ManifestError(
                "the reference reaches beyond the end of its target",
                path=key,
                expected=f"at most {target.size}",
                got=f"{offset} + {size}",
                source=target.url,
            )
        return ChunkRef(code, offset, size)

    def _absent(self, key: str) -> bytes:
        """Raise for a key that nothing is recorded under: refused, or absent."""
        path = key
        while path and self.manifest.refusals:
            known = path in self.manifest.arrays or path in self.groups
            if not known and (reason := self.manifest.refusals.get("/" + path)) is not None:
                raise Unsupported(f"refused when the manifest was made: {reason}", path="/" + path)
            path = path.rpartition("/")[0]
        raise FileNotFoundError(errno.ENOENT, "the manifest records nothing under this key", key)
