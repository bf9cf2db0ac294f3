"""Consolidated metadata: all documents of a hierarchy in one.

Contract: pure. Sources: `.zmetadata` as zarr-python 2 writes it (`zarr_consolidated_format` 1); for Zarr 3 the member
`consolidated_metadata` of the document of a group, inline, as zarr-python 3 writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refmaker.zarr.metadata import ZarrFormat
from refmaker.zarr.node_documents import NODE_KEYS

__all__ = ["consolidated_document", "consolidated_key"]


def consolidated_key(zarr_format: ZarrFormat) -> str:
    """Return the last component of the key of consolidated metadata."""
    return ".zmetadata" if NODE_KEYS[zarr_format].attributes else NODE_KEYS[zarr_format].group


def consolidated_document(
    zarr_format: ZarrFormat, nodes: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return the document that holds those of all nodes.

    Parameters
    ----------
    nodes
        Path relative to the group, "" for the group itself -> its documents by the last component of their keys.

    Examples
    --------
    >>> consolidated_document(2, {"": {".zgroup": {"zarr_format": 2}}, "t": {".zattrs": {}}})["metadata"]
    {'.zgroup': {'zarr_format': 2}, 't/.zattrs': {}}
    """
    if NODE_KEYS[zarr_format].attributes:
        metadata = {
            f"{path}/{name}" if path else name: dict(document)
            for path, documents in nodes.items()
            for name, document in documents.items()
        }
        return {"zarr_consolidated_format": 1, "metadata": metadata}
    key = NODE_KEYS[zarr_format].group
    below = {path: dict(documents[key]) for path, documents in nodes.items() if path}
    inline = {"kind": "inline", "must_understand": False, "metadata": below}
    return {**nodes[""][key], "consolidated_metadata": inline}
