from __future__ import annotations

import json

import pytest

from refmaker.errors import ManifestError, Unsupported
from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.references import ByteRange
from refmaker.replay.lookup import ChunkKey, Lookup, OtherKey
from tests.replay.scenes import HEAD, VALUES, array, manifest, references, scene


def found(held: Manifest, key: str) -> object:
    return Lookup(held).find(key)


def test_metadata_of_format_2() -> None:
    lookup = Lookup(scene("u"))
    assert json.loads(lookup.find(".zgroup")) == {"zarr_format": 2}
    assert json.loads(lookup.find("g/.zattrs")) == {}
    assert json.loads(lookup.find("g/x/.zarray"))["shape"] == [6, 4]
    assert json.loads(lookup.find("/g/x/.zattrs")) == {"_ARRAY_DIMENSIONS": ["y", "x"]}


def test_metadata_of_format_3() -> None:
    lookup = Lookup(scene("u", zarr_format=3))
    assert json.loads(lookup.find("zarr.json")) == {"zarr_format": 3, "node_type": "group", "attributes": {}}
    document = json.loads(lookup.find("g/x/zarr.json"))
    assert document["node_type"] == "array"
    assert document["attributes"] == {}


def test_groups_that_are_only_implied() -> None:
    held = scene("u")
    held.groups = {"": {"title": "t"}}
    assert json.loads(Lookup(held).find("g/.zgroup")) == {"zarr_format": 2}
    assert json.loads(Lookup(held).find(".zattrs")) == {"title": "t"}


def test_chunks() -> None:
    lookup = Lookup(scene("u"))
    assert lookup.find("g/x/0.0") == ByteRange(0, len(HEAD), 32)
    assert lookup.find("g/x/2.0") == VALUES[4:].tobytes()


def test_chunks_of_format_3() -> None:
    lookup = Lookup(scene("u", zarr_format=3))
    assert lookup.find("g/x/c/0/0") == ByteRange(0, len(HEAD), 32)
    assert lookup.find("g/x/c/2/0") == VALUES[4:].tobytes()


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".zarray",
        ".zmetadata",
        "zarr.json",
        "g",
        "g/x",
        "g/.zarray",
        "g/x/.zgroup",
        "g/x/zarr.json",
        "g/x/.zmetadata",
        "g/x/y/.zarray",
        "g/x/1.0",  # in the grid, never written
        "g/x/3.0",  # outside the grid
        "g/x/0.1",
        "y/0.0",
        "g/xx/0.0",
        "x/0.0",
    ],
)
def test_absent(key: str) -> None:
    with pytest.raises(FileNotFoundError):
        found(scene("u"), key)


@pytest.mark.parametrize("key", ["g/x/0", "g/x/0/0", "g/x/0.00", "g/x/c/0/0", "g/x/0.0.0", "g/x/notes.txt"])
def test_no_chunk_is_called_so(key: str) -> None:
    with pytest.raises(ManifestError, match="not a chunk key") as error:
        found(scene("u"), key)
    assert error.value.path == key


@pytest.mark.parametrize("key", ["g/bad", "g/bad/.zarray", "g/bad/zarr.json", "g/bad/0.0", "g/bad/below/0"])
def test_refused(key: str) -> None:
    with pytest.raises(Unsupported, match="time datatype") as error:
        found(scene("u"), key)
    assert error.value.path == "/g/bad"


def test_refused_is_not_what_only_begins_so() -> None:
    with pytest.raises(FileNotFoundError):
        found(scene("u"), "g/badly/.zarray")


def test_what_is_there_is_not_refused() -> None:
    held = scene("u")
    held.refusals = {"/g": "a second name", "/": "a note"}
    assert found(held, "g/x/0.0") == ByteRange(0, len(HEAD), 32)
    with pytest.raises(FileNotFoundError):
        found(held, "g/x/1.0")


def test_extra_data() -> None:
    held = scene("u")
    held.extra = {".zmetadata": b"{}", "notes/read.me": b"text"}
    assert found(held, ".zmetadata") == b"{}"
    assert found(held, "notes/read.me") == b"text"


def test_scalars() -> None:
    held = manifest({"a": array((), (), references({0: (0, 5, 4)}))}, [Target("u")])
    assert found(held, "a/0") == ByteRange(0, 5, 4)
    held = manifest({"a": array((), (), references({0: (0, 5, 4)}), zarr_format=3)}, [Target("u")])
    assert found(held, "a/c") == ByteRange(0, 5, 4)


def test_root_array() -> None:
    held = Manifest(2, {}, {"": array((4,), (2,), references({1: (0, 5, 8)}))}, (Target("u"),))
    assert json.loads(Lookup(held).find(".zarray"))["shape"] == [4]
    assert found(held, "1") == ByteRange(0, 5, 8)
    for key in ("0", ".zgroup"):
        with pytest.raises(FileNotFoundError):
            found(held, key)


def test_names_that_look_like_other_things() -> None:
    held = manifest(
        {path: array((2,), (1,), references({1: (0, 0, 4)})) for path in ("0", "a.b/1", ".hid", "c/0", "ü %20")}
    )
    held.targets = (Target("u"),)
    for path in held.arrays:
        assert found(held, f"{path}/1") == ByteRange(0, 0, 4)
        assert isinstance(found(held, f"{path}/.zarray"), bytes)


def test_whole_targets() -> None:
    held = manifest({"a": array((4,), (2,), references({}, whole={0: 0, 1: 1}))}, [Target("u"), Target("v", size=8)])
    assert found(held, "a/0") == ByteRange(0, 0, None)
    assert found(held, "a/1") == ByteRange(1, 0, 8)


@pytest.mark.parametrize(("offset", "size"), [(0, 101), (100, 1), (2**64 - 1, 2**64 - 1)])
def test_beyond_the_end_of_the_target(offset: int, size: int) -> None:
    held = manifest({"a": array((1,), (1,), references({0: (0, offset, size)}))}, [Target("u", size=100)])
    with pytest.raises(ManifestError, match="beyond the end"):
        found(held, "a/0")


def test_no_such_target() -> None:
    held = manifest({"a": array((2,), (1,), references({0: (7, 0, 4)}, whole={1: 7}))}, [Target("u")])
    for key in ("a/0", "a/1"):
        with pytest.raises(ManifestError, match="no target"):
            found(held, key)


def test_grid_that_contradicts_the_metadata() -> None:
    held = scene("u")
    held.arrays["g/x"].grid = (3, 2)
    with pytest.raises(ManifestError, match="differ"):
        found(held, "g/x/0.0")


@pytest.mark.parametrize("key", ["g/x/1.0", "/g/x/1.0", "g/x/1.0/"])
def test_a_key_of_a_chunk_is_resolved_to_array_and_cell(key: str) -> None:
    assert Lookup(scene("u")).resolve(key) == ChunkKey("g/x/1.0", "g/x", 1)


@pytest.mark.parametrize("key", ["g/x/9.0", "g/x/00.0", "g/x/.zarray", ".zgroup", "nothing", ""])
def test_other_keys_are_no_chunk(key: str) -> None:
    assert Lookup(scene("u")).resolve(f"/{key}") == OtherKey(key)
