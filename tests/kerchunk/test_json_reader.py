"""Foreign, odd, malformed and hostile manifests."""

import copy
import gc
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import ManifestError
from refmaker.kerchunk.json_writer import iter_json, read_json
from refmaker.manifest import Target


def zarray(shape=(4, 3), chunks=(2, 1), **more):
    return {"zarr_format": 2, "shape": list(shape), "chunks": list(chunks), "dtype": "<i4", "fill_value": 0} | more


def node(shape=(4,), chunks=(1,), **more):
    grid = {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}
    encoding = {"name": "default", "configuration": {"separator": "/"}}
    document = {"zarr_format": 3, "node_type": "array", "shape": list(shape), "chunk_grid": grid}
    return document | {"chunk_key_encoding": encoding, "attributes": {"u": 1}} | more


def v1(refs, **more):
    return {"version": 1, "refs": refs} | more


def read(document):
    return read_json(document if isinstance(document, bytes) else json.dumps(document).encode(), source="m.json")


def rows(manifest, path="x"):
    r = manifest.arrays[path].references
    columns = (r.cell, r.target, r.offset, r.size)
    return [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


# What is read.


def test_version_0_and_1_say_the_same():
    refs = {".zgroup": {"zarr_format": 2}, "x/.zarray": zarray(), "x/.zattrs": {"u": "m"}, "x/0.0": ["a", 1, 2]}
    manifest = read(refs)
    assert repr(manifest) == repr(read(v1(refs)))
    assert repr(manifest) == repr(
        read(v1({key: json.dumps(value) if isinstance(value, dict) else value for key, value in refs.items()}))
    )
    assert manifest.arrays["x"].attributes == {"u": "m"}
    assert manifest.arrays["x"].grid == (2, 3)
    assert manifest.targets == (Target("a"),)


def test_values_of_every_shape_in_any_order():
    refs = {
        "x/1.2": ["b", 30, 4],
        "x/1.1": "base64:AAEC",
        "x/.zarray": zarray(),
        "x/0.2": ["a"],
        "x/0.1": "plain é",
        "x/1.0": {"json": 1},
        "x/0.0": ["a", 2**63, 2**63 - 1],
    }
    manifest = read(v1(refs))
    assert [target.url for target in manifest.targets] == ["a", "b"] or [t.url for t in manifest.targets] == ["b", "a"]
    a, b = (manifest.targets.index(Target(url)) for url in "ab")
    assert rows(manifest) == [(0, a, 2**63, 2**63 - 1), (5, b, 30, 4)]
    references = manifest.arrays["x"].references
    assert references.inline == {1: "plain é".encode(), 3: b'{"json": 1}', 4: b"\0\1\2"}
    assert references.whole == {2: a}
    assert len(references) == manifest.chunks == 6


@pytest.mark.parametrize(
    ("leaf", "document", "keys"),
    [
        (".zarray", zarray(), ["0.0", "1.2"]),
        (".zarray", zarray(dimension_separator="/"), ["0/0", "1/2"]),
        (".zarray", zarray(dimension_separator=None), ["0.0", "1.2"]),
        ("zarr.json", node((4, 3), (2, 1)), ["c/0/0", "c/1/2"]),
        ("zarr.json", node((4, 3), (2, 1), chunk_key_encoding={"name": "default"}), ["c/0/0", "c/1/2"]),
        ("zarr.json", node((4, 3), (2, 1), chunk_key_encoding={"name": "v2"}), ["0.0", "1.2"]),
    ],
)
@pytest.mark.parametrize("path", ["x", "g.h/é 0", ""])
def test_key_spellings(leaf, document, keys, path):
    below = f"{path}/" if path else ""
    refs = {below + leaf: document} | {below + key: ["u", i, 9] for i, key in enumerate(keys)}
    manifest = read(v1(refs))
    assert [row[0] for row in rows(manifest, path)] == [0, 5]
    assert set(manifest.groups) == (set() if path == "" else {""})
    assert repr(read(b"".join(iter_json(manifest))).arrays) == repr(manifest.arrays)


def test_scalars():
    manifest = read(v1({"x/.zarray": zarray((), ()), "x/0": ["u", 1, 2], "y/.zarray": zarray((), ()), "y/0": "data"}))
    assert rows(manifest) == [(0, 0, 1, 2)]
    assert manifest.arrays["y"].references.inline == {0: b"data"}
    assert rows(read(v1({"x/zarr.json": node((), ()), "x/c": ["u", 1, 2]}))) == [(0, 0, 1, 2)]


def test_empty_extents():
    manifest = read(v1({"x/.zarray": zarray((0, 5), (0, 5)), "y/.zarray": zarray((0, 5), (3, 5))}))
    assert [array.grid for array in manifest.arrays.values()] == [(0, 1), (0, 1)]


def test_bare_nan_becomes_what_zarr_writes():
    text = (
        b'{"x/.zarray": {"zarr_format":2,"shape":[],"chunks":[],"fill_value":NaN}, "x/.zattrs": "{\\"a\\":-Infinity}"}'
    )
    manifest = read(text)
    assert manifest.arrays["x"].metadata.document["fill_value"] == "NaN"
    assert manifest.arrays["x"].attributes == {"a": "-Infinity"}
    assert b"".join(iter_json(manifest))


def test_keys_outside_the_grid_are_counted():
    refs = {
        "x/.zarray": zarray(),
        "x/2.0": ["u", 0, 1],
        "x/0.3": "",
        "x/0.0": ["u", 5, 6],
        f"x/0.{10**30}": ["v", 0, 1],
    }
    manifest = read(v1(refs))
    assert rows(manifest) == [(0, 0, 5, 6)]
    assert manifest.history == ["read: 3 keys outside the chunk grid of 'x' left out"]
    assert manifest.targets == (Target("u"),)


def test_other_data_is_kept_and_consolidated_metadata_are_not():
    refs = {
        ".zmetadata": "{}",
        "g/.zmetadata": ["u", 0, 1],
        "x/.zarray": zarray(),
        "x/README": "base64:aGk=",
        "LICENSE.txt": "text",
        "x/c/0": "deep",
        "x/.zarray.bak": {"a": 1},
    }
    manifest = read(v1(refs))
    assert manifest.extra == {"x/README": b"hi", "LICENSE.txt": b"text", "x/c/0": b"deep", "x/.zarray.bak": b'{"a": 1}'}
    assert list(manifest.groups) == [""]
    assert read(b"".join(iter_json(manifest))).extra == manifest.extra


@pytest.mark.parametrize("deep", ["x/0/0/0", "x/0" * 40, "x" + "/0" * 200])
def test_what_a_key_means_does_not_depend_on_its_neighbours(deep):
    for refs in ({**X, "x/0.0": ["u", 1, 2], deep: "data"}, {**X, deep: "data", "x/0.0": ["u", 1, 2]}):
        with pytest.raises(ManifestError, match="bad chunk key"):
            read(v1(refs))


def test_groups_without_attributes_and_attributes_without_group():
    manifest = read(v1({"g/.zgroup": '{"zarr_format":2}', "h/.zattrs": {"a": 1}, "x/.zarray": zarray()}))
    assert manifest.groups == {"": {}, "g": {}, "h": {"a": 1}}


def test_templates():
    refs = {"x/.zarray": zarray()} | {
        "x/0.0": ["{{u}}", 0, 1],
        "x/0.1": ["s3://{{ bucket }}/{{u}}/{b}", 0, 1],
        "x/0.2": ["plain", 0, 1],
        "x/1.0": ["{{ u }}"],
    }
    manifest = read(v1(refs, templates={"u": "file.nc", "bucket": "b", "call": "{{c}}.nc"}))
    assert [target.url for target in manifest.targets] == ["file.nc", "s3://b/file.nc/{b}", "plain"]
    assert manifest.arrays["x"].references.whole == {3: 0}


def test_a_key_that_stands_twice_and_says_the_same():
    text = b'{"version": 1, "refs": {"x": {"a": 1, "b": 2}, "y": "z", "x": {"b": 2, "a": 1}, "y": "z"}}'
    assert read(text).extra == {"x": b'{"b": 2, "a": 1}', "y": b"z"}


def test_braces_are_literal_where_there_are_no_templates():
    assert read(v1({"x/.zarray": zarray(), "x/0.0": ["{{u}}{%", 0, 1]})).targets == (Target("{{u}}{%"),)


def test_targets_of_ours_keep_their_order_and_identity():
    listed = [{"url": "b", "size": 7, "etag": "e", "mtime": 1}, {"url": "a"}]
    extension = {"format": 1, "targets": listed, "future": {"x": 1}}
    manifest = read(v1({"x/.zarray": zarray(), "x/0.0": ["a", 0, 1]}, refmaker=extension, other=[1]))
    assert manifest.targets == (Target("b", 7, "e", 1), Target("a"))
    assert rows(manifest) == [(0, 1, 0, 1)]


@pytest.mark.filterwarnings("ignore")  # whatever kerchunk and its dependencies are deprecating
def test_kerchunk_output(tmp_path):
    h5py = pytest.importorskip("h5py")
    hdf = pytest.importorskip("kerchunk.hdf")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(60, dtype="f4").reshape(6, 10)
        file.create_dataset("g/y", data=np.arange(4000.0).reshape(40, 100), chunks=(7, 30), compression="gzip")
        file["g"].attrs["nan"] = np.nan
        file["scalar"] = 3.5
        file.create_dataset("empty", shape=(0,), dtype="i4")
        file["text"] = ["a", "bb"]
        big = file.create_dataset("big", data=np.arange(10**4))
        chunks = {
            tuple(chunk.chunk_offset): (chunk.byte_offset, chunk.size)
            for chunk in map(file["g/y"].id.get_chunk_info, range(file["g/y"].id.get_num_chunks()))
        }
        expected = {chunk[0] // 7 * 4 + chunk[1] // 30: place for chunk, place in chunks.items()}
        contiguous = (big.id.get_offset(), big.id.get_storage_size())
    # kerchunk calls zarr's thread while it holds h5py's lock; a garbage collection there that meets an h5py object
    # waits for that lock for ever.
    gc.collect()
    gc.disable()
    try:
        document = hdf.SingleHdf5ToZarr(str(path), inline_threshold=100).translate()
    finally:
        gc.enable()
    manifest = read(json.dumps(document).encode())
    # With the newest zarr, kerchunk leaves out the array without elements.
    assert set(manifest.arrays) | {"empty"} == {"x", "g/y", "scalar", "empty", "text", "big"}
    assert manifest.groups == {"": {}, "g": {"nan": "NaN"}}
    assert {cell: (offset, size) for cell, _, offset, size in rows(manifest, "g/y")} == expected
    assert rows(manifest, "big") == [(0, 0, *contiguous)]
    assert [target.url for target in manifest.targets] == [str(path)]
    assert manifest.arrays["scalar"].references.inline == {0: np.float64(3.5).tobytes()}
    again = read(b"".join(iter_json(manifest)))
    assert again.groups == manifest.groups
    assert repr(again.arrays) == repr(manifest.arrays)


# What is refused.

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": -}', "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (b'{"a": 1}{}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": 1e999}', "beyond the range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (DEEP, "deeply"),
        (b'{"x/.zattrs": "' + DEEP + b'"}', "'x/.zattrs'.*deeply"),
        (b'{"x/.zattrs": ' + b'{"a":' * 10**5 + b"1" + b"}" * 10**5 + b"}", "deeply"),
        ([], "expected an object, got \\[\\]"),
        (b"NaN", "expected an object"),
        ({"refs": {}}, "no version"),
        *(({"version": version, "refs": {}}, "unknown version") for version in (0, 2, 1.0, "1", True, None, [])),
        ({"version": 1, "ref": {}}, "no references"),
        *((v1(refs), "refs: .*expected an object") for refs in ([], None, "x", 1)),
        (v1({}, gen=[{"key": "x/{{i}}", "url": "u", "dimensions": {"i": {"stop": 5}}}]), "'x/0': .*not a chunk"),
        (b'{"version": 1, "refs": {}, "refs": {"a": "b"}}', "'refs' stands twice"),
        (b'{"version": 1, "version": 1.0, "refs": {}}', "'version' stands twice"),
        (b'{"version": 1, "refs": {"x/0": ["a", 1, 2], "y": "z", "x/0": ["a", 1, 3]}}', "'x/0' stands twice.*2.*3"),
        (b'{"version": 1, "refs": {".zattrs": "{\\"a\\": 1, \\"a\\": true}"}}', "zattrs.*'a' stands twice"),
        (v1({}, gen={"a": 1}), "gen"),
        (v1({}, templates=[1]), "templates"),
        (v1({}, templates={"u": 1}), "templates"),
        (v1({}, refmaker=[]), "refmaker"),
        *((v1({}, refmaker={"format": f}), "refmaker.format") for f in (0, 2, "1", None, True, 1.0)),
        *(
            (v1({}, refmaker={"format": 1} | part), f"refmaker.{next(iter(part))}|url of a target|lone surrogate")
            for part in (
                {"targets": {}},
                {"targets": [1]},
                {"targets": [{}]},
                {"targets": [{"url": 1}]},
                {"targets": [{"url": ""}]},
                {"targets": [{"url": "a"}, {"url": "a"}]},
                {"targets": [{"url": "\udc80"}]},
                {"targets": [{"url": "a", "size": -1}]},
                {"targets": [{"url": "a", "size": 2**64}]},
                {"targets": [{"url": "a", "size": 1.5}]},
                {"targets": [{"url": "a", "size": True}]},
                {"targets": [{"url": "a", "etag": 1}]},
                {"targets": [{"url": "a", "mtime": "1"}]},
                {"targets": [{"url": "a", "mtime": float("nan")}]},
                {"targets": [{"url": "a", "mtime": 10**400}]},
                {"refusals": []},
                {"refusals": {"a": 1}},
                {"history": {}},
                {"history": [1]},
            )
        ),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_malformed_document(document, said):
    with pytest.raises(ManifestError, match=said) as caught:
        read(document)
    assert caught.value.source == "m.json"
    assert len(str(caught.value)) < 500


X = {"x/.zarray": zarray()}


@pytest.mark.parametrize(
    ("refs", "key"),
    [
        # values
        *(
            ({**X, "x/0.1": ["u", 0, 1], "x/0.0": value}, "x/0.0")
            for value in (
                [], ["u", 1], ["u", 1, 2, 3], ["u", 1.0, 2], ["u", 1, 2.5], ["u", True, 2], ["u", 1, False],
                ["u", "1", 2], ["u", None, 2], ["u", -1, 2], ["u", 1, -2], ["u", 2**64, 1], ["u", 1, 2**64],
                ["u", 10**30, 1], ["u", 2**64 - 1, 1], ["u", float("nan"), 1], ["u", [], 1], [None, 1, 2], [1, 2, 3],
                [["u"], 1, 2], [{"a": 1}, 1, 2], [None], [1], None, 1, 1.5, True, "base64:AA", "base64:A A=",
                "base64:é", "\ud800",
            )
        ),
        # chunk keys
        *(
            ({**X, f"x/{name}": ["u", 1, 2]}, f"x/{name}")
            for name in (
                "0", "0.0.0", "00.0", "0.00", "+1.0", "-1.0", "0.-1", "1.0.", "1", "0/0", "0. 0", "0.0\n", "٠.0",
                "1e0.0", "0x0.0", "0..0", "01.1", "junk", ".0", "c/0/0", "README", "0.0/0", "/0.0", "", "0.0\n0.1",
            )
        ),
        ({**X, "x/0.00": "inline"}, "x/0.00"),
        ({"x/.zarray": zarray((), ()), "x/0.0": ["u", 1, 2]}, "x/0.0"),
        ({"x/.zarray": zarray(dimension_separator="/"), "x/0.0": ["u", 1, 2]}, "x/0.0"),
        ({"x/zarr.json": node(), "x/c/00": ["u", 1, 2]}, "x/c/00"),
        ({"x/zarr.json": node(), "x/0": ["u", 1, 2]}, "x/0"),
        ({"x/zarr.json": node(), "x/c": "data"}, "x/c"),
        ({"x/zarr.json": node(), "x/c.0": ["u", 1, 2]}, "x/c.0"),
        ({"y/0.0": ["u", 1, 2]}, "y/0.0"),
        ({"a" + "/0" * 10**5: ["u", 1, 2], **X}, "a/0/0"),
        ({"k": None}, "k"),
        ({"k\udc80": "data"}, "k\udc80"),
        # metadata
        *(
            ({key: value}, key)
            for key in (".zgroup", "g/.zattrs", "g/.zarray", "zarr.json")
            for value in (
                ["u", 0, 1], ["u"], "", "{", "[]", "3", 3, None, True, "base64:!", "base64:e30", "base64:/w==",
                "\ud800",
            )
        ),
        ({".zgroup": {"zarr_format": 3}}, ".zgroup"),
        ({"g/.zgroup": {}}, "g/.zgroup"),
        ({"g/zarr.json": {"zarr_format": 2, "node_type": "group"}}, "g/zarr.json"),
        ({"g/zarr.json": {"zarr_format": 3, "node_type": "table"}}, "g/zarr.json"),
        ({"g/zarr.json": node(attributes=[])}, "g/zarr.json"),
        *(
            ({"x/.zarray": zarray() | change}, "x/.zarray")
            for change in (
                {"shape": None}, {"shape": 4}, {"shape": ["4", 3]}, {"shape": [4.0, 3]}, {"shape": [True, 3]},
                {"shape": [-1, 3]}, {"shape": [10**30, 3]}, {"shape": [4]}, {"shape": [1] * 10**6},
                {"shape": [1] * 65, "chunks": [1] * 65}, {"shape": [2**62, 2**62], "chunks": [1, 1]},
                {"chunks": [0, 1]}, {"chunks": [2]}, {"chunks": None}, {"chunks": [-1, 1]}, {"chunks": "21"},
                {"dimension_separator": "-"}, {"dimension_separator": ""}, {"dimension_separator": "./"},
                {"dimension_separator": 1}, {"zarr_format": 3}, {"zarr_format": None}, {"zarr_format": "2"},
            )
        ),
        *(
            ({"x/zarr.json": node() | change}, "x/zarr.json")
            for change in (
                {"chunk_grid": None}, {"chunk_grid": {"name": "rectilinear"}}, {"chunk_grid": {"name": "regular"}},
                {"chunk_grid": {"name": "regular", "configuration": {}}}, {"chunk_key_encoding": []},
                {"chunk_key_encoding": {"name": "other"}}, {"chunk_key_encoding": {"name": ["v2"]}},
                {"chunk_key_encoding": {"name": "v2", "configuration": []}},
                {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": None}}}, {"shape": "4"},
                {"zarr_format": 2},
            )
        ),
    ],
)  # fmt: skip
def test_malformed_reference(refs, key):
    with pytest.raises(ManifestError) as caught:
        read(v1(refs))
    assert caught.value.source == "m.json"
    assert repr(key)[:-1] in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("refs", "said"),
    [
        ({"g/.zgroup": {"zarr_format": 2}, "x/zarr.json": node()}, "both Zarr 2 and Zarr 3"),
        ({"x/.zarray": zarray(), "x/.zgroup": {"zarr_format": 2}}, "both an array and a group"),
        ({"x/.zarray": zarray(), "x/y/.zarray": zarray()}, "inside the array 'x'"),
        ({".zarray": zarray(), "y/.zgroup": {"zarr_format": 2}}, "inside the array ''"),
        ({"x//.zarray": zarray()}, "not the path"),
        ({"../x/.zarray": zarray()}, "not the path"),
        ({"/.zarray": zarray()}, "no leading /"),
        ({"x/" * 5000 + ".zarray": zarray()}, "over 1000 levels"),
        ({"x\udc80/.zarray": zarray()}, "lone surrogate"),
        ({**X, "x/0.0": ["\udc80", 1, 2]}, "lone surrogate"),
        ({**X, "x/0.0": ["", 1, 2]}, "empty"),
    ],
)
def test_contradictions(refs, said):
    with pytest.raises(ManifestError, match=said) as caught:
        read(v1(refs))
    assert caught.value.source == "m.json"


@pytest.mark.parametrize(
    "url",
    [
        "{{f(c='x')}}", "{{missing}}", "{{u}}{{", "{{ u | upper }}", "{{u}} {% if 1 %}", "{{call}}", "{{u.__class__}}",
        "{{}}", "{# u #}", "a}}{{u}}",
    ],
)  # fmt: skip
def test_templates_are_never_evaluated(url):
    templates = {"u": "file.nc", "f": "{{c}}.nc", "call": "{{u}}"}
    for value in ([url, 0, 1], [url]):
        with pytest.raises(ManifestError, match="template") as caught:
            read(v1({**X, "x/0.0": value}, templates=templates))
        assert repr(url) in str(caught.value)


def test_a_target_that_ours_does_not_list():
    with pytest.raises(ManifestError, match=re.escape("refmaker.targets, got 'b'")):
        read(v1({**X, "x/0.0": ["b", 0, 1]}, refmaker={"format": 1, "targets": [{"url": "a"}]}))


odd = st.sampled_from(
    [
        None, True, 0, 1, -1, 3, 2**63, 2**64, 10**30, 0.5, float("nan"), "", "x", "base64:", "base64:_", "{}", "[",
        "{{u}}", [], {}, [1], ["u"], ["u", 1, 2], ["u", 2**64 - 1, 2], [[]], {"a": 1}, {"zarr_format": 2}, zarray(),
        node(),
    ]
)  # fmt: skip
odd_keys = st.sampled_from(
    ["x/0.0", "x/0.1", "x", "x/", "/", "", "x/.zarray", "x/zarr.json", ".zgroup", "y/0", "x/c/0", "gen", "refs"]
)
REFS_2 = {
    ".zgroup": {"zarr_format": 2},
    "x/.zarray": zarray(),
    "x/.zattrs": {"a": [1]},
    "x/0.0": ["{{u}}", 1, 2],
    "x/1.1": "base64:AA==",
    "x/0.2": ["v"],
}
REFS_3 = {
    "zarr.json": {"zarr_format": 3, "node_type": "group"},
    "x/zarr.json": node(),
    "x/c/0": ["u", 1, 2],
    "x/c/2": "data",
}
EXTENSION = {
    "format": 1,
    "targets": [{"url": "u", "size": 5, "etag": "e", "mtime": 0.5}],
    "refusals": {"/y": "no"},
    "history": ["h"],
}
GOOD = [v1(REFS_2, templates={"u": "file"}), v1(REFS_3, refmaker=EXTENSION)]


def read_or_refuse(document):
    """Return what is read of a document, or None after a `ManifestError` as it must be."""
    try:
        return read(document)
    except ManifestError as error:
        if error.source != "m.json":
            raise
        return None


def containers(value):
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_odd_values_anywhere(data):
    document = json.loads(json.dumps(data.draw(st.sampled_from(GOOD))))
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(containers(document))
        place = places[data.draw(st.integers(0, len(places) - 1))]
        if isinstance(place, dict):
            key = data.draw(st.sampled_from(sorted(place)) | odd_keys if place else odd_keys)
        elif place:
            key = data.draw(st.integers(0, len(place) - 1))
        else:
            continue
        if data.draw(st.booleans()) and key in place:
            del place[key]
        else:
            place[key] = copy.deepcopy(data.draw(odd))
    manifest = read_or_refuse(document)
    if manifest is not None:
        again = read(b"".join(iter_json(manifest)))
        assert repr(again.arrays) == repr(manifest.arrays)
        assert again.targets == manifest.targets


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_text(data):
    text = bytearray(json.dumps(data.draw(st.sampled_from(GOOD))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    read_or_refuse(bytes(text))


def test_templates_that_make_much(monkeypatch):
    """One long template in one reference, or in each of many: refused before it is there."""
    import tracemalloc

    from refmaker import limits

    def read(templates, urls):
        document = {"version": 1, "templates": templates, "refs": {".zgroup": '{"zarr_format":2}'}}
        document["refs"]["a/.zarray"] = json.dumps(
            {
                "zarr_format": 2,
                "shape": [len(urls)],
                "chunks": [1],
                "dtype": "|u1",
                "compressor": None,
                "filters": None,
                "fill_value": 0,
                "order": "C",
            }
        )
        document["refs"] |= {f"a/{number}": [url, 0, 1] for number, url in enumerate(urls)}
        data = json.dumps(document).encode()
        tracemalloc.start()
        try:
            return read_json(data, source="m")
        finally:
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
            tracemalloc.stop()

    with pytest.raises(ManifestError, match="too long a url"):
        read({"t": "x" * 300_000}, ["{{t}}" * 3000])
    with pytest.raises(ManifestError, match="too long a url"):
        read({"t": "x" * 300_000}, [f"{{{{t}}}}{number}" for number in range(3000)])
    with pytest.raises(ManifestError, match="too long a url"):
        read({"t": "x"}, ["{{t}}" * 8193])
    assert len(read({"t": "x"}, ["{{t}}" * 8192]).targets[0].url) == 8192
    monkeypatch.setattr(limits, "TEMPLATED", 10_000)
    with pytest.raises(ManifestError, match="templates make too much"):
        read({"t": "x" * 1000}, [f"{{{{t}}}}{number}" for number in range(10)])
    assert len(read({"t": "x" * 1000}, [f"{{{{t}}}}{number}" for number in range(9)]).targets) == 9
    assert len(read({"t": "x" * 5000}, ["{{t}}"] * 9).targets) == 1


SURROGATES = ["\\ud800", "\\udfff", "\\udc00\\ud800", "a\\uD83D"]


@pytest.mark.parametrize("escape", SURROGATES)
@pytest.mark.parametrize("form", ["string", "object", "key", "group", "array", "etag", "history"])
def test_lone_surrogates_are_refused_when_read(escape, form):
    """What cannot be written is not read either: JSON can spell text that no UTF-8 can hold."""
    array = '{"zarr_format":2,"shape":[2],"chunks":[2],"dtype":"|u1","compressor":null,"filters":null,'
    array += '"fill_value":0,"order":"C"%s}'
    attributes = '{"a":"ESC"}'.replace("ESC", escape)
    refs = {".zgroup": '{"zarr_format":2}', "x/.zarray": array % "", "x/.zattrs": "{}", "x/0": "AB"}
    extension = ""
    if form == "group":
        refs[".zattrs"] = attributes
    elif form == "array":
        refs["x/.zarray"] = array % ',"note":"ESC"'.replace("ESC", escape)
    elif form == "key":
        refs["x/.zattrs"] = '{"ESC":1}'.replace("ESC", escape)
    elif form == "string":
        refs["x/.zattrs"] = attributes
    elif form == "etag":
        extension = ',"refmaker":{"format":1,"targets":[{"url":"u","etag":"ESC"}]}'.replace("ESC", escape)
    elif form == "history":
        extension = ',"refmaker":{"format":1,"history":["ESC"]}'.replace("ESC", escape)
    data = json.dumps({"version": 1, "refs": refs})[:-1] + extension + "}"
    if form == "object":
        data = data.replace('"x/.zattrs": "{}"', '"x/.zattrs": ' + attributes)
    with pytest.raises(ManifestError, match="lone surrogate") as caught:
        read_json(data.encode(), source="m.json")
    assert "m.json" in str(caught.value)
    assert str(caught.value).isprintable()


def test_pairs_of_surrogates_are_text():
    refs = {".zgroup": '{"zarr_format":2}', ".zattrs": '{"a":"\\ud83d\\ude00"}'}
    found = read_json(json.dumps({"version": 1, "refs": refs}).encode(), source="m")
    assert found.groups[""] == {"a": "😀"}
    assert b"".join(iter_json(found))
