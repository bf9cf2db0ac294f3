"""What fsspec tests of its `reference` filesystem, asked of this one: the same, or the deviation that the docs name.

A test here stands for the one of the same name in fsspec's `test_reference.py` (2026.7), in this project's words; those
of fsspec that have one subject are one test. `docs/from-reference.md` has a row for every deviation, with its test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from refmaker import FileSystem
from refmaker.errors import ManifestError, OutputError, SourceError
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]

DATA = b"the bytes of some file, of which references are a part" * 20
MADE_UP = [".zattrs", ".zgroup"]
"""Metadata of the root group, which are there though the document has none: a deviation."""
ZARRAY: dict[str, Any] = {"zarr_format": 2, "shape": [10], "chunks": [1], "dtype": "<f8", "fill_value": "NaN",
                          "order": "C", "filters": None, "compressor": None}  # fmt: skip


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def url(range_server: RangeServer) -> str:
    return range_server.add("real", DATA)


def opened(fo: Any, **options: Any) -> FileSystem:
    return FileSystem(fo, **{"strict": False, "skip_instance_cache": True, **options})


@pytest.mark.parametrize("version", [0, 1])
def test_simple(url: str, version: int) -> None:
    """Bytes, references, base64 and objects, in both versions; through a filesystem that the opener brings."""
    refs = {"a": b"data", "b": (url, 0, 5), "c": (url, 1, 5), "d": b"base64:aGVsbG8=", "e": {"key": "value"}}
    fo = {"version": 1, "refs": refs} if version else refs
    for given in ({"fs": fsspec.filesystem("http")}, {}):
        fs = opened(fo, **given)
        assert fs.cat("a") == b"data"
        assert fs.cat("b") == DATA[:5]
        assert fs.cat("c") == DATA[1:6]
        assert fs.cat("d") == b"hello"
        assert json.loads(fs.cat("e")) == {"key": "value"}
        with fs.open("d", "rt") as file:
            assert file.read(2) == "he"


def test_references_that_are_no_chunk_are_asked_for(url: str) -> None:
    """Deviation: without `strict=False` they are refused, so that a misspelt chunk is never a missing one."""
    for strict in ({}, {"strict": True}):
        with pytest.raises(ManifestError, match="strict=False"):
            FileSystem({"b": [url, 0, 5]}, skip_instance_cache=True, **strict).cat("b")
    misspelt = {"x/.zarray": json.dumps(ZARRAY), "x/0.0": [url, 0, 8]}
    with pytest.raises(ManifestError, match="chunk"):
        opened(misspelt).ls("x")
    fs = opened({"b": [url, 0, 5], "x/.zarray": json.dumps(ZARRAY), "x/0": [url, 0, 8], "x/note.txt": [url, 3, 2]})
    assert fs.cat("x/note.txt") == DATA[3:5]
    assert fs.cat("x/0") == DATA[:8]


def test_open(memory: Any) -> None:
    memory.pipe("/data/0", DATA)
    refs = {"b": ["memory://data/0"], "c": ("memory://data/0", 0, 5), "d": ("memory://data/0", 1, 5)}
    fs = opened({"a": b"data", "e": b"base64:aGVsbG8=", "f": {"key": "value"}, **refs}, fs=memory)
    whole = {"a": b"data", "b": DATA, "c": DATA[:5], "d": DATA[1:6], "e": b"hello", "f": b'{"key": "value"}'}
    for key, expected in whole.items():
        with fs.open(key, "rb") as file:
            assert file.read() == expected
            assert not file.read()
    with fs.open("d", "rb") as file:
        assert file.read(2) == DATA[1:3]
        file.seek(1, 1)
        assert file.read() == DATA[4:6]


def test_target_options(memory: Any) -> None:
    memory.pipe("data/0", b"hello")
    with fsspec.open("memory://refs.json.gz", "wt", compression="gzip") as file:
        json.dump({"a": ["memory://data/0"]}, file)
    for options in ({"compression": "gzip"}, {}):  # told by content, too
        assert opened("memory://refs.json.gz", target_options=options).cat("a") == b"hello"


def test_ls(url: str) -> None:
    """Deviation: the root group has metadata, made up where there are none; files stand before folders."""
    fs = opened({"a": b"data", "b": (url, 0, 5), "c/d": (url, 1, 6)})
    assert sorted(fs.ls("", detail=False)) == [*MADE_UP, "a", "b", "c"]
    assert {"name": "c", "type": "directory", "size": 0} in fs.ls("", detail=True)
    assert fs.find("") == [*MADE_UP, "a", "b", "c/d"]
    assert set(fs.find("", withdirs=True)) >= {*MADE_UP, "a", "b", "c", "c/d"}
    assert fs.find("c", detail=True) == {"c/d": {"name": "c/d", "size": 6, "type": "file"}}


def test_nested_dirs_ls() -> None:
    fs = opened({"a": "A", "B/C/b": "B", "B/C/d": "d", "B/_": "_"})
    assert {entry["name"] for entry in fs.ls("")} == {"a", "B", *MADE_UP}
    assert {entry["name"] for entry in fs.ls("B")} == {"B/C", "B/_"}
    assert fs.cat("B/C/d") == b"d"


def test_info(url: str) -> None:
    fs = opened({"a": b"data", "b": (url, 0, 5), "c/d": (url, 1, 6), "e": (url,)})
    assert [fs.size(key) for key in ("a", "b", "c/d")] == [4, 5, 6]
    assert fs.info("e")["size"] == len(DATA)


def test_mutable(url: str, memory: Any, tmp_path: Path) -> None:
    """Deviation: nothing is written, removed or put through the filesystem; `put` and `save_json` neither."""
    fs = opened({"a": b"data", "b": (url, 0, 5)})
    (tmp_path / "f").write_bytes(b"1")
    for write in (lambda: fs.rm("a"), lambda: fs.pipe("aa", b"x"), lambda: fs.pipe({"aa": b"x"}),
                  lambda: fs.save_json("memory://refs.json"), lambda: fs.put_file(str(tmp_path / "f"), "out"),
                  lambda: fs.put(str(tmp_path / "f"), "out")):  # fmt: skip
        with pytest.raises(OutputError):
            write()
    with pytest.raises(TypeError):
        fs.references["a"] = b"other"  # type: ignore[index]
    assert fs.cat("a") == b"data"
    assert not memory.exists("refs.json")


def test_defaults(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Null urls stand for `target`, a path being one of the opener; without it they are refused."""
    refs = {"a": b"data", "b": (None, 0, 5), "c": [None]}
    fs = opened(refs, target=url, target_protocol="http", remote_protocol="http")
    assert (fs.cat("a"), fs.cat("b"), fs.cat("c")) == (b"data", DATA[:5], DATA)
    (tmp_path / "f").write_bytes(DATA)
    monkeypatch.chdir(tmp_path)
    for target in ("f", str(tmp_path / "f"), f"file://{tmp_path}/f"):
        assert opened(refs, target=target).cat("b") == DATA[:5]
        array = {"x/.zarray": json.dumps(ZARRAY), "x/0": [None, 0, 8]}
        assert FileSystem(array, target=target, skip_instance_cache=True).cat("x/0") == DATA[:8]
    with pytest.raises(ManifestError, match="target="):
        opened(refs).cat("b")
    with pytest.raises(ManifestError):
        FileSystem({"x/.zarray": json.dumps(ZARRAY), "x/0": [None, 0, 8]}).cat("x/0")


GENERATORS = [
    {"key": "gen_key{{i}}", "url": "http://{{u}}_{{i}}", "offset": "{{(i + 1) * 1000}}", "length": "1000",
     "dimensions": {"i": {"stop": 5}}},
    {"key": "gen_key{{i}}", "url": "http://{{u}}_{{i}}", "dimensions": {"i": {"start": 5, "stop": 7}}},
]  # fmt: skip


def test_spec1_expand() -> None:
    """Deviation: templates are substituted, and generators count; templates that are called are refused."""
    refs = {"key0": "data", "key1": ["http://target_url", 10000, 100], "key2": ["http://{{u}}", 10000, 100],
            "key4": ["http://target_url"], "key5": {"key": "value"}}  # fmt: skip
    document = {"version": 1, "templates": {"u": "server.domain/path", "f": "{{c}}"}, "gen": GENERATORS, "refs": refs}
    fs = opened(document, target_protocol="http", simple_templates=False)
    found = {key: fs.references[key] for key in fs.references if key not in MADE_UP}
    assert found == {
        "key0": "data",
        "key1": ["http://target_url", 10000, 100],
        "key2": ["http://server.domain/path", 10000, 100],
        "key4": ["http://target_url"],
        "key5": json.dumps({"key": "value"}),
        **{f"gen_key{i}": [f"http://server.domain/path_{i}", (i + 1) * 1000, 1000] for i in range(5)},
        **{f"gen_key{i}": [f"http://server.domain/path_{i}"] for i in (5, 6)},
    }
    called = {**document, "refs": {**refs, "key3": ["http://{{f(c='text')}}", 10000, 100]}}
    with pytest.raises(ManifestError, match="template"):
        opened(called, simple_templates=False).ls("")


def test_spec1_expand_simple() -> None:
    document = {"version": 1, "templates": {"u": "server.domain/path"},
                "refs": {"key0": "base64:ZGF0YQ==", "key2": ["http://{{u}}", 10000, 100],
                         "key4": ["http://target_url"], "key5": {"key": "value"}}}  # fmt: skip
    assert opened(document).references["key2"] == ["http://server.domain/path", 10000, 100]
    fs = opened(document, template_overrides={"u": "not.org/p"})
    assert fs.references["key2"] == ["http://not.org/p", 10000, 100]
    assert fs.cat("key0") == b"data"
    assert json.loads(fs.cat("key5")) == {"key": "value"}
    assert document["templates"] == {"u": "server.domain/path"}  # the caller's own


def test_template_overrides(memory: Any) -> None:
    """In manifests of arrays, from memory and from a store; where there are no templates they are refused."""
    memory.pipe({"a": b"0123456789", "b": DATA})
    refs = {"x/.zarray": json.dumps(ZARRAY), "x/0": ["{{u}}", 0, 8]}
    document = {"version": 1, "templates": {"u": "memory://a"}, "refs": refs}
    memory.pipe("m.json", json.dumps(document).encode())
    for fo in (document, "memory://m.json"):
        assert FileSystem(fo, skip_instance_cache=True).cat("x/0") == b"01234567"
        for _ in range(2):
            fs = FileSystem(fo, template_overrides={"u": "memory://b"}, skip_instance_cache=True)
            assert fs.cat("x/0") == DATA[:8]
        assert FileSystem(fo, skip_instance_cache=True).cat("x/0") == b"01234567"
    with pytest.raises(ManifestError, match="template_overrides"):
        FileSystem(refs, template_overrides={"u": "memory://b"}, skip_instance_cache=True).ls("")


def test_spec1_gen_variants() -> None:
    """Deviation: an offset without a length, or the other way round, is a `ManifestError`, not a `ValueError`."""
    whole = {"key": "gen_key{{i}}", "url": "http://{{u}}_{{i}}", "dimensions": {"i": {"stop": 2}}}
    document = {"version": 1, "templates": {"u": "server.domain/path"}, "gen": [whole]}
    for part in ({"offset": "{{(i + 1) * 1000}}"}, {"length": "1000"}):
        with pytest.raises(ManifestError):
            opened({**document, "gen": [{**whole, **part}]}).ls("")
    found = opened(document).references
    assert {key: found[key] for key in found if key not in MADE_UP} == {
        "gen_key0": ["http://server.domain/path_0"],
        "gen_key1": ["http://server.domain/path_1"],
    }


def test_empty() -> None:
    """A version alone is a manifest; a member in the place of `refs` that nobody knows is none."""
    for strict in (True, False):
        assert list(FileSystem({"version": 1}, strict=strict).references) == MADE_UP
    with pytest.raises(ManifestError, match="no references"):
        FileSystem({"version": 1, "references": {}}).ls("")


def test_get_sync(tmp_path: Path) -> None:
    real = tmp_path / "file"
    real.write_bytes(b"0123456789")
    fs = opened({"a": b"data", "b": (str(real), 0, 5), "c/d": (str(real), 1, 6)}, fs=fsspec.filesystem("file"))
    for key, expected in {"a": b"data", "b": b"01234", "c/d": b"123456"}.items():
        fs.get(key, str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == expected
    fs.get("c", str(tmp_path / "c"), recursive=True)
    assert (tmp_path / "c" / "d").read_bytes() == b"123456"


@pytest.mark.parametrize("made", [True, False])
def test_multi_fs(memory: Any, tmp_path: Path, made: bool) -> None:
    real = tmp_path / "file"
    real.write_bytes(b"0123456789")
    memory.pipe("afile", b"hello")
    refs = {"a": b"data", "b": (f"file://{real}", 0, 5), "c/d": (f"file://{real}", 1, 6), "c/e": ["memory://afile"]}
    given = {"file": {}, "memory": {}} if made else {"file": fsspec.filesystem("file"), "memory": memory}
    fs = opened(refs, fs=given)
    assert fs.cat("c/e") == b"hello"
    assert fs.cat(["c/e", "a", "b"]) == {"a": b"data", "b": b"01234", "c/e": b"hello"}


def test_missing_nonasync() -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.open_array(
        "refmaker://", storage_options={"fo": {".zarray": json.dumps(ZARRAY)}, "remote_protocol": "memory"}, mode="r"
    )
    assert str(array[0]) == "nan"


def test_fss(memory: Any, tmp_path: Path) -> None:
    """Deviation: there is no `fss`; bare paths are beside the manifest, or of `remote_protocol` or `fs`, no others."""
    memory.pipe("/a", b"in memory")
    (tmp_path / "a").write_bytes(b"a file")
    assert not hasattr(opened({}), "fss")
    for given in ({"remote_protocol": "memory"}, {"fs": memory}, {"fs": {None: memory}}):
        assert opened({"k": ["/a"]}, **given).cat("k") == b"in memory"
    mixed = {"k": ["memory://a"], "bare": [str(tmp_path / "a")]}
    assert opened(mixed).cat("bare") == b"a file"  # fsspec asks the filesystem of the first url


def test_merging(memory: Any) -> None:
    memory.pipe({"/a": b"test data", "/b": b"other test data"})
    refs = {"a": ["memory://a", 1, 1], "b": ["memory://a", 2, 1], "c": ["memory://b"], "d": ["memory://b", 4, 6]}
    out = opened(refs, max_gap=0, max_block=100).cat(["a", "b", "c", "d"])
    assert out == {"a": b"e", "b": b"s", "c": b"other test data", "d": b"r test"}


def test_cat_file_ranges(memory: Any, url: str) -> None:
    memory.pipe("/b", b"other test data")
    fs = opened({"c": ["memory://b"], "d": ["memory://b", 4, 6], "h": [url, 4, 6]})
    for start, end in ((None, None), (1, None), (-5, None), (1, -5), (1, -3), (0, 2)):
        assert fs.cat_file("c", start, end) == b"other test data"[start:end]
        assert fs.cat_file("d", start, end) == b"r test"[start:end]
        assert fs.cat_file("h", start, end) == DATA[4:10][start:end]


def test_async_cat_file_ranges(url: str) -> None:
    """The opener's own asynchronous filesystem, in its loop."""

    async def read() -> bytes:
        http = fsspec.filesystem("http", asynchronous=True, skip_instance_cache=True)
        session = await http.set_session()
        fs = opened({"t/0": [url, 12, 7]}, fs={"http": http}, remote_protocol="http", asynchronous=True)
        data: bytes = await fs._cat_file("t/0")
        await session.close()
        return data

    assert asyncio.run(read()) == DATA[12:19]


@pytest.mark.parametrize("missing", ["memory://unknown", "//unknown"])
def test_cat_missing(memory: Any, missing: str) -> None:
    """Deviation: `SourceError`, no `ReferenceNotReachable`; `on_error="omit"` leaves out absent keys only."""
    memory.pipe("/b", b"other")
    fs = opened({"c": ["memory://b"], "d": [missing, 4, 6]})
    for absent in ("notafile", ["notone", "nottwo"]):
        with pytest.raises(FileNotFoundError):
            fs.cat(absent)
    mapper = fs.get_mapper("")
    with pytest.raises(KeyError):
        mapper["notakey"]
    with pytest.raises(KeyError):
        mapper.getitems(["notone", "nottwo"])
    with pytest.raises(SourceError) as caught:
        fs.cat("d")
    assert caught.value.__cause__ is not None
    assert "d: " in str(caught.value)
    assert "unknown" in str(caught.value)
    for error in (fs.cat("d", on_error="return"), fs.cat(["c", "d"], on_error="return")["d"]):
        assert isinstance(error, SourceError)
    assert isinstance(fs.cat("notafile", on_error="return"), FileNotFoundError)
    assert fs.cat("c", on_error="return") == b"other"
    for ask in (lambda: mapper["d"], lambda: mapper.getitems(["c", "d"])):
        with pytest.raises(SourceError):
            ask()
    assert isinstance(mapper.getitems(["c", "d"], on_error="return")["d"], SourceError)
    out = fs.cat(["notone", "c", "d"], on_error="return")
    assert isinstance(out["notone"], FileNotFoundError)
    assert out["c"] == b"other"
    assert fs.cat(["notone", "c"], on_error="omit") == {"c": b"other"}
    with pytest.raises(SourceError):  # fsspec leaves it out, which Zarr would take for a missing chunk
        fs.cat(["c", "d"], on_error="omit")
    assert mapper.getitems(["c", "d"], on_error="omit") == {"c": b"other"}  # fsspec's mapper drops all errors itself


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")
@pytest.mark.parametrize("record_size", [10, 3])
def test_df(memory: Any, record_size: int) -> None:
    """Parquet sets, of one shard and of two, written by pandas and fastparquet."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("fastparquet")
    memory.pipe({"data": b"data0data1data2"})
    rows = [(None, 0, 0, b"raw"), ("memory://data", 0, 0, None), ("memory://data", 4, 4, None),
            (None, 0, 0, b"raw2"), ("memory://data", 0, 0, None), ("memory://data", 2, 2, None)]  # fmt: skip
    count = 3 if record_size == 10 else 6
    for number in range(0, count, record_size):
        columns = zip(*rows[number : min(number + record_size, count)], strict=True)
        frame = pandas.DataFrame(dict(zip(("path", "offset", "size", "raw"), map(list, columns), strict=True)))
        frame.to_parquet(f"memory://set/stuff/refs.{number // record_size}.parq", engine="fastparquet")
    zarray = {"chunks": [1], "compressor": None, "dtype": "<i8", "filters": None, "shape": [count], "zarr_format": 2,
              "fill_value": None, "order": "C"}  # fmt: skip
    metadata = {".zgroup": {"zarr_format": 2}, "stuff/.zarray": zarray}
    memory.pipe("/set/.zmetadata", json.dumps({"metadata": metadata, "record_size": record_size}).encode())
    fs = FileSystem("memory://set/", remote_protocol="memory", skip_instance_cache=True)
    assert {".zgroup", "stuff/2"} <= set(fs.find(""))
    expected = [b"raw", b"data0data1data2", b"0dat", b"raw2", b"data0data1data2", b"ta"][:count]
    expected[2] = b"0data1data2"[:4]
    assert [fs.cat(f"stuff/{cell}") for cell in range(count)] == expected
    assert fs.references["stuff/2"] == ["memory://data", 4, 4]
    with pytest.raises(ManifestError, match="Parquet"):
        FileSystem("memory://set/", target="memory://data", skip_instance_cache=True).ls("")


def test_mapping_getitems(memory: Any) -> None:
    memory.pipe({"a": b"A", "b": b"B"})
    mapping = opened({"a": ["a"], "b": ["b"]}, fs=memory).get_mapper("")
    assert mapping.getitems(["b", "a"]) == {"a": b"A", "b": b"B"}


def test_cached(memory: Any, tmp_path: Path) -> None:
    """A manifest through fsspec's cache of files: where that has it, the original is not asked again."""
    memory.pipe({"a": b"A", "ref.json": b'{"a": ["a"]}'})
    options = {"fs": memory, "target_options": {"cache_storage": str(tmp_path), "same_names": True}}
    assert opened("simplecache::memory://ref.json", **options).cat("a") == b"A"
    assert (tmp_path / "ref.json").exists()
    memory.pipe("ref.json", b"")
    assert opened("simplecache::memory://ref.json", **options).cat("a") == b"A"


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")
def test_what_the_parquet_writer_of_fsspec_writes(memory: Any) -> None:
    """Deviation: sets are appended to by `refmaker append`, not through the filesystem; what fsspec writes is read."""
    reference = pytest.importorskip("fsspec.implementations.reference")
    pytest.importorskip("fastparquet")
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("pandas")
    mapper = reference.LazyReferenceMapper.create("memory://out.parq", fs=memory)
    mapper[".zgroup"] = json.dumps({"zarr_format": 2}).encode()
    mapper["instant/.zgroup"] = json.dumps({"zarr_format": 2}).encode()
    for name, shape in {"one": [3], "empty": [3], "scalar": []}.items():
        array = {**ZARRAY, "dtype": "<i8", "fill_value": 1, "shape": shape, "chunks": shape}
        mapper[f"instant/{name}/.zarray"] = json.dumps(array).encode()
    mapper["instant/one/0"] = np.arange(3, dtype="<i8").tobytes()
    mapper.flush()
    fs = FileSystem("memory://out.parq", skip_instance_cache=True)
    assert {"instant/one/.zarray", "instant/one/0"} <= set(fs.find("instant/one"))
    store = {"fo": "memory://out.parq", "skip_instance_cache": True}
    found = zarr.open_group("refmaker://", mode="r", storage_options=store)
    np.testing.assert_array_equal(found["instant/one"][:], [0, 1, 2])
    for name in ("empty", "scalar"):
        with pytest.raises(SourceError):  # fsspec writes no shard then, which is not told from one that is lost
            found[f"instant/{name}"][...]
    with pytest.raises(OutputError):
        fs.pipe("instant/one/0", b"")


def test_no_default_jinja_execution() -> None:
    """Deviation: what a template engine would have to evaluate is refused, whatever `simple_templates` says."""
    generator = {"key": "{{ 1 / 0 }}", "url": "file:///dev/null", "dimensions": {"i": [0]}}
    document = {"version": 1, "templates": {}, "refs": {}, "gen": [generator]}
    for simple in (True, False):
        with pytest.raises(ManifestError):
            opened(document, simple_templates=simple).ls("")


def test_options_that_others_have() -> None:
    """Options of fsspec are taken, or refused with what to use."""
    assert opened({"a": "x"}, max_gap=-1, max_block=1, cache_size=3, simple_templates=True, lazy=True).cat("a") == b"x"
    for name, instead in {"ref_storage_args": "target_options", "storage_options": "remote_options", "xyz": ""}.items():
        with pytest.raises(TypeError, match=f"{name}.*{instead}"):
            FileSystem({}, **{name: {}})
