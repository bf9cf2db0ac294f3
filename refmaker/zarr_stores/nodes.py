"""The nodes of a Zarr store: its groups, its arrays, and what is refused of them.

Contract: documents are read as the reader of manifests reads them (`kerchunk.nodes`), node by node: one that is
malformed, or says what is not known here, costs itself. Of a store that lists nothing, the consolidated metadata say
what there is. Sources: Zarr v2 and v3 specifications; zarr-python's `.zmetadata` and `consolidated_metadata`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refmaker.codecs.allowed import unknown_codecs
from refmaker.errors import FormatError, ManifestError, RefmakerError, Unsupported
from refmaker.kerchunk.nodes import take_nodes
from refmaker.manifest.manifest import ManifestArray
from refmaker.zarr.keys import METADATA
from refmaker.zarr.metadata import ZarrFormat
from refmaker.zarr.strict_json import key_name, parse
from refmaker.zarr.understood import not_understood
from refmaker.zarr_stores.store import NODE_LEAVES, Store, read_documents

__all__ = ["Nodes", "read_nodes"]

_CONSOLIDATED = ".zmetadata"
_LEAF_3 = METADATA[3][0]


@dataclass(slots=True)
class Nodes:
    """What a store holds.

    Attributes
    ----------
    document
        Key of the document that stands for the store: the root's, or the first there is.
    groups, arrays
        By Zarr path; arrays are without references yet.
    refusals
        Path of a node -> reason.
    """

    zarr_format: ZarrFormat
    document: str
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)


def read_nodes(store: Store) -> Nodes:
    """Read all metadata of a store.

    Raises
    ------
    FormatError
        It has none, or lists nothing and has no consolidated ones.
    """
    keys = sorted((key for key in store.entries if _leaf(key) in NODE_LEAVES), key=lambda key: (key.count("/"), key))
    if not keys:
        raise FormatError("no metadata of Zarr", source=store.url)
    texts = read_documents(store, [key for key in keys if store.listed is False or _leaf(key) != _CONSOLIDATED])
    documents: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for key, text in texts.items():
        try:
            documents[key] = parse(text, structure=key_name(key), source=store.url)
        except ManifestError as error:
            broken[key] = str(error)
    if not store.listed:
        documents = _of_consolidated(documents, store.url)
    zarr_format: ZarrFormat = 3 if any(_leaf(key) == _LEAF_3 for key in (*documents, *broken)) else 2
    own = [key for key in keys if _leaf(key) in METADATA[zarr_format] and _leaf(key) != ".zattrs"]
    nodes = Nodes(zarr_format, (own or keys)[0])
    for key, reason in broken.items():
        nodes.refusals[_path(key)] = reason
    for path, documents_there in _by_node(documents).items():
        _take(nodes, path, documents_there, store.url)
    if "" not in nodes.arrays:
        nodes.groups.setdefault("", {})
    return nodes


def _leaf(key: str) -> str:
    return key.rpartition("/")[2]


def _path(key: str) -> str:
    return key.rpartition("/")[0]


def _by_node(documents: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return path -> key -> document."""
    found: dict[str, dict[str, Any]] = {}
    for key, document in documents.items():
        found.setdefault(_path(key), {})[key] = document
    return found


def _of_consolidated(documents: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the documents of all nodes of a store that lists nothing."""
    whole = documents.pop(_CONSOLIDATED, None)
    if isinstance(whole, Mapping) and isinstance(whole.get("metadata"), Mapping):
        return {str(key): document for key, document in whole["metadata"].items()}
    root = documents.get(_LEAF_3)
    inner = root.get("consolidated_metadata") if isinstance(root, Mapping) else None
    if isinstance(inner, Mapping) and isinstance(inner.get("metadata"), Mapping):
        return documents | {f"{path}/{_LEAF_3}": document for path, document in inner["metadata"].items()}
    if ".zarray" in documents or (isinstance(root, Mapping) and root.get("node_type") == "array"):
        return documents
    message = (
        "the server lists nothing and the metadata of the store are not consolidated: nobody can tell what is in it"
    )
    raise FormatError(message, source=url, expected="`zarr.consolidate_metadata`, or a store that is listed")


def _take(nodes: Nodes, path: str, documents: dict[str, Any], url: str) -> None:
    """Add a node, or why there is none."""
    other = [key for key in documents if _leaf(key) not in METADATA[nodes.zarr_format]]
    if other:
        if _leaf(other[0]) == ".zarray":
            nodes.refusals.setdefault(path, "an array of Zarr 2 in a store of Zarr 3: scan it by its own path")
        documents = {key: document for key, document in documents.items() if key not in other}
    if not documents or path in nodes.refusals:
        return
    array = any(_leaf(key) == ".zarray" for key in documents) or any(
        isinstance(one, Mapping) and one.get("node_type") == "array" for one in documents.values()
    )
    named = list(documents)
    try:
        found = take_nodes(documents, url)
        if not array:
            nodes.groups |= {name: attributes for name, attributes in found.groups.items() if name == path}
            return
        nodes.arrays[path] = _checked(found.arrays[path], named[0])
    except RefmakerError as error:
        nodes.refusals[path] = str(error)


def _checked(array: ManifestArray, key: str) -> ManifestArray:
    """Refuse an array of which something is not known here."""
    array.metadata.check()
    unknown = unknown_codecs(array.metadata.document)
    if unknown:
        raise Unsupported(f"the codec {unknown[0][:60]!r} is not among those that manifests may name", structure=key)
    problem = not_understood(array.metadata)
    if problem is not None:
        raise Unsupported(problem, structure=key)
    return array
