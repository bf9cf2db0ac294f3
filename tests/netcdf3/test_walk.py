"""The Tree of a netCDF classic file."""

from __future__ import annotations

import numpy as np
import pytest

import refmaker.netcdf3.walk as walk_module
from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.model import Chunked, Contiguous, FillValue, FixedPoint, String
from refmaker.netcdf3.walk import walk
from tests.netcdf3.classic import STREAMING, Var, build, dtype_of, values
from tests.windows import MemoryWindow, PagedWindow, run_rounds

DIMS = [("t", 0), ("x", 3), ("y", 2)]


def tree_of(data: bytes):
    return walk(MemoryWindow(data), source="memory.nc")


def test_tree():
    data = build(
        5,
        dims=DIMS,
        attributes=[("title", "S1", b"t")],
        variables=[Var("z", [1], "i2"), Var("b", [0, 1, 2], "u2"), Var("a", [], "S1"), Var("t", [0], "f8")],
        records=4,
    )
    tree = tree_of(data)
    assert (tree.kind, tree.source, tree.size) == ("netcdf3", "memory.nc", len(data))
    assert tree.metadata_size == tree.datasets["/z"].storage.offset
    assert tree.metadata_blocks == 1
    assert list(tree.groups) == ["/"]
    assert tree.groups["/"].children == ["z", "b", "a", "t"]
    assert list(tree.datasets) == ["/a", "/b", "/t", "/z"]
    assert list(tree.groups["/"].attributes) == ["title"]
    assert tree.refusals == {}
    assert tree.notes == []
    b = tree.datasets["/b"]
    assert b.path == "/b"
    assert (b.dataspace.kind, b.dataspace.shape, b.dataspace.max_shape) == ("simple", (4, 3, 2), (None, 3, 2))
    assert b.dimensions == ("t", "x", "y")
    assert b.datatype == FixedPoint(2, ">", False, 0, 16)
    assert b.filters == ()
    a = tree.datasets["/a"]
    assert (a.dataspace.kind, a.dataspace.shape, a.dimensions) == ("scalar", (), ())
    assert a.datatype == String(1, 1, "ascii")
    assert len({d.address for d in tree.datasets.values()}) == 4


def test_records_of_several_variables_interleave():
    data = build(dims=DIMS, variables=[Var("a", [0, 1], "i1"), Var("b", [0, 1, 2], "i2")], records=4)
    tree = tree_of(data)
    a, b = tree.datasets["/a"].storage, tree.datasets["/b"].storage
    assert isinstance(a, Chunked)
    assert isinstance(b, Chunked)
    assert (a.chunk_shape, b.chunk_shape) == ((1, 3), (1, 3, 2))
    assert a.index.cell.tolist() == b.index.cell.tolist() == [0, 1, 2, 3]
    assert np.diff(a.index.offset).tolist() == np.diff(b.index.offset).tolist() == [16] * 3
    assert b.index.offset[0] - a.index.offset[0] == 4
    assert a.index.size.tolist() == [3] * 4
    assert b.index.size.tolist() == [12] * 4
    assert not a.index.filter_mask.any()
    columns = (a.index.cell, a.index.offset, a.index.size, a.index.filter_mask)
    assert [c.dtype.str for c in columns] == ["<i8", "<u8", "<u8", "<u4"]


def test_only_record_variable_is_contiguous():
    data = build(dims=DIMS, variables=[Var("a", [0, 1], "i1"), Var("f", [1], "i4")], records=5)
    tree = tree_of(data)
    storage = tree.datasets["/a"].storage
    assert isinstance(storage, Contiguous)
    assert storage.size == 15
    assert values(tree.datasets["/a"], data).tobytes() == data[-15:]


@pytest.mark.parametrize("count", [1, 2])
def test_no_records(count):
    tree = tree_of(build(dims=DIMS, variables=[Var(f"v{i}", [0, 1], "i2") for i in range(count)]))
    for dataset in tree.datasets.values():
        assert dataset.dataspace.shape == (0, 3)
        assert dataset.storage.chunk_shape == (1, 3)
        assert len(dataset.storage.index) == 0


def test_streaming():
    data = build(dims=DIMS, variables=[Var("a", [0, 1], "i1"), Var("b", [0], "i4")], records=STREAMING, tail=6)
    tree = tree_of(data)
    assert tree.datasets["/a"].dataspace.shape == (6, 3)
    assert len(tree.datasets["/b"].storage.index) == 6
    assert tree.notes == ["number of records taken from the size of the file: 6"]


def test_more_records_than_counted_are_noted():
    data = build(dims=DIMS, variables=[Var("a", [0, 1], "i1"), Var("b", [0], "i4")], records=2, tail=6)
    tree = tree_of(data)
    assert tree.datasets["/a"].dataspace.shape == (2, 3)
    assert tree.notes == ["the file holds 6 records, and its header counts 2"]


def test_truncated_fixed_variable_is_refused_by_name():
    data = build(dims=DIMS, variables=[Var("a", [1], "i4"), Var("b", [1], "i4")])
    tree = tree_of(data[:-1])
    assert list(tree.datasets) == ["/a"]
    assert tree.groups["/"].children == ["a"]
    refusal = tree.refusals["/b"]
    assert (refusal.path, refusal.kind) == ("/b", "dataset")
    assert "truncated" in refusal.reason


@pytest.mark.parametrize("count", [1, 2])
def test_truncated_records_are_refused_by_name(count):
    names = ["a", "b"][:count]
    data = build(dims=DIMS, variables=[Var("f", [1], "i4"), *(Var(n, [0], "i4") for n in names)], records=5)
    tree = tree_of(data[: -4 * count])
    assert list(tree.datasets) == ["/f"]
    assert sorted(tree.refusals) == [f"/{n}" for n in names]
    assert "4 of 5 records" in tree.refusals["/a"].reason


def test_record_cut_behind_one_variable_refuses_only_the_next():
    data = build(dims=DIMS, variables=[Var("a", [0], "i4"), Var("b", [0], "i4")], records=5)
    tree = tree_of(data[:-4])
    assert list(tree.datasets) == ["/a"]
    assert list(tree.refusals) == ["/b"]


def test_huge_number_of_records_takes_no_memory():
    data = build(5, dims=DIMS, variables=[Var("a", [0], "i4"), Var("b", [0], "i4")], records=2**62, tail=1)
    tree = tree_of(data)
    assert tree.datasets == {}
    assert sorted(tree.refusals) == ["/a", "/b"]


def test_more_records_than_can_be_listed(monkeypatch):
    monkeypatch.setattr(walk_module, "MAX_RECORDS", 4)
    tree = tree_of(build(dims=DIMS, variables=[Var("a", [0], "i4"), Var("b", [0], "i4")], records=5))
    assert "too many records" in tree.refusals["/a"].reason
    tree = tree_of(build(dims=DIMS, variables=[Var("a", [0], "i4")], records=5))
    assert tree.datasets["/a"].dataspace.shape == (5,)


@pytest.mark.parametrize("name", ["a/b", "a\x00b"])
def test_impossible_name_is_refused(name):
    tree = tree_of(build(variables=[Var(name, [], "i4"), Var("ok", [], "i4")]))
    assert list(tree.datasets) == ["/ok"]
    assert list(tree.refusals) == [f"/{name}"]


def test_contradiction_names_the_source():
    with pytest.raises(FormatError, match=r"memory\.nc.*lies over"):
        tree_of(build(variables=[Var("a", [], "i4", begin=0)]))
    with pytest.raises(TruncatedError, match=r"memory\.nc"):
        tree_of(build(variables=[Var("a", [], "i4")])[:40])
    with pytest.raises(FormatError, match=r"memory\.nc"):
        tree_of(b"")


def test_attributes():
    data = build(
        5,
        attributes=[
            ("text", "S1", "grüße".encode()),
            ("empty text", "S1", b""),
            ("no numbers", "f4", []),
            ("bytes", "i1", [-1]),
            ("unsigned", "u8", [2**64 - 1, 1]),
            ("numbers", "f8", [1.5, np.nan]),
        ],
    )
    found = tree_of(data).groups["/"].attributes
    text = found["text"]
    assert text.value.shape == ()
    assert text.value[()] == "grüße".encode()
    assert (text.dataspace.kind, text.datatype) == ("scalar", String(7, 1, "ascii"))
    assert found["empty text"].value[()] == b""
    assert found["empty text"].value.shape == ()
    assert (found["no numbers"].value.shape, found["no numbers"].dataspace.shape) == ((0,), (0,))
    assert found["bytes"].value.tolist() == [-1]
    assert found["unsigned"].value.tolist() == [2**64 - 1, 1]
    assert found["unsigned"].datatype == FixedPoint(8, ">", False, 0, 64)
    np.testing.assert_array_equal(found["numbers"].value, [1.5, np.nan])


@pytest.mark.parametrize(
    ("kind", "fill"),
    [
        ("i1", -127),
        ("i2", -32767),
        ("i4", -2147483647),
        ("f4", np.float32(9.9692099683868690e36)),
        ("f8", 9.9692099683868690e36),
        ("u1", 255),
        ("u2", 65535),
        ("u4", 2**32 - 1),
        ("i8", -(2**63) + 2),
        ("u8", 2**64 - 2),
        ("S1", b""),
    ],
)
def test_default_fill_values(kind, fill):
    dataset = tree_of(build(5, variables=[Var("v", [], kind)])).datasets["/v"]
    assert len(dataset.fill.value) == dtype_of(dataset).itemsize
    assert np.frombuffer(dataset.fill.value, dtype_of(dataset))[0] == fill


@pytest.mark.parametrize(
    ("attribute", "fill"),
    [
        (("_FillValue", "i2", [7]), b"\x00\x07"),
        (("_FillValue", "i2", [7, 8]), b"\x80\x01"),
        (("_FillValue", "i2", []), b"\x80\x01"),
        (("_FillValue", "i4", [7]), b"\x80\x01"),
        (("_FillValue", "S1", b"ab"), b"\x80\x01"),
        (("missing_value", "i2", [7]), b"\x80\x01"),
    ],
)
def test_fill_value_attribute(attribute, fill):
    dataset = tree_of(build(variables=[Var("v", [], "i2", [attribute])])).datasets["/v"]
    assert dataset.fill == FillValue(fill)
    assert list(dataset.attributes) == [attribute[0]]


@pytest.mark.parametrize("version", [1, 2, 5])
@pytest.mark.parametrize(("size", "limit"), [(10, 1), (20_000, 2), (200_000, 2), (700_000, 3), (6_000_000, 3)])
def test_rounds_over_a_network(version, size, limit):
    attributes = [("history", "S1", bytes(size))]
    data = build(version, dims=DIMS, attributes=attributes, variables=[Var("v", [0, 1], "i2")], records=3)
    window = PagedWindow(data)
    tree, rounds = run_rounds(lambda: walk(window, source="x"), window)
    assert rounds <= limit
    assert len(tree.groups["/"].attributes["history"].value.tobytes()) == size
    assert tree.datasets["/v"].storage == tree_of(data).datasets["/v"].storage


def test_begin_of_the_first_variable_bounds_the_read():
    first = Var("first", [1], "i1")
    others = [Var(f"v{i:04}", [1], "i1", [("long_name", "S1", bytes(40))]) for i in range(1000)]
    data = build(dims=DIMS, variables=[first, *others]) + bytes(10**6)
    window = PagedWindow(data, page=1)
    tree, rounds = run_rounds(lambda: walk(window, source="x"), window)
    assert rounds == 2
    assert len(tree.datasets) == 1001
    assert len(window.held) == tree.metadata_size


def test_header_without_end(monkeypatch):
    monkeypatch.setattr(walk_module, "MAX_HEADER", 64 * 1024)
    data = build(attributes=[("history", "S1", bytes(100_000))])
    with pytest.raises(Unsupported, match="larger than refmaker reads"):
        tree_of(data)


def test_begin_inside_the_header_does_not_stop_the_reading():
    others = [Var(f"v{i:04}", [], "i1") for i in range(1000)]
    with pytest.raises(FormatError, match="lies over"):
        tree_of(build(variables=[Var("first", [], "i1", begin=4), *others]))
