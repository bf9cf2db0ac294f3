"""Nodes of stores, from their documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refmaker.errors import FormatError
from refmaker.zarr_stores.nodes import read_nodes
from tests.zarr_stores.test_store import Memory

ARRAY_2 = {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [2],
    "dtype": "<i4",
    "fill_value": 0,
    "compressor": None,
    "filters": None,
    "order": "C",
}


def store(documents: dict[str, Any], *, listed: bool = True) -> Memory:
    return Memory({key: json.dumps(one).encode() for key, one in documents.items()}, listed=listed)


def test_zarr_2() -> None:
    documents = {".zgroup": {"zarr_format": 2}, ".zattrs": {"a": 1}, "g/x/.zarray": ARRAY_2, "g/x/.zattrs": {"b": 2}}
    nodes = read_nodes(store(documents))
    assert (nodes.zarr_format, nodes.document) == (2, ".zgroup")
    assert nodes.groups == {"": {"a": 1}}
    assert nodes.arrays["g/x"].attributes == {"b": 2}


def test_consolidated_metadata_count_where_nothing_is_listed() -> None:
    inner = {".zgroup": {"zarr_format": 2}, "x/.zarray": ARRAY_2}
    consolidated = {".zmetadata": {"zarr_consolidated_format": 1, "metadata": inner}}
    assert list(read_nodes(store(consolidated, listed=False)).arrays) == ["x"]
    # and not where all is: they may be old
    assert read_nodes(store({".zgroup": {"zarr_format": 2}, **consolidated})).arrays == {}
    with pytest.raises(FormatError, match="not consolidated"):
        read_nodes(store({".zgroup": {"zarr_format": 2}}, listed=False))
    assert list(read_nodes(store({".zarray": ARRAY_2}, listed=False)).arrays) == [""]


def test_a_node_costs_itself() -> None:
    documents = {".zgroup": {"zarr_format": 2}, "x/.zarray": {**ARRAY_2, "shape": "?"}, "y/.zarray": ARRAY_2}
    memory = store(documents)
    memory.data["z/.zarray"] = b"{"
    nodes = read_nodes(memory)
    assert list(nodes.arrays) == ["y"]
    assert set(nodes.refusals) == {"x", "z"}
    assert "shape" in nodes.refusals["x"]
    assert "not JSON" in nodes.refusals["z"]


def test_no_store() -> None:
    with pytest.raises(FormatError, match="no metadata"):
        read_nodes(store({}))
