"""Columns of composite arrays in JSON: exact, and bounded before they are unpacked."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest

from refmaker.errors import ManifestError
from refmaker.kerchunk import composites
from refmaker.kerchunk.composites import MARK, composites_from_json, composites_to_json, stub, with_stubs
from refmaker.manifest.manifest import Manifest, Target
from tests.manifest.test_composite import composite


def manifest() -> Manifest:
    return Manifest(2, {"": {}}, {}, (Target("a.nc"),), composites={"v": composite()})


def test_there_and_back() -> None:
    document = json.loads(json.dumps(composites_to_json(manifest()), allow_nan=False))
    assert composites_from_json({"composites": document}, 2, 1, "m.json") == ({"v": composite()}, {})


def test_no_composite_arrays() -> None:
    assert composites_from_json({}, 2, 1, "m.json") == ({}, {})
    bare = Manifest(2, {"": {}}, {}, ())
    assert with_stubs(bare) is bare


def test_what_readers_of_others_find() -> None:
    found = stub(composite())
    assert (found.metadata.shape, found.metadata.chunk_shape) == ((7, 2), (7, 2))
    assert "refmaker://" in found.attributes[MARK]
    with pytest.raises(zlib.error):
        zlib.decompress(found.references.inline[0])
    assert list(with_stubs(manifest()).arrays) == ["v"]


@pytest.mark.parametrize("values", [[], [5], [1, 1, 1, 2], list(range(100)), [-1, 3] * 80], ids=str)
def test_columns(values: list[int]) -> None:
    column = np.array(values, "i8")
    written = composites._column(column)
    assert np.array_equal(composites._values(written, 1000), column)
    assert "rle" in written or "zlib" in written


BOMB = {"n": 10, "dtype": "<i8", "zlib": base64.b64encode(zlib.compress(bytes(1 << 20))).decode()}
WRONG: list[dict[str, Any]] = [
    {"n": 1 << 40, "rle": [[0, 1 << 40]]},
    {"n": 3, "rle": [[0, 2]]},
    {"n": 3, "rle": [[0, 4], [0, -1]]},
    {"n": 3.0, "rle": [[0, 3]]},
    {"n": 3, "rle": [[True, 3]]},
    BOMB,
    {**BOMB, "zlib": "?"},
    {**BOMB, "dtype": "O"},
]


@pytest.mark.parametrize("column", WRONG, ids=lambda one: str(one)[:40])
def test_columns_that_are_none(column: dict[str, Any]) -> None:
    document = composites_to_json(manifest())
    document["arrays"]["v"]["form"] = column
    with pytest.raises(ManifestError, match="composite"):
        composites_from_json({"composites": document}, 2, 1, "m.json")


def test_many_numbers_in_a_few_bytes() -> None:
    """Bounds stand before the memory is taken."""
    for name, value in (
        ("operands", [{"n": 2, "rle": [[0, 2]]}] * 100_000),
        ("references", {"cell": {"n": 1 << 28, "rle": [[1, 1 << 28]]}}),
        ("form", {"n": 1 << 24, "rle": [[0, 1 << 24]]}),
    ):
        document = composites_to_json(manifest())
        document["arrays"]["v"][name] = value
        tracemalloc.start()
        with pytest.raises(ManifestError, match="composite"):
            composites_from_json({"composites": document}, 2, 1, "m.json")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
        tracemalloc.stop()


def test_more_chunks_than_are_held() -> None:
    document = composites_to_json(manifest())
    one = document["arrays"]["v"]
    one["metadata"] = {**one["metadata"], "shape": [1 << 50, 2], "chunks": [1, 2]}
    with pytest.raises(ManifestError, match="chunk grid"):
        composites_from_json({"composites": document}, 2, 1, "m.json")


def test_an_array_of_no_rows() -> None:
    from dataclasses import replace

    none = replace(composite(), metadata=composite().metadata.replaced(shape=[0, 2]))
    found = stub(none)
    assert (found.metadata.chunk_shape, found.grid, found.references.inline) == ((1, 2), (0, 1), {})


def test_another_version() -> None:
    document = {**composites_to_json(manifest()), "version": 2}
    made, refused = composites_from_json({"composites": document}, 2, 1, "m.json")
    assert made == {}
    assert "newer refmaker" in refused["v"]


def test_arrays_of_another_version_are_refused_by_name_and_the_rest_is_read() -> None:
    document = manifest().to_dict()
    document["refmaker"]["composites"]["version"] = 2
    found = Manifest.from_dict(document)
    assert (found.arrays, found.composites) == ({}, {})
    assert "newer refmaker" in found.refusals["/v"]


def test_references_to_no_target() -> None:
    with pytest.raises(ManifestError):
        composites_from_json({"composites": composites_to_json(manifest())}, 2, 0, "m.json")
