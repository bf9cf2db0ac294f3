"""Parquet sets: the round trip, what stock fsspec makes of them, and what becomes of damaged and hostile ones."""

from __future__ import annotations

import io
import json
import math
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from refmaker.errors import ManifestError, OutputError, RefmakerError, SourceError, Unsupported
from refmaker.kerchunk import parquet_shard_codec as codec
from refmaker.kerchunk.fetch import load_bytes
from refmaker.kerchunk.open import open_manifest
from refmaker.kerchunk.parquet_writer import load_parquet, write_parquet
from refmaker.manifest import Manifest, References, Target
from refmaker.zarr.metadata import ArrayMetadata
from tests.kerchunk.making import array, comparable, manifests, metadata, rows

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

URL = "s3://bucket/a.nc"


def small(count: int = 10, **options: Any) -> Manifest:
    """Make a manifest of an array `g/x` with a reference for every chunk but the third, which is missing."""
    cells = [cell for cell in range(count) if cell != 2]
    held = rows(cells, [100 * (cell + 1) for cell in cells], [10 + cell for cell in cells])
    return Manifest(2, {"": {}, "g": {}}, {"g/x": array((count,), held, **options)}, (Target(URL, 5000),))


def stored(tmp_path: Path, manifest: Manifest | None = None, record_size: int = 4) -> Path:
    path = tmp_path / "m.parq"
    write_parquet(manifest or small(), path, record_size=record_size)
    return path


def foreign(path: Path) -> None:
    """Take from a set what only refmaker writes."""
    file = path / ".zmetadata"
    document = json.loads(file.read_text())
    del document["refmaker"]
    file.write_text(json.dumps(document))


def as_read(manifest: Manifest) -> Manifest:
    """Return a manifest as it comes back from a set."""
    for held in manifest.arrays.values():
        if "dimension_separator" in held.metadata.document or manifest.zarr_format == 2:
            document = {**held.metadata.document, "dimension_separator": "."}
            held.metadata = ArrayMetadata.from_json(document)
        r = held.references
        empty = (r.offset == 0) & (r.size == 0)
        inline = r.inline | {int(cell): b"" for cell in r.cell[empty]}
        columns = [column[~empty] for column in (r.cell, r.target, r.offset, r.size)]
        held.references = References(*columns, dict(sorted(inline.items())), dict(sorted(r.whole.items())))
    return manifest


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifest=manifests(), record_size=st.sampled_from([1, 7, 64, 1000]))
def test_round_trip(tmp_path: Path, manifest: Manifest, record_size: int) -> None:
    path = tmp_path / "m.parq"
    largest = [a.references.offset.max(initial=0) for a in manifest.arrays.values()]
    if any("\0" in name for name in manifest.arrays) or max(largest, default=0) >= 2**63:
        with pytest.raises(ManifestError):
            write_parquet(manifest, path, record_size=record_size)
        return
    write_parquet(manifest, path, record_size=record_size)
    manifest = as_read(manifest)
    found = load_parquet(path)
    for name, held in manifest.arrays.items():
        lazy = found.arrays[name].references
        assert len(lazy) == len(held.references)
        cells = [*held.references.cell.tolist()[:3], *held.references.inline, *held.references.whole]
        cells += [cell for cell in (0, 5, held.cells - 1) if 0 <= cell < held.cells]
        assert [lazy.at(cell) for cell in cells] == [held.references.at(cell) for cell in cells]
        start, stop = held.cells // 3, min(held.cells // 3 + 50, held.cells)
        part, whole = lazy.between(start, stop), held.references.between(start, stop)
        assert (part.cell.tolist(), part.inline, part.whole) == (whole.cell.tolist(), whole.inline, whole.whole)
        assert lazy.any_between(start, stop) == held.references.any_between(start, stop) == bool(len(whole))
    assert comparable(found) == comparable(manifest)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    manifest=manifests(zarr_formats=[2], extents=st.integers(1, 30), most=10**4), record_size=st.sampled_from([7, 1000])
)
def test_sets_of_others(tmp_path: Path, manifest: Manifest, record_size: int) -> None:
    """Without the member `refmaker`, targets are listed as they are met, and every shard must be there."""
    path = tmp_path / "m.parq"
    try:
        write_parquet(manifest, path, record_size=record_size)
    except ManifestError:
        assume(False)
    foreign(path)
    manifest = as_read(manifest)
    found = load_parquet(path)
    for name, held in manifest.arrays.items():
        if name not in found.arrays:  # hidden from others: they would look for its shards elsewhere
            assert ".z" in name or {*name} & {*"?#+%\n\t\0\x01\x1f\x7f"}
            continue
        lazy = found.arrays[name].references
        for cell in range(0, held.cells, 3):
            shard = path.joinpath(*name.split("/"), f"refs.{cell // record_size}.parq")
            if not shard.exists():
                with pytest.raises(SourceError, match="refs"):
                    lazy.at(cell)
                continue
            mine, theirs = held.references.at(cell), lazy.at(cell)
            if isinstance(mine, tuple):
                assert isinstance(theirs, tuple)
                assert found.targets[theirs[0]].url == manifest.targets[mine[0]].url
                assert theirs[1:] == mine[1:]
            else:
                assert theirs == mine


# Stock fsspec


def stock(path: Path) -> Any:
    reference = pytest.importorskip("fsspec.implementations.reference")
    pytest.importorskip("pandas")
    return reference.LazyReferenceMapper(str(path), fs=fsspec.filesystem("file"), engine="pyarrow")


def test_stock_reads_what_is_written(tmp_path: Path) -> None:
    held = rows(range(10), range(50, 60), range(1, 11), [cell % 2 for cell in range(10)])
    held = held.between(0, 8)
    held.inline, held.whole = {8: b"\0base64:\xff"}, {9: 1}
    made = Manifest(
        2, {"": {"é": 1}, "g": {}}, {"g/x": array((5, 2), held, attributes={"a": 1})}, (Target("u"), Target("ü v"))
    )
    mapper = stock(stored(tmp_path, made))
    assert json.loads(mapper[".zattrs"]) == {"é": 1}
    assert json.loads(mapper["g/x/.zattrs"]) == {"a": 1}
    assert json.loads(mapper["g/x/.zarray"])["shape"] == [5, 2]
    for cell in range(8):
        assert list(mapper[f"g/x/{cell // 2}.{cell % 2}"]) == [made.targets[cell % 2].url, 50 + cell, 1 + cell]
    assert mapper["g/x/4.0"] == b"\0base64:\xff"
    assert list(mapper["g/x/4.1"]) == ["ü v"]


def test_stock_reads_arrays_of_one_kind(tmp_path: Path) -> None:
    """An all-null `raw` must be binary for stock."""
    mapper = stock(
        stored(tmp_path, Manifest(2, {"": {}}, {"x": array((3,), rows([0, 1, 2], [1] * 3, [2] * 3))}, (Target("u"),)))
    )
    assert [list(mapper[f"x/{i}"]) for i in range(3)] == [["u", 1, 2]] * 3
    schema = pq.read_schema(tmp_path / "m.parq/x/refs.0.parq")
    assert [(name, str(schema.field(name).type)) for name in schema.names] == [
        ("path", "string"),
        ("offset", "int64"),
        ("size", "int64"),
        ("raw", "binary"),
    ]


def test_what_stock_cannot_have_it_does_not_find(tmp_path: Path) -> None:
    held = Manifest(3, {"": {}}, {"x": array((3,), rows([0], [1], [2]), zarr_format=3)}, (Target("u"),))
    path = stored(tmp_path, held)
    assert list(stock(path)) == [".zmetadata"] or not [key for key in stock(path) if key != ".zmetadata"]
    assert load_parquet(path).arrays["x"].references.at(0) == (0, 1, 2)


def test_reads_what_stock_writes(tmp_path: Path) -> None:
    pytest.importorskip("kerchunk")
    reference = pytest.importorskip("fsspec.implementations.reference")
    root = str(tmp_path / "s.parq")
    mapper = reference.LazyReferenceMapper.create(root, record_size=4, engine="pyarrow")
    document = {**metadata((9,)), "fill_value": 0}
    mapper[".zgroup"] = b'{"zarr_format": 2}'
    mapper["x/.zarray"] = json.dumps(document).encode()
    mapper["x/.zattrs"] = b"{}"
    expected = {cell: ["s3://b/k", cell * 10 + 1, cell + 1] for cell in range(8)}
    expected[5] = ["s3://b/whole"]
    for cell, value in expected.items():
        mapper[f"x/{cell}"] = value
    mapper.flush()
    found = load_parquet(root).arrays["x"].references
    urls = load_parquet(root)
    for cell, value in expected.items():
        got = urls.arrays["x"].references.at(cell)
        assert isinstance(got, tuple)
        url = urls.targets[got[0]].url
        assert ([url] if got[2] is None else [url, *got[1:]]) == value
    with pytest.raises(SourceError, match=r"refs\.2\.parq"):  # stock wrote nothing there, which could as well be lost
        found.at(8)


# Lazily


def test_shards_are_read_when_needed_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_parquet(stored(tmp_path, small(20)))
    files = found.arrays["g/x"].references.shards.files  # type: ignore[attr-defined]
    read: list[str] = []
    plain = files.read
    monkeypatch.setattr(files, "read", lambda name: read.append(name) or plain(name))
    lazy = found.arrays["g/x"].references
    assert (lazy.is_loaded(), lazy.is_loaded(5)) == (False, False)
    assert lazy.at(5) == (0, 600, 15)
    assert (lazy.is_loaded(), lazy.is_loaded(5), lazy.is_loaded(2)) == (False, True, False)
    assert lazy.at(2) is None
    assert read == ["g/x/refs.1.parq", "g/x/refs.0.parq"]
    assert len(lazy) == 19
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lazy.at, [9] * 50))) == 1
    assert lazy.between(6, 10).cell.tolist() == [6, 7, 8, 9]
    assert read[2:] == ["g/x/refs.2.parq"]
    assert lazy.cell.tolist() == [cell for cell in range(20) if cell != 2]
    assert sorted(read) == [f"g/x/refs.{i}.parq" for i in range(5)]
    assert (lazy.is_loaded(), lazy.at(2), lazy.at(19)) == (True, None, (0, 2000, 29))
    assert len(read) == 5


def test_sparse_arrays_have_few_shards(tmp_path: Path) -> None:
    count = 2**40
    held = Manifest(2, {"": {}}, {"x": array((count,), rows([7, count - 1], [1, 2], [3, 4]))}, (Target("u"),))
    path = stored(tmp_path, held, 1000)
    assert len(list((path / "x").iterdir())) == 2
    lazy = load_parquet(path).arrays["x"].references
    assert [lazy.at(cell) for cell in (7, 8, 2**39, count - 1)] == [(0, 1, 3), None, None, (0, 2, 4)]
    assert lazy.cell.tolist() == [7, count - 1]
    foreign(path)
    with pytest.raises(ManifestError, match="too many shards"):
        load_parquet(path).load()


def test_pickles_and_threads(tmp_path: Path) -> None:
    found = load_parquet(stored(tmp_path))
    assert found.arrays["g/x"].references.at(0) == (0, 100, 10)
    data = pickle.dumps(found)
    assert len(data) < 2000
    again = pickle.loads(data)
    assert again.arrays["g/x"].references.at(0) == (0, 100, 10)
    assert comparable(again) == comparable(found)


def test_afar(tmp_path: Path, range_server: Any) -> None:
    made = small()
    made.arrays["g/wéi rd%20#?"] = made.arrays.pop("g/x")
    path = stored(tmp_path, made)
    for file in path.rglob("*"):
        if file.is_file():
            range_server.add("d/m.parq/" + quote(file.relative_to(path).as_posix()), file.read_bytes())
    found = open_manifest(f"{range_server.url}/d/m.parq")
    assert [s.path.rpartition("/")[2] for s in range_server.served] == [".zmetadata"]
    assert comparable(found) == comparable(as_read(made))
    memory = fsspec.filesystem("memory")
    memory.put(str(path), "/sets/m.parq", recursive=True)
    assert comparable(open_manifest("memory://sets/m.parq")) == comparable(as_read(made))


# Damage


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "garbage", "page", "swapped", "short"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_damaged_shard_is_an_error_and_no_missing_chunk(tmp_path: Path, damage: str, ours: bool) -> None:
    path = stored(tmp_path)
    if not ours:
        foreign(path)
    shard = path / "g/x/refs.1.parq"
    data = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    elif damage == "swapped":
        shutil.copy(path / "g/x/refs.2.parq", shard)
    elif damage == "short":
        table = pq.read_table(shard)
        pq.write_table(table.slice(0, 3), shard)
    else:
        new = {
            "truncated": data[:-9],
            "empty": b"",
            "garbage": b"<html>login</html>",
            "page": data[:4] + b"\xff" * 30 + data[34:],
        }
        shard.write_bytes(new[damage])
    lazy = load_parquet(path).arrays["g/x"].references
    for _ in range(2):
        with pytest.raises((SourceError, ManifestError), match=r"refs\.1\.parq|shard"):
            lazy.at(5)
    assert lazy.at(0) == (0, 100, 10)
    with pytest.raises((SourceError, ManifestError)):
        lazy.load()


def shard(path: Path, table: dict[str, Any], **options: Any) -> References:
    """Put a table in the place of the only shard of a set of others, and open it."""
    foreign(path)
    pq.write_table(pa.table(table), path / "g/x/refs.0.parq", **options)
    return load_parquet(path).arrays["g/x"].references


def full(**columns: Any) -> dict[str, Any]:
    return {
        "path": pa.array(["u"] * 10),
        "offset": pa.array([1] * 10),
        "size": pa.array([2] * 10),
        "raw": pa.nulls(10, pa.binary()),
        **columns,
    }


@pytest.mark.parametrize(
    "columns",
    [
        {"offset": pa.array([-1] * 10)},
        {"size": pa.array([1] * 9 + [-(2**63)])},
        {"offset": pa.array([None] + [1] * 9)},
        {"offset": pa.array([1.0] * 10)},
        {"size": pa.array(["1"] * 10)},
        {"path": pa.array([1] * 10)},
        {"path": pa.array([b"u"] * 10)},
        {"path": pa.array([["u"]] * 10)},
        {"raw": pa.array(["text"] * 10)},
        {"raw": pa.array([{"a": 1}] * 10)},
        {"path": pa.array([""] * 10)},
        {"offset": pa.array([2**64 - 1] * 10, pa.uint64())},
    ],
)
def test_wrong_columns(tmp_path: Path, columns: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        shard(stored(tmp_path, record_size=100), full(**columns)).at(0)


def test_right_columns(tmp_path: Path) -> None:
    path = stored(tmp_path, record_size=100)
    assert shard(path, full()).at(9) == (0, 1, 2)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"path": pa.array(["u"] * 10), "offset": pa.array([3] * 10), "size": pa.array([4] * 10)}, (0, 3, 4)),
        ({"raw": pa.array([b"data"] * 10)}, b"data"),
        ({"path": pa.array(["u"] * 10)}, (0, 0, None)),
        (full(path=pa.nulls(10)), None),
        (full(path=pa.nulls(10, pa.string())), None),
        (full(raw=pa.nulls(10)), (0, 1, 2)),
        (full(raw=pa.array([b""] * 10)), b""),
        (full(path=pa.array(["u"] * 10).dictionary_encode()), (0, 1, 2)),
        (full(path=pa.array(["u"] * 10, pa.large_string())), (0, 1, 2)),
        (full(offset=pa.array([7] * 10, pa.uint16()), size=pa.array([0] * 10, pa.int32())), (0, 7, 0)),
        (full(path=pa.array([None] * 10, pa.string()), offset=pa.nulls(10, pa.int64())), None),
        (full(other=pa.array([0] * 10)), (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("group", [3, 100])
def test_what_other_writers_may_leave_out(tmp_path: Path, columns: dict[str, Any], found: Any, group: int) -> None:
    lazy = shard(stored(tmp_path, record_size=100), columns, row_group_size=group)
    assert [lazy.at(cell) for cell in (0, 9)] == [found] * 2


def test_padding_says_nothing(tmp_path: Path) -> None:
    padded = {name: pa.concat_arrays([column, column]) for name, column in full().items()}
    lazy = shard(stored(tmp_path, record_size=100), padded)
    assert lazy.cell.tolist() == list(range(10))


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path, record_size=100)
    monkeypatch.setattr(codec, "MAX_ROWS", 1000)
    rows_ = {name: pa.nulls(2000, column.type) for name, column in full().items()}
    with pytest.raises(ManifestError, match="rows"):
        shard(path, rows_).at(0)
    path = stored(tmp_path, record_size=100)
    monkeypatch.setattr(codec, "_UNPACKED", 1000)
    monkeypatch.setattr(codec, "_RATIO", 2)
    with pytest.raises(ManifestError, match="unpacks"):
        shard(path, full(raw=pa.array([bytes(10**5)] * 10)), compression="zstd").at(0)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**4), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_changed_bytes(edits: list[tuple[int, bytes]]) -> None:
    """Whatever is in a shard of others, it is read or refused by an error of ours."""
    image = bytearray(_IMAGE)
    for at, new in edits:
        at %= len(image)
        image[at : at + len(new)] = new
    try:
        found = codec.decode_shard(bytes(image), 0, 10, lambda url: 0, structure="s", source="m")
    except ManifestError:
        return
    assert all(0 <= cell < 10 for cell in found.cell)


def _image() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(full(raw=pa.array([None, b"abc"] * 5))), sink, compression="zstd")
    return sink.getvalue()


_IMAGE = _image()


# .zmetadata


@pytest.mark.parametrize(
    "change",
    [
        {"record_size": 0},
        {"record_size": -1},
        {"record_size": 2**40},
        {"record_size": "4"},
        {"record_size": True},
        {"record_size": None},
        {"metadata": []},
        {"metadata": {".zgroup": 3}},
        {"metadata": {"x/.zarray": {}}},
        {"refmaker": []},
        {"refmaker": {"format": 2}},
        {"refmaker": {"format": 1}},
        {"refmaker": {"format": 1, "shards": []}},
        {"refmaker": {"format": 1, "shards": {"y": {}}}},
        {"refmaker": {"format": 1, "shards": {"g/x": []}}},
        {"refmaker": {"format": 1, "shards": {"g/x": {"-1": [1, "", 1]}}}},
        {"refmaker": {"format": 1, "shards": {"g/x": {"0": [1, "", 0]}}}},
        {"refmaker": {"format": 1, "shards": {"g/x": {"0": [1, 2, 3]}}}},
        {"refmaker": {"format": 1, "shards": {"g/x": {"3": [1, "", 1]}}}},
        {"refmaker": {"format": 1, "shards": {}, "metadata": {"zarr.json": {"zarr_format": 3, "node_type": "group"}}}},
    ],
)
def test_bad_metadata(tmp_path: Path, change: dict[str, Any]) -> None:
    path = stored(tmp_path)
    file = path / ".zmetadata"
    document = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps(document))
    with pytest.raises(ManifestError):
        load_parquet(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"metadata": {}}'])
def test_metadata_that_is_none(tmp_path: Path, text: bytes) -> None:
    path = stored(tmp_path)
    (path / ".zmetadata").write_bytes(text)
    with pytest.raises(ManifestError):
        load_parquet(path)


# Writing


def test_a_set_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    path = stored(tmp_path, small(40))
    write_parquet(small(4), path)
    assert load_parquet(path).arrays["g/x"].cells == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.parq"]
    (path / "g/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="other things"):
        write_parquet(small(), path)
    for name in ("file", "folder"):
        other = tmp_path / name
        other.mkdir() if name == "folder" else other.write_text("mine")
        (other / "refs.0.parq").write_bytes(b"") if name == "folder" else None
        with pytest.raises(OutputError):
            write_parquet(small(), other)
    with pytest.raises(OutputError):
        write_parquet(small(), tmp_path / "none" / "m.parq")
    assert (tmp_path / "file").read_text() == "mine"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".refmaker")]


def test_failure_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path)
    calls = []

    def fail(*args: Any) -> bytes:
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return b""

    monkeypatch.setattr("refmaker.kerchunk.parquet_writer.encode_shard", fail)
    with pytest.raises(OutputError, match="No space"):
        write_parquet(small(40), path, record_size=4)
    assert load_parquet(path).arrays["g/x"].references.at(5) == (0, 600, 15)
    assert [p.name for p in tmp_path.iterdir()] == ["m.parq"]


def test_what_a_set_cannot_hold_is_named(tmp_path: Path) -> None:
    held = Manifest(2, {"": {}}, {".zmetadata/x": array((1,))}, ())
    with pytest.raises(ManifestError, match="zmetadata"):
        write_parquet(held, tmp_path / "m.parq")
    held = Manifest(2, {"": {}}, {"x": array((1,), rows([0], [2**63], [1]))}, (Target("u"),))
    with pytest.raises(ManifestError, match=r"x: .*2\*\*63"):
        write_parquet(held, tmp_path / "m.parq")
    assert not list(tmp_path.iterdir())


def test_memory_is_bounded_by_a_shard(tmp_path: Path) -> None:
    count = 600_000
    column = np.arange(1, count + 1, dtype="u8")
    held = Manifest(2, {"": {}}, {"x": array((count,), rows(range(count), column, column))}, (Target("u"),))
    before = pa.total_allocated_bytes()
    write_parquet(held, tmp_path / "m.parq", record_size=20_000)
    assert pa.total_allocated_bytes() - before < 10 << 20
    assert math.isclose(len(list((tmp_path / "m.parq/x").iterdir())), 30)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    found = load_parquet(path)
    with pytest.raises(Unsupported, match=r"pip install .*\[parquet\]"):
        found.arrays["g/x"].references.at(0)
    with pytest.raises(RefmakerError, match="pyarrow"):
        write_parquet(small(), tmp_path / "n.parq")


def test_after_a_fork_locks_are_free(tmp_path: Path) -> None:
    from refmaker.kerchunk import parquet_shards

    shards = load_parquet(stored(tmp_path)).arrays["g/x"].references.shards  # type: ignore[attr-defined]
    lock = shards.being_read("g/x", 0)
    lock.acquire()
    parquet_shards._after_fork()
    assert shards.being_read("g/x", 0).acquire(timeout=1)
    assert isinstance(shards.lock, type(threading.Lock()))


def test_root_array(tmp_path: Path) -> None:
    held = Manifest(
        2,
        {},
        {"": array((3,), references=rows([1], [5], [6]))},
        (Target("u"),),
    )
    found = load_parquet(stored(tmp_path, held))
    assert found.groups == {}
    assert found.arrays[""].references.at(1) == (0, 5, 6)


def test_stock_finds_groups_with_zarr_and_xarray(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")
    xr = pytest.importorskip("xarray")
    (tmp_path / "data").write_bytes(np.arange(6, dtype="<i4").tobytes())
    held = rows([0, 1, 2], [0, 8, 16], [8, 8, 8])
    node = array((3,), held, chunk=2, attributes={"_ARRAY_DIMENSIONS": ["n"]})
    found = dict.fromkeys(("b/x", "b/a/x", "y"), node)
    made = Manifest(2, {"": {}, "b": {"t": 1}}, found, (Target(str(tmp_path / "data")),))
    mapper = stock(stored(tmp_path, made, 100))
    options = {"remote_protocol": "file", "remote_options": {"asynchronous": True}}
    fs = fsspec.filesystem("reference", fo=mapper, asynchronous=True, skip_instance_cache=True, **options)
    store = zarr.storage.FsspecStore(fs, read_only=True)
    for group, name in ((None, "y"), ("b", "x"), ("b/a", "x")):
        with xr.open_zarr(store, group=group) as data:
            assert data[name].values.tolist() == list(range(6))


@pytest.mark.parametrize("form", ["m.json", "m.json.zst"])
def test_stock_finds_groups_in_json(tmp_path: Path, form: str) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")
    xr = pytest.importorskip("xarray")
    (tmp_path / "data").write_bytes(np.arange(6, dtype="<i4").tobytes())
    held = rows([0, 1, 2], [0, 8, 16], [8, 8, 8])
    node = array((3,), held, chunk=2, attributes={"_ARRAY_DIMENSIONS": ["n"]})
    made = Manifest(2, {"": {}, "b": {"t": 1}}, {"b/c/x": node}, (Target(str(tmp_path / "data")),))
    made.to_json(tmp_path / form)
    document = json.loads(load_bytes(tmp_path / form))
    options = {"remote_protocol": "file", "remote_options": {"asynchronous": True}}
    fs = fsspec.filesystem("reference", fo=document, asynchronous=True, skip_instance_cache=True, **options)
    store = zarr.storage.FsspecStore(fs, read_only=True)
    with xr.open_zarr(store, group="b") as data:
        assert data.attrs == {"t": 1}
    with xr.open_zarr(store, group="b/c") as data:
        assert data["x"].values.tolist() == list(range(6))


# Shards that other writers leave out


def kerchunk_set(tmp_path: Path) -> Path:
    """Make a set without the shards of `x` and the middle one of `y`, as kerchunk would write it."""
    held = {"x": array((10,)), "y": array((10,), rows([0, 9], [1, 2], [3, 4])), "z": array((), rows([0], [5], [6]))}
    path = stored(tmp_path, Manifest(2, {"": {}}, held, (Target(URL),)))
    foreign(path)
    assert not (path / "y/refs.1.parq").exists()
    return path


def test_missing_shards_are_empty_when_the_caller_says_so(tmp_path: Path, range_server: Any) -> None:
    path = kerchunk_set(tmp_path)
    for file in path.rglob("*"):
        if file.is_file():
            range_server.add("m.parq/" + file.relative_to(path).as_posix(), file.read_bytes())
    for location in (str(path), f"{range_server.url}/m.parq"):
        with pytest.raises(SourceError, match="missing_shards"):
            open_manifest(location).arrays["x"].references.at(0)
        found = open_manifest(location, missing_shards="empty")
        y = found.arrays["y"].references
        assert [y.at(cell) for cell in (0, 5, 9)] == [(0, 1, 3), None, (0, 2, 4)]
        assert [y.any_between(4, 8), y.any_between(0, 4)] == [False, True]
        assert (len(found.arrays["x"].references), y.cell.tolist()) == (0, [0, 9])
        again = pickle.loads(pickle.dumps(found))
        assert again.arrays["x"].references.at(3) is None
        write_parquet(found, tmp_path / "ours.parq")
        assert load_parquet(tmp_path / "ours.parq").arrays["x"].references.at(3) is None


def test_missing_shards_of_a_set_that_lists_them_are_lost(tmp_path: Path) -> None:
    path = stored(tmp_path)
    (path / "g/x/refs.1.parq").unlink()
    with pytest.raises(SourceError, match=r"refs\.1\.parq"):
        load_parquet(path, missing_shards="empty").arrays["g/x"].references.at(5)


@pytest.mark.parametrize("fault", ["403", "500", "reset", "html"])
def test_only_what_is_not_there_is_empty(tmp_path: Path, range_server: Any, fault: str) -> None:
    path = kerchunk_set(tmp_path)
    range_server.add("m.parq/.zmetadata", (path / ".zmetadata").read_bytes())
    found = open_manifest(f"{range_server.url}/m.parq", missing_shards="empty").arrays["x"].references
    range_server.add("m.parq/x/refs.0.parq", bytes(1000))
    range_server.faults["m.parq/x/refs.0.parq"] = fault
    with pytest.raises((SourceError, ManifestError)):
        found.at(0)


def test_a_set_that_has_gone_is_not_empty(tmp_path: Path) -> None:
    path = kerchunk_set(tmp_path)
    found = load_parquet(path, missing_shards="empty").arrays["x"].references
    path.rename(tmp_path / "elsewhere")
    with pytest.raises((SourceError, ManifestError)):
        found.at(0)


def test_missing_shards_through_the_filesystem(tmp_path: Path) -> None:
    from refmaker.replay.filesystem import FileSystem

    path = str(kerchunk_set(tmp_path))
    with pytest.raises(SourceError, match=r"refs\.0\.parq"):
        FileSystem(path).cat("x/0")
    found = FileSystem(path, missing_shards="empty")
    for fs in (found, pickle.loads(pickle.dumps(found))):
        with pytest.raises(FileNotFoundError):
            fs.cat("x/0")
    with pytest.raises(SourceError, match=r"refs\.0\.parq"):
        FileSystem(path).cat("x/0")
    with pytest.raises(TypeError, match="missing_shards"):
        FileSystem(path, missing_shards="ignore")
