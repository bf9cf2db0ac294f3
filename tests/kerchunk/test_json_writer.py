"""The writer against a plain one, the round trip, and stock readers on what was written."""

import tracemalloc
from dataclasses import replace

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings

from refmaker.errors import ManifestError, OutputError
from refmaker.kerchunk.json_writer import iter_json, read_json, write_json
from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.zarr.metadata import ArrayMetadata
from tests.kerchunk.making import array, comparable, manifests, metadata, parsed_refs, plain_refs, rows, strict_json


def written(manifest):
    return b"".join(iter_json(manifest))


@settings(deadline=None, max_examples=250)
@given(manifests())
def test_round_trip_and_plain_writer(manifest):
    text = written(manifest)
    assert comparable(read_json(text, source="m.json")) == comparable(manifest)
    assert parsed_refs(text) == plain_refs(manifest)
    assert written(read_json(text, source="m.json")) == text
    assert text.startswith(b'{"version":1,"refmaker":{')


def test_a_hundred_thousand_references_equal_the_plain_writer():
    random = np.random.default_rng(5)
    count = 100_000
    cell = np.sort(random.choice(101 * 37 * 53, count, replace=False)).astype("i8")
    offset = random.integers(0, 2**40, count, dtype="u8")
    size = random.integers(0, 10**6, count, dtype="u8")
    sparse = References(cell, random.integers(0, 5, count).astype("u1"), offset, size)
    manifest = Manifest(
        2, {"": {}}, {"x": array((101, 37, 53), sparse)}, tuple(Target(f"s3://b/é {i}") for i in range(5))
    )
    text = written(manifest)
    assert parsed_refs(text) == plain_refs(manifest)
    assert comparable(read_json(text, source="m")) == comparable(manifest)


def test_output_is_deterministic_and_one_reference_a_line():
    manifest = Manifest(2, {"": {}}, {"x": array((40,), rows(range(40), range(40), range(40)))}, (Target("u"),))
    lines = written(manifest).splitlines()
    assert written(manifest).splitlines() == lines
    assert b'"x/39":["u",39,39]' in lines
    assert b'"x/7":["u",7,7],' in lines


def test_blocks_are_bounded_and_so_is_memory():
    count = 400_000
    column = np.arange(count, dtype="u8")
    manifest = Manifest(
        2, {"": {}}, {"x": array((count,), rows(column, column, column))}, (Target("s3://bucket/" + "u" * 60),)
    )
    list(iter_json(Manifest(2, {"": {}}, {}, ())))
    tracemalloc.start()
    sizes = [len(block) for block in iter_json(manifest)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) > 35 << 20
    assert max(sizes) < 4 << 20
    assert peak < 12 << 20


def test_implied_groups_are_written():
    manifest = Manifest(2, {"": {"t": 1}}, {"a/b/x": array(())}, ())
    refs = parsed_refs(written(manifest))
    assert refs["a/.zgroup"] == refs["a/b/.zgroup"] == {"zarr_format": 2}
    assert refs["a/.zattrs"] == {}
    manifest = Manifest(3, {"": {}}, {"a/b/x": array((), zarr_format=3)}, ())
    refs = parsed_refs(written(manifest))
    assert refs["a/b/zarr.json"] == {"zarr_format": 3, "node_type": "group", "attributes": {}}
    assert ".zgroup" not in refs


def test_extension():
    target = Target("s3://b/a.nc", 2**63, '"tag"', 1700000000.1234567)
    manifest = Manifest(2, {"": {}}, {}, (target, Target("b")), refusals={"/x": "why"}, history=["scan"])
    extension = strict_json(written(manifest))["refmaker"]
    tool = extension.pop("tool")
    assert tool.split()[0] == "refmaker"
    assert tool.split()[1][0].isdigit()
    assert extension == {
        "format": 1,
        "targets": [{"url": "s3://b/a.nc", "size": 2**63, "etag": '"tag"', "mtime": 1700000000.1234567}, {"url": "b"}],
        "refusals": {"/x": "why"},
        "history": ["scan"],
    }


def test_names_that_are_not_utf8_can_be_refused_by_name():
    manifest = Manifest(2, {"": {}}, {}, (), refusals={"/caf\udce9": "name is not UTF-8"})
    assert strict_json(written(manifest))["refmaker"]["refusals"] == {"/caf\\udce9": "name is not UTF-8"}


NAN, INF = float("nan"), float("inf")


def one(**changes):
    options = {"cell": [0], "offset": [5], "size": [6], "target": None} | changes
    return Manifest(2, {"": {}}, {"x": array((3,), rows(**options))}, (Target("u"),))


def with_references(**changes):
    manifest = one()
    for name, value in changes.items():
        setattr(manifest.arrays["x"].references, name, value)
    return manifest


@pytest.mark.parametrize(
    ("manifest", "named"),
    [
        (Manifest(2, {"": {"a": [1, {"b": NAN}]}}, {}, ()), "'.zattrs'"),
        (Manifest(2, {"": {}, "g": {"a": INF}}, {}, ()), "'g/.zattrs'"),
        (Manifest(3, {"": {}, "g": {"a": -INF}}, {}, ()), "'g/zarr.json'"),
        (Manifest(2, {"": {}}, {"x": array((), attributes={"v": np.float32(1)})}, ()), "'x/.zattrs'"),
        (
            Manifest(
                2,
                {"": {}},
                {
                    "x": ManifestArray(
                        ArrayMetadata.from_json(metadata(()) | {"fill_value": NAN}), {}, (), References.empty()
                    )
                },
                (),
            ),
            "'x/.zarray'",
        ),
        (Manifest(2, {"": {"a": "\udc80"}}, {}, ()), "'.zattrs'"),
        (Manifest(2, {"": {"\udc80": 1}}, {}, ()), "'.zattrs'"),
        (Manifest(2, {"": {}, "caf\udce9": {}}, {}, ()), "caf\\udce9"),
        (Manifest(2, {"": {}}, {"caf\udce9": array(())}, ()), "caf\\udce9"),
        (Manifest(2, {"": {}}, {}, (Target("file:///caf\udce9"),)), "caf\\udce9"),
        (Manifest(2, {"": {}}, {}, (Target("u", mtime=NAN),)), "refmaker"),
        (Manifest(2, {"": {}}, {}, (Target("u"), Target("u", 5))), "'u'"),
        (Manifest(2, {"": {}}, {}, (Target(""),)), "url"),
        (Manifest(2, {"": {}, "x": {}}, {"x": array(())}, ()), "'x'"),
        (Manifest(2, {"": {}}, {"x": array(()), "x/y": array(())}, ()), "'x/y'"),
        (Manifest(2, {"": {}, "x/y/z": {}}, {"x": array(())}, ()), "'x/y/z'"),
        (Manifest(2, {"": {}}, {"": array(()), "y": array(())}, ()), "''"),
        *((Manifest(2, {"": {}, path: {}}, {}, ()), repr(path)) for path in ("/a", "a/", "a//b", "a/./b", "..", "/")),
        (Manifest(2, {"": {}, "a/" * 1000 + "a": {}}, {}, ()), "over 1000 levels"),
        (Manifest(4, {"": {}}, {}, ()), "2 or 3"),
        (Manifest(3, {"": {}}, {"x": array(())}, ()), "'x'"),
        (
            Manifest(
                2,
                {"": {}},
                {"x": replace(array((3,)), grid=(4,))},
                (),
            ),
            "'x'",
        ),
        (one(cell=[3]), "'x'"),
        (one(cell=[-1]), "'x'"),
        (one(target=[1]), "'x'"),
        (one(cell=[1, 0], offset=[0, 0], size=[0, 0]), "'x'"),
        (one(cell=[1, 1], offset=[0, 0], size=[0, 0]), "'x'"),
        (one(size=[6, 7]), "'x'"),
        (one(offset=[2**64 - 1], size=[1]), "2**64"),
        (with_references(inline={0: b""}), "stands twice"),
        (with_references(whole={0: 0}), "stands twice"),
        (with_references(inline={1: b""}, whole={1: 0}), "stands twice"),
        (with_references(inline={3: b""}), "outside"),
        (with_references(whole={1: 1}), "outside"),
        (with_references(offset=np.array([5], "i8")), "dtype"),
        (with_references(cell=np.array([0], "u8")), "dtype"),
        *(
            (Manifest(2, {"": {}}, {"x": array((3,))}, (), extra={key: b""}), repr(key))
            for key in ("x/1", "x/.zattrs", "zarr.json", "x/01")
        ),
        (Manifest(2, {"": {}}, {}, (), extra={"k\udce9": b""}), "udce9"),
    ],
)
def test_refuses_by_name(manifest, named, tmp_path):
    with pytest.raises(ManifestError) as caught:
        iter_json(manifest)  # before the first block is asked for
    assert named in str(caught.value)
    path = tmp_path / "m.json"
    with pytest.raises(ManifestError):
        write_json(manifest, path)
    assert list(tmp_path.iterdir()) == []


def test_write_json(tmp_path):
    path = tmp_path / "m.json"
    one().to_json(str(path))
    assert path.read_bytes() == written(one())
    with pytest.raises(OutputError, match="No such file or directory"):
        write_json(one(), tmp_path / "missing" / "m.json")


# Stock readers.


def chunked(values, chunks, missing=()):
    """Cut values into whole chunks; give (cell, bytes) of those that are not missing."""
    grid = [-(-n // c) for n, c in zip(values.shape, chunks, strict=True)]
    padded = np.zeros([g * c for g, c in zip(grid, chunks, strict=True)], values.dtype)
    padded[tuple(slice(n) for n in values.shape)] = values
    for cell, index in enumerate(np.ndindex(*grid)):
        where = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))
        if cell not in missing:
            yield cell, np.ascontiguousarray(padded[where]).tobytes()


@pytest.mark.parametrize(
    ("zarr_format", "separator", "encoding"),
    [(2, None, ""), (2, "/", ""), (3, None, "default"), (3, ".", "default"), (3, None, "v2"), (3, "/", "v2")],
)
def test_stock_reference_filesystem_and_zarr(tmp_path, zarr_format, separator, encoding):
    zarr = pytest.importorskip("zarr", minversion="3")
    random = np.random.default_rng(1)
    values = {
        "x": random.integers(0, 99, (7, 50), "i4"),
        "g/h/y": random.integers(0, 99, (5, 4, 3), "i4"),
        "s": np.array(7, "i4"),
    }
    chunks = {"x": (2, 1), "g/h/y": (2, 2, 3), "s": ()}
    targets = tuple(Target(f"file://{tmp_path}/data {i} é.bin") for i in range(2))
    stored = [bytearray(b"head"), bytearray()]
    arrays = {}
    for path, value in values.items():
        cells, codes, offsets, sizes, inline = [], [], [], [], {}
        for cell, data in chunked(value, chunks[path], missing={3}):
            if cell == 1:
                inline[cell] = data
                continue
            code = cell % 2
            cells, codes = [*cells, cell], [*codes, code]
            offsets, sizes = [*offsets, len(stored[code])], [*sizes, len(data)]
            stored[code] += data
        document = metadata(value.shape, zarr_format, separator=separator, encoding=encoding)
        if zarr_format == 2:
            document["chunks"] = list(chunks[path])
        else:
            document["chunk_grid"]["configuration"]["chunk_shape"] = list(chunks[path])
        grid = tuple(-(-n // c) for n, c in zip(value.shape, chunks[path], strict=True))
        refs = rows(cells, offsets, sizes, codes)
        refs.inline = inline
        arrays[path] = ManifestArray(ArrayMetadata.from_json(document), {"units": "µm"}, grid, refs)
    for target, data in zip(targets, stored, strict=True):
        (tmp_path / target.url.rpartition("/")[2]).write_bytes(data)
    manifest = Manifest(zarr_format, {"": {"title": "é"}}, arrays, targets)
    write_json(manifest, tmp_path / "m.json")

    fs = fsspec.filesystem("reference", fo=str(tmp_path / "m.json"), asynchronous=True)
    group = zarr.open_group(zarr.storage.FsspecStore(fs, read_only=True), mode="r", zarr_format=zarr_format)
    assert dict(group.attrs) == {"title": "é"}
    for path, value in values.items():
        expected = value.copy()
        if path != "s":
            index = np.unravel_index(3, arrays[path].grid)
            expected[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks[path], strict=True))] = -1
        np.testing.assert_array_equal(group[path][...], expected)
        assert dict(group[path].attrs) == {"units": "µm"}
