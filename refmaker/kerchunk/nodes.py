"""The Zarr metadata in a kerchunk manifest: which groups and arrays there are.

Contract: metadata stand in the manifest itself, as JSON or as a string of JSON; consolidated metadata are derived, and
left out. Sources: Zarr v2 specification, "Storage"; Zarr v3 core, "Group metadata", "Array metadata".
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from refmaker.codecs.allowed import check_codecs
from refmaker.errors import ManifestError
from refmaker.kerchunk.chunk_columns import inline_data
from refmaker.manifest.check import check_nodes
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import chunk_layout
from refmaker.zarr.keys import METADATA
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.strict_json import key_name, malformed, parse, utf8_checked

__all__ = ["LEAVES", "MetadataElsewhereError", "take_nodes"]

Document: TypeAlias = dict[str, Any]

_CONSOLIDATED = ".zmetadata"
LEAVES = (*METADATA[2], *METADATA[3], _CONSOLIDATED)
"""Last component of keys that only metadata have."""


class MetadataElsewhereError(ManifestError):
    """Metadata stand in another file: who opens the manifest for replay reads them first."""


def take_nodes(refs: dict[str, Any], source: str) -> Manifest:
    """Take the metadata out of `refs`, and give a manifest of the groups and arrays, without references yet."""
    documents = _documents(refs, source)
    zarr_format: Literal[2, 3] = 3 if documents["zarr.json"] else 2
    if zarr_format == 3 and any(documents[leaf] for leaf in METADATA[2]):
        raise ManifestError("metadata of both Zarr 2 and Zarr 3", structure="refs", source=source)
    groups, arrays = _nodes_3(documents, source) if zarr_format == 3 else _nodes_2(documents, source)
    if "" not in arrays:
        groups = {"": {}, **groups}
    check_nodes(groups, arrays, source=source)
    return Manifest(zarr_format, groups, arrays, ())


def _documents(refs: dict[str, Any], source: str) -> dict[str, dict[str, Document]]:
    """Return leaf (such as `.zarray`) -> path of the node -> its JSON."""
    documents: dict[str, dict[str, Document]] = {leaf: {} for leaf in LEAVES}
    for key in [key for key in refs if key.endswith(LEAVES)]:
        path, slash, leaf = key.rpartition("/")
        if slash and not path:
            raise malformed("bad key", structure=key_name(key), expected="no leading /", got=key, source=source)
        if leaf in documents:
            value = refs.pop(key)
            if leaf != _CONSOLIDATED:
                documents[leaf][path] = _document(key, value, source)
    return documents


def _document(key: str, value: object, source: str) -> Document:
    if isinstance(value, list):
        message = "metadata by reference are not supported here; refmaker.FileSystem reads them"
        raise MetadataElsewhereError(message, structure=key_name(key), source=source)
    escaped = True
    if not isinstance(value, dict):
        data = inline_data(key, value, source)
        value, escaped = parse(data, structure=key_name(key), source=source), b"\\u" in data
    if not isinstance(value, dict):
        raise malformed("bad metadata", structure=key_name(key), expected="an object", got=value, source=source)
    return utf8_checked(value, structure=key_name(key), source=source) if escaped else value


def _key(path: str, leaf: str) -> str:
    return key_name(f"{path}/{leaf}" if path else leaf)


def _nodes_2(
    documents: dict[str, dict[str, Document]], source: str
) -> tuple[dict[str, Document], dict[str, ManifestArray]]:
    attributes = documents[".zattrs"]
    for path, group in documents[".zgroup"].items():
        _check_format(group, 2, _key(path, ".zgroup"), source)
    arrays = {
        path: _array(metadata, attributes.get(path, {}), 2, _key(path, ".zarray"), source)
        for path, metadata in documents[".zarray"].items()
    }
    # Attributes alone make a group too: they would be lost otherwise.
    paths = dict.fromkeys([*documents[".zgroup"], *(path for path in attributes if path not in arrays)])
    return {path: attributes.get(path, {}) for path in paths}, arrays


def _nodes_3(
    documents: dict[str, dict[str, Document]], source: str
) -> tuple[dict[str, Document], dict[str, ManifestArray]]:
    groups: dict[str, Document] = {}
    arrays: dict[str, ManifestArray] = {}
    for path, node in documents["zarr.json"].items():
        where = _key(path, "zarr.json")
        attributes = node.pop("attributes", {})
        if not isinstance(attributes, dict):
            raise malformed("bad attributes", structure=where, expected="an object", got=attributes, source=source)
        if node.get("node_type") == "group":
            _check_format(node, 3, where, source)
            groups[path] = attributes
        else:
            arrays[path] = _array(node, attributes, 3, where, source)
    return groups, arrays


def _check_format(group: Document, zarr_format: int, where: str, source: str) -> None:
    got = group.get("zarr_format")
    if type(got) is not int or got != zarr_format:
        raise malformed("bad zarr_format", structure=where, expected=str(zarr_format), got=got, source=source)


def _array(metadata: Document, attributes: Document, zarr_format: int, where: str, source: str) -> ManifestArray:
    layout = chunk_layout(metadata, zarr_format, structure=where, source=source)
    check_codecs(metadata, structure=where, source=source)
    return ManifestArray(ArrayMetadata.from_json(metadata), attributes, layout.grid, References.empty())
