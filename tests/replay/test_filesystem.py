"""The filesystem as fsspec's users see it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

import refmaker
from refmaker.errors import ManifestError, OutputError, RefmakerError, SourceError, TargetChanged, Unsupported
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.filesystem import FileSystem
from tests.replay.scenes import DATA, HEAD, VALUES, array, manifest, references, scene
from tests.servers import RangeServer

CHUNK = VALUES[:2].tobytes()
INLINE = VALUES[4:].tobytes()
KEYS = [".zattrs", ".zgroup", "g/.zattrs", "g/.zgroup", "g/x/.zarray", "g/x/.zattrs", "g/x/0.0", "g/x/2.0"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a manifest whose target lies beside it."""
    (tmp_path / "a.nc").write_bytes(DATA)
    status = (tmp_path / "a.nc").stat()
    scene("a.nc", size=status.st_size, mtime=status.st_mtime).to_json(str(tmp_path / "m.json"))
    return str(tmp_path / "m.json")


@pytest.fixture
def fs(path: str) -> FileSystem:
    return FileSystem(path)


def missing() -> FileSystem:
    """Return a filesystem whose target is not there."""
    return FileSystem(scene("/nowhere/a.nc"))


# Getting one


def test_by_protocol(path: str) -> None:
    assert isinstance(fsspec.filesystem("refmaker", fo=path), refmaker.FileSystem)
    for url in ("refmaker://g/x/0.0", "refmaker:///g/x/0.0"):
        with fsspec.open(url, fo=path) as file:
            assert file.read() == CHUNK
    filesystem, root = fsspec.core.url_to_fs(f"refmaker::file://{path}")
    assert (filesystem.find(root), root) == (KEYS, "")
    assert dict(fsspec.get_mapper("refmaker://g", fo=path))["x/0.0"] == CHUNK
    assert fsspec.get_mapper(f"refmaker://g::{path}")["x/0.0"] == CHUNK


def test_options_that_mappers_have_too(path: str) -> None:
    with pytest.raises(OutputError, match=r"refmaker=\{'check'"):
        fsspec.get_mapper("refmaker://", fo=path, check="size")
    assert fsspec.get_mapper("refmaker://", fo=path, refmaker={"check": "size"}).fs.access.check == "size"


def test_constructor_only_assigns() -> None:
    FileSystem()
    FileSystem("http://127.0.0.1:1/m.json")
    with pytest.raises(SourceError, match="fo"):
        FileSystem().ls("")


@pytest.mark.parametrize("options", [{"nonsense": 1}, {"check": "lax"}, {"timeout": 0}, {"timeout": float("nan")}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        FileSystem("m.json", **options)


def test_options_of_the_stock_filesystem(path: str) -> None:
    options = {"remote_protocol": "file", "remote_options": {"asynchronous": True}, "target_options": {}}
    assert FileSystem(path, **options, max_gap=1, max_block=2, cache_size=3, simple_templates=True).find("") == KEYS


def test_a_manifest_made_anew_is_seen(path: str) -> None:
    old = fsspec.filesystem("refmaker", fo=path)
    assert old.cat("g/x/0.0") == CHUNK
    changed = Path(path).with_name("a.nc")
    changed.write_bytes(b"longer " + DATA)
    with pytest.raises(TargetChanged, match="Scan it again"):
        old.cat("g/x/0.0")
    row = VALUES[:2].nbytes
    held = manifest({"n": array((2, 4), (2, 4), references({0: (0, len(HEAD) + 7, row)}))}, [Target("a.nc")])
    held.to_json(path)
    assert fsspec.filesystem("refmaker", fo=path).cat("n/0.0") == CHUNK


def test_equality_and_tokens(path: str) -> None:
    assert FileSystem(path) == FileSystem(path)
    assert FileSystem(path) != FileSystem(path, check="off")
    many = [references({i: (0, i + shift, 4) for i in range(2000)}) for shift in (0, 0)]
    many[1].offset[1000] += 1  # in the midst, where the text of a long column has dots
    held = [manifest({"a": array((2000,), (1,), rows)}, [Target("u")]) for rows in many]
    first, other = FileSystem(held[0]), FileSystem(held[1])
    assert first != other
    assert hash(first) != hash(other)
    assert first.__dask_tokenize__() != other.__dask_tokenize__()
    assert first == FileSystem(held[0])


def test_pickles_are_small_and_open_again(path: str) -> None:
    fs = FileSystem(path)
    fs.cat("g/x/0.0")
    text = pickle.dumps(fs)
    assert len(text) < 300 + len(path)
    again = pickle.loads(text)
    assert again == fs
    assert again.cat("g/x/0.0") == CHUNK
    held = pickle.loads(pickle.dumps(FileSystem(scene(str(Path(path).with_name("a.nc"))))))
    assert held.cat("g/x/0.0") == CHUNK


def test_json(path: str) -> None:
    fs = FileSystem(path, check="size", remote_options={"s3://b": {"anon": True}})
    again = fsspec.AbstractFileSystem.from_json(fs.to_json())
    assert again == fs
    assert again.cat("g/x/0.0") == CHUNK
    fs = FileSystem(json.loads(Path(path).read_text()), check="off", fs={"memory": MemoryFileSystem()})
    again = fsspec.AbstractFileSystem.from_json(fs.to_json())
    assert again.find("") == KEYS
    assert isinstance(again.access.fs["memory"], MemoryFileSystem)


@pytest.mark.parametrize("remote", [False, True])
def test_after_a_fork(fs: FileSystem, range_server: RangeServer, remote: bool) -> None:
    if remote:
        fs = FileSystem(scene(range_server.add("a.nc", DATA)))
    assert fs.cat("g/x/0.0") == CHUNK
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is the point
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if fs.cat("g/x/0.0") == CHUNK and fs.find("") == KEYS else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert fs.cat("g/x/0.0") == CHUNK


def test_in_any_number_of_loops(path: str, range_server: RangeServer) -> None:
    for held in (path, scene(range_server.add("a.nc", DATA))):
        fs = FileSystem(held, asynchronous=True)

        async def read(fs: FileSystem = fs) -> list[bytes]:
            return await asyncio.gather(*(fs._cat_file("g/x/0.0") for _ in range(20)))

        for _ in range(2):
            assert asyncio.run(read()) == [CHUNK] * 20


def test_many_threads(path: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    fs = FileSystem(path)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(fs.cat, ["g/x/0.0"] * 100)) == [CHUNK] * 100


# Reading


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 8), (4, None), (None, 4), (-8, None), (-8, -4), (4, -4), (8, 4), (0, 999), (32, 40)],
)
@pytest.mark.parametrize(("key", "whole"), [("g/x/0.0", CHUNK), ("g/x/2.0", INLINE)])
def test_slices(fs: FileSystem, key: str, whole: bytes, start: int | None, end: int | None) -> None:
    assert fs.cat_file(key, start, end) == whole[start:end]
    assert fs.cat_ranges([key], [start], [end]) == [whole[start:end]]


def test_slices_of_whole_targets() -> None:
    MemoryFileSystem().pipe("/fs/a.nc", DATA)
    for known in ({}, {"size": len(DATA)}):
        rows = references({}, whole={0: 0})
        fs = FileSystem(manifest({"a": array((1,), (1,), rows)}, [Target("memory://fs/a.nc", **known)]))
        assert fs.cat_file("a/0") == DATA
        assert fs.cat_file("a/0", -4, -1) == DATA[-4:-1]
        assert fs.info("a/0") == {"name": "a/0", "size": len(DATA), "type": "file"}
        assert fs.ls("a", detail=True)[-1]["size"] == known.get("size")


def test_only_what_is_asked_for_is_fetched(range_server: RangeServer) -> None:
    fs = FileSystem(scene(range_server.add("a.nc", DATA)))
    assert fs.cat_file("g/x/0.0", 4, 12) == CHUNK[4:12]
    assert fs.cat_file("g/x/0.0", 4, 4) == b""
    assert fs.find("") == KEYS
    first = len(HEAD) + 4
    assert [(r.method, r.first, r.last) for r in range_server.served] == [("GET", first, first + 7)]


def test_zero_bytes_are_not_fetched() -> None:
    fs = FileSystem(manifest({"a": array((1,), (1,), references({0: (0, 5, 0)}))}, [Target("/nowhere")]))
    assert fs.cat_file("a/0") == b""


def test_many_keys(fs: FileSystem) -> None:
    keys = ["g/x/0.0", "g/x/2.0", "refmaker://g/x/0.0", "/g/x/2.0"]
    assert fs.cat(keys) == {"g/x/0.0": CHUNK, "g/x/2.0": INLINE, "/g/x/2.0": INLINE}
    assert fs.cat(["g/x/0.0"]) == {"g/x/0.0": CHUNK}
    assert fs.cat("g/x/0.0") == CHUNK
    assert fs.cat([]) == {}
    assert sorted(fs.cat("g", recursive=True)) == KEYS[2:]


def test_names_are_not_patterns() -> None:
    rows = references({0: (0, 0, 4)})
    fs = FileSystem(manifest({"a[1]": array((2,), (1,), rows), "a1": array((2,), (1,), references({}, {1: b"1234"}))}))
    for key in ("a[1]/1", "a?/1", "*/1"):
        with pytest.raises(FileNotFoundError):
            fs.cat(key)


def test_absent_keys(fs: FileSystem) -> None:
    with pytest.raises(FileNotFoundError):
        fs.cat("g/x/1.0")
    with pytest.raises(FileNotFoundError):
        fs.cat(["g/x/0.0", "g/x/1.0"])
    assert fs.cat(["g/x/0.0", "g/x/1.0"], on_error="omit") == {"g/x/0.0": CHUNK}
    assert fs.cat("g/x/1.0", on_error="omit") == {}
    out = fs.cat(["g/x/0.0", "g/x/1.0"], on_error="return")
    assert isinstance(out["g/x/1.0"], FileNotFoundError)
    data, error = fs.cat_ranges(["g/x/0.0", "g/x/1.0"], 0, None)
    assert (data, type(error)) == (CHUNK, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["g/x/0.0", "g/x/1.0"], 0, None, on_error="raise")
    with pytest.raises(KeyError):
        fs.get_mapper("")["g/x/1.0"]
    assert fs.get_mapper("g/x").getitems(["0.0", "1.0"], on_error="omit") == {"0.0": CHUNK}


@pytest.mark.parametrize(
    ("fs", "key", "kind"),
    [
        (missing(), "g/x/0.0", SourceError),
        (missing(), "g/bad/0.0", Unsupported),
        (missing(), "g/x/0/0", ManifestError),
    ],
)
def test_what_cannot_be_read_is_never_left_out(fs: FileSystem, key: str, kind: type[RefmakerError]) -> None:
    good = "g/x/2.0"
    for reading in (
        lambda: fs.cat(key),
        lambda: fs.cat_file(key),
        lambda: fs.cat_file(key, 0, 4),
        lambda: fs.cat([good, key]),
        lambda: fs.cat([good, key], on_error="omit"),
        lambda: fs.cat_ranges([good, key], 0, 4, on_error="raise"),
        lambda: fs.cat_ranges([good, key], 0, 4, on_error="omit"),
        lambda: fs.get_mapper("")[key],
        lambda: fs.get_mapper("").getitems([good, key]),
        lambda: fs.get_mapper("").get(key),
    ):
        with pytest.raises(kind):
            reading()
    assert type(fs.cat([good, key], on_error="return")[key]) is kind
    assert type(fs.get_mapper("").getitems([good, key], on_error="return")[key]) is kind
    assert [type(data) for data in fs.cat_ranges([good, key], 0, 4)] == [bytes, kind]


def test_open(fs: FileSystem) -> None:
    for key, whole in (("g/x/0.0", CHUNK), ("g/x/2.0", INLINE)):
        with fs.open(key) as file:
            assert file.read(4) == whole[:4]
            file.seek(-4, os.SEEK_END)
            assert file.read() == whole[-4:]
    with fs.open("g/x/.zarray", "r") as file:
        assert json.load(file)["shape"] == [6, 4]
    with fs.open("g/x/.zarray") as file, io.BufferedReader(file) as buffered:
        assert buffered.read(1) == b"{"
    with pytest.raises(FileNotFoundError):
        fs.open("g/x/1.0")
    with pytest.raises(SourceError), missing().open("g/x/0.0") as file:
        file.read()
    assert (fs.head("g/x/0.0", 4), fs.tail("g/x/0.0", 4)) == (CHUNK[:4], CHUNK[-4:])


def test_get(fs: FileSystem, tmp_path: Path) -> None:
    fs.get("g", str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out/x/0.0").read_bytes() == CHUNK
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(
        k.split("/")[-1] for k in KEYS[2:]
    )
    fs.get_file("g/x/2.0", str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == INLINE
    fs.download("g/x/2.0", str(tmp_path / "two"))
    assert (tmp_path / "two").read_bytes() == INLINE
    buffer = io.BytesIO()
    fs.get_file("g/x/2.0", buffer)
    assert buffer.getvalue() == INLINE


def test_get_does_not_leave_the_folder(tmp_path: Path) -> None:
    held = Manifest(2, {"": {}}, {}, (), extra={"../../evil": b"x"})
    with pytest.raises((OutputError, ValueError, OSError)):
        FileSystem(held).get_file("../../evil", str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "writing",
    [
        lambda fs: fs.pipe_file("g/x/1.0", b"1"),
        lambda fs: fs.pipe({"g/x/1.0": b"1"}),
        lambda fs: fs.rm("g/x/0.0"),
        lambda fs: fs.rm("g", recursive=True),
        lambda fs: fs.rm_file("g/x/0.0"),
        lambda fs: fs.cp_file("g/x/0.0", "g/x/1.0"),
        lambda fs: fs.mv("g/x/0.0", "g/x/1.0"),
        lambda fs: fs.mkdir("n"),
        lambda fs: fs.makedirs("n/m"),
        lambda fs: fs.rmdir("g"),
        lambda fs: fs.touch("g/x/0.0"),
        lambda fs: fs.put_file(__file__, "n"),
        lambda fs: fs.open("n", "wb"),
        lambda fs: fs.open("n", "w"),
        lambda fs: fs.get_mapper("").__setitem__("n", b"1"),
    ],
)
def test_read_only(fs: FileSystem, writing: Any) -> None:
    with pytest.raises(OutputError, match="read-only"):
        writing(fs)
    assert fs.find("") == KEYS


# Listing


def test_listing(fs: FileSystem) -> None:
    assert fs.ls("", detail=False) == [".zgroup", ".zattrs", "g"]
    assert fs.ls("g/x", detail=False) == ["g/x/.zarray", "g/x/.zattrs", "g/x/0.0", "g/x/2.0"]
    assert fs.ls("refmaker://g/x/0.0") == [{"name": "g/x/0.0", "size": 32, "type": "file"}]
    assert fs.info("g/x") == {"name": "g/x", "size": 0, "type": "directory"}
    assert fs.info("g/x/.zattrs")["size"] == len(fs.cat("g/x/.zattrs"))
    assert fs.glob("g/x/*.0") == ["g/x/0.0", "g/x/2.0"]
    assert fs.glob("**/.zarray") == ["g/x/.zarray"]
    assert list(fs.walk("g")) == [
        ("g", ["x"], [".zgroup", ".zattrs"]),
        ("g/x", [], [".zarray", ".zattrs", "0.0", "2.0"]),
    ]
    assert fs.du("g/x", total=False)["g/x/0.0"] == 32
    assert fs.sizes(["g/x/0.0", "g/x/2.0"]) == [32, 32]
    for path in ("g/x/1.0", "nothing", "g/x/0.0/more"):
        with pytest.raises((FileNotFoundError, ManifestError)):
            fs.ls(path)


def test_names_repeat_the_path_asked_for(fs: FileSystem) -> None:
    assert fs.ls("/g", detail=False) == ["/g/.zgroup", "/g/.zattrs", "/g/x"]
    assert fs.find("//g/x")[0] == "//g/x/.zarray"
    assert fs.info("/g")["name"] == "/g"


@pytest.mark.parametrize(
    ("name", "file", "folder"),
    [
        ("", 0, 1),
        ("g", 0, 1),
        ("/g/x/", 0, 1),
        ("g/x/0.0", 1, 0),
        ("g/x/1.0", 0, 0),
        ("g/bad", 0, 0),
        ("g/x/0/0", 0, 0),
    ],
)
def test_existence(fs: FileSystem, name: str, file: int, folder: int) -> None:
    assert (fs.isfile(name), fs.isdir(name)) == (bool(file), bool(folder))
    assert fs.exists(name) == bool(file or folder)
    assert (name in fs.get_mapper("")) == bool(file)


# The stock filesystem, on the same manifests


@settings(max_examples=40)
@given(data=st.data())
def test_as_the_stock_filesystem(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path = tmp_path_factory.mktemp("stock")
    (tmp_path / "a.nc").write_bytes(bytes(range(256)))
    zarr_format = data.draw(st.sampled_from([2, 3]))
    arrays = {}
    for path in data.draw(st.lists(st.sampled_from(["a", "b", "g/a", "g/h/0"]), unique=True, min_size=1)):
        grid = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
        cells = data.draw(st.sets(st.integers(0, 26)))
        cells = {cell for cell in cells if cell < np.prod(grid, dtype=int)}
        inline = {cell for cell in cells if data.draw(st.booleans())}
        rows = references({c: (0, 2 * c, 3 * c + 1) for c in cells - inline}, {c: bytes(c + 1) for c in inline})
        separator = data.draw(st.sampled_from([".", "/"]))
        arrays[path] = array(grid, (1,) * len(grid), rows, zarr_format=zarr_format, separator=separator)
    held = manifest(arrays, [Target(str(tmp_path / "a.nc"))])
    held.to_json(str(tmp_path / "m.json"))
    document = json.loads((tmp_path / "m.json").read_text())
    document["refs"].pop(".zmetadata", None)  # it says what the others say, and ours leaves it out
    stock = fsspec.filesystem("reference", fo=document)
    ours = FileSystem(str(tmp_path / "m.json"))
    keys = stock.find("")
    assert ours.find("") == keys
    assert set(ours.find("", withdirs=True)) == set(stock.find("", withdirs=True))
    assert ours.cat(keys) == stock.cat(keys)
    for key in keys:
        assert ours.isfile(key)
        assert ours.info(key) == {**stock.info(key), "size": len(stock.cat(key))}
    for folder in {"", *(key.rpartition("/")[0] for key in keys)}:
        assert sorted(ours.ls(folder, detail=False)) == sorted(stock.ls(folder, detail=False))
        assert {(e["name"], e["type"]) for e in ours.ls(folder)} == {(e["name"], e["type"]) for e in stock.ls(folder)}
        assert ours.isdir(folder) == stock.isdir(folder)
    key, start, end = data.draw(st.sampled_from(keys)), *data.draw(st.tuples(*[st.none() | st.integers(-9, 99)] * 2))
    whole = stock.cat_file(key)  # its own slices are no judge: an end of 0 reads on to the end of the target
    assert ours.cat_file(key, start, end) == whole[start:end]
    assert ours.cat_ranges([key, key], [start, 0], [end, 2]) == [whole[start:end], whole[:2]]
