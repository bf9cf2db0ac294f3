"""The metadata documents of the nodes of a Zarr store: which there are, under which names.

Contract: pure. Zarr 2 keeps attributes in a document of their own, Zarr 3 in that of the node. Sources: Zarr v2
specification, "Storage"; Zarr v3 core, "Group metadata", "Array metadata".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.zarr.metadata import ArrayMetadata, ZarrFormat

__all__ = ["NODE_KEYS", "NodeKeys", "array_documents", "group_documents", "split_attributes"]


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The last component of the keys of metadata.

    Attributes
    ----------
    attributes
        Of the document that holds attributes alone, None where the node's own document holds them.
    """

    array: str
    group: str
    attributes: str | None


NODE_KEYS: Mapping[ZarrFormat, NodeKeys] = {
    2: NodeKeys(".zarray", ".zgroup", ".zattrs"),
    3: NodeKeys("zarr.json", "zarr.json", None),
}


def array_documents(metadata: ArrayMetadata, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documents of an array by the last component of their keys."""
    return _documents(metadata.zarr_format, NODE_KEYS[metadata.zarr_format].array, metadata.to_json(), attributes)


def group_documents(zarr_format: ZarrFormat, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documents of a group by the last component of their keys."""
    own: dict[str, Any] = {"zarr_format": zarr_format}
    if NODE_KEYS[zarr_format].attributes is None:
        own["node_type"] = "group"
    return _documents(zarr_format, NODE_KEYS[zarr_format].group, own, attributes)


def split_attributes(zarr_format: ZarrFormat, document: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the document of a node without its attributes, and these; None where they have a document of their own."""
    own = dict(document)
    return own, own.pop("attributes", {}) if NODE_KEYS[zarr_format].attributes is None else None


def _documents(
    zarr_format: ZarrFormat, key: str, own: dict[str, Any], attributes: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    apart = NODE_KEYS[zarr_format].attributes
    if apart is None:
        return {key: {**own, "attributes": dict(attributes)}}
    return {key: own, apart: dict(attributes)}
