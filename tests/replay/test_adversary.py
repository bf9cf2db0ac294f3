"""What a reader could do to get data that are none: in both views, over both forms of manifests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import zlib
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import RefmakerError, SourceError, TargetChanged
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.filesystem import FileSystem
from tests.replay.readers import ZARR, stored
from tests.replay.scenes import array, manifest, references
from tests.servers import RangeServer

VIEWS = ["transparent", "decoded"]
COUNT, SIZE = 60, 400
DATA = np.random.default_rng(0).bytes(COUNT * SIZE)


def held(url: str, **recorded: Any) -> Manifest:
    """Return a manifest of chunks one after the other, of which every seventh is absent."""
    rows = references({i: (0, i * SIZE, SIZE) for i in range(COUNT) if i % 7 != 6})
    node = array((COUNT * SIZE // 4,), (SIZE // 4,), rows, separator=".")  # as Parquet sets have it
    return manifest({"v": node}, [Target(url, **recorded)])


def expected() -> np.ndarray:
    values = np.frombuffer(DATA, "<i4").reshape(COUNT, -1).copy()
    values[6::7] = -9
    return values.ravel()


async def everything(fs: Any) -> np.ndarray:
    """Read all chunks that there are, ten at a time, as zarr does."""
    import json

    chunk = json.loads(await fs._cat_file("v/.zarray"))["chunks"][0]
    out, gate = np.full(-(-COUNT * SIZE // 4 // chunk) * chunk, -9, "<i4"), asyncio.Semaphore(10)

    async def one(i: int) -> None:
        async with gate:
            with contextlib.suppress(FileNotFoundError):
                out[i * chunk : (i + 1) * chunk] = np.frombuffer(await fs._cat_file(f"v/{i}"), "<i4")

    await asyncio.gather(*(one(i) for i in range(len(out) // chunk)))
    return out[: COUNT * SIZE // 4]


@pytest.mark.parametrize("view", VIEWS)
def test_any_slice_is_that_of_the_whole(view: Any) -> None:
    fsspec.filesystem("memory").pipe("/adversary/slices", DATA)
    fs = FileSystem(held("memory://adversary/slices"), view=view, chunk_target=3 * SIZE)
    keys = [key for key in fs.find("v") if not key.rpartition("/")[2].startswith(".")]
    wholes = fs.cat(keys)
    ends = st.one_of(st.none(), st.integers(-4 * SIZE, 4 * SIZE))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(keys), ends, ends), min_size=1, max_size=6))
    def check(asked: list[tuple[str, int | None, int | None]]) -> None:
        want = [wholes[key][start:end] for key, start, end in asked]
        assert [fs.cat_file(key, start, end) for key, start, end in asked] == want
        assert fs.cat_ranges(*map(list, zip(*asked, strict=True))) == want

    check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("view", VIEWS)
def test_forked_in_the_midst_of_a_walk(view: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    fs = FileSystem(held(str(tmp_path / "a")), view=view, chunk_target=2 * SIZE)
    first = fs.cat("v/0"), fs.cat("v/1"), fs.cat("v/2")
    child = os.fork()
    if not child:
        again = fs.cat("v/0"), fs.cat("v/1"), fs.cat("v/2")
        rest = fs.cat_file("v/5")
        os._exit(0 if again == first and rest[-SIZE:] == fs.cat_file("v/5", -SIZE, None) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fs.cat("v/3")


@pytest.mark.parametrize("view", VIEWS)
def test_a_loop_that_ends_in_the_midst(view: Any, range_server: RangeServer) -> None:
    url = range_server.add("a", DATA)
    fs = FileSystem(held(url, size=len(DATA)), view=view, chunk_target=2 * SIZE, asynchronous=True)

    async def given_up() -> None:
        reading = asyncio.ensure_future(everything(fs))
        await asyncio.sleep(0)
        while not range_server.served:
            await asyncio.sleep(0.001)
        reading.cancel()

    asyncio.run(given_up())
    np.testing.assert_array_equal(asyncio.run(everything(fs)), expected())


@pytest.mark.parametrize("view", VIEWS)
def test_cancelled_readers_take_nothing_away_from_others(view: Any, range_server: RangeServer) -> None:
    url = range_server.add("a", DATA)
    fs = FileSystem(held(url, size=len(DATA)), view=view, chunk_target=2 * SIZE, asynchronous=True)
    draw = np.random.default_rng(1)

    async def restless() -> np.ndarray:
        others = [asyncio.ensure_future(fs._cat_file(f"v/{i % 20}")) for i in range(60)]
        for i in draw.permutation(60)[:40].tolist():
            await asyncio.sleep(0)
            others[i].cancel()
        found = await everything(fs)
        await asyncio.gather(*others, return_exceptions=True)
        return found

    np.testing.assert_array_equal(asyncio.run(restless()), expected())


@pytest.mark.parametrize("way", ["in place", "renamed"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_target_that_is_replaced_meanwhile(view: Any, way: str, tmp_path: Path) -> None:
    """Whoever reads gets what was scanned, or an error: no byte of the other file."""
    target, other = tmp_path / "a", bytes(byte ^ 255 for byte in DATA)
    target.write_bytes(DATA)
    os.utime(target, (5, 5))
    fs = FileSystem(held(str(target), size=len(DATA), mtime=5.0), view=view, chunk_target=1)
    cells = [i for i in range(COUNT) if i % 7 != 6]
    ready = threading.Event()

    def replace() -> None:
        ready.wait()
        if way == "in place":
            with open(target, "r+b") as file:
                file.write(other)
        else:
            (tmp_path / "b").write_bytes(other)
            os.replace(tmp_path / "b", target)

    writer = threading.Thread(target=replace)
    writer.start()
    failed = 0
    for turn in range(8):
        for i in cells:
            if (turn, i) == (0, 22):
                ready.set()
            try:
                assert fs.cat_file(f"v/{i}") == DATA[i * SIZE : (i + 1) * SIZE]
            except (TargetChanged, SourceError):
                failed += 1
        if turn == 6:
            writer.join()
            fs = FileSystem(held(str(target), size=len(DATA), mtime=5.0), view=view, chunk_target=1)
    assert failed >= len(cells)


FILLS: list[tuple[str, Any, Any]] = [
    ("<f4", "NaN", np.nan),
    (">f8", "NaN", np.nan),
    (">f8", "-Infinity", -np.inf),
    ("<f2", -0.0, -0.0),
    (">i4", -7, -7),
    (">u2", 65535, 65535),
    ("|b1", True, True),
    ("<c8", ["NaN", 1.0], complex(np.nan, 1)),
    ("<M8[s]", -(2**63), np.datetime64("NaT", "s")),
    ("|S3", "YWI=", b"ab"),
]


@pytest.mark.skipif(ZARR != 3, reason="needs zarr 3")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("dtype", "fill", "value"), FILLS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_absent_chunks_within_one_of_the_view(dtype: str, fill: Any, value: Any, shuffled: bool) -> None:
    """Every byte order and fill value: the decoded view is what the chunks are, to the bit."""
    import zarr

    kind = np.dtype(dtype)
    values = np.zeros((6, 9), kind)
    values.view("u1")[...] = (
        np.random.default_rng(3)
        .integers(0, 2 if kind.kind == "b" else 256, values.nbytes)
        .reshape(values.view("u1").shape)
    )
    data, rows = bytearray(), {}
    for cell in range(6):
        i, j = divmod(cell, 3)
        block = values[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
        if cell in (1, 3):
            block[...] = value
            continue
        planes = np.frombuffer(block.tobytes(), "u1").reshape(-1, kind.itemsize)
        packed = zlib.compress(planes.T.tobytes() if shuffled else planes.tobytes())
        rows[cell] = (0, len(data), len(packed))
        data += packed
    node = array((6, 9), (3, 3), references(rows))
    node.metadata.document.update({"dtype": dtype, "fill_value": fill, "compressor": {"id": "zlib", "level": 1}})
    if shuffled:
        node.metadata.document["filters"] = [{"id": "shuffle", "elementsize": kind.itemsize}]
    fsspec.filesystem("memory").pipe("/adversary/fills", bytes(data))
    made = manifest({"v": node}, [Target("memory://adversary/fills")])
    for target in (1, 200, "1MiB"):
        found = zarr.open_group(stored(fo=made, view="decoded", chunk_target=target), mode="r")["v"][...]
        assert found.dtype == kind
        assert found.tobytes() == values.tobytes()


# Parquet sets: shards that are read when they are needed


def sharded(held_in_memory: Manifest, path: Path, record_size: int) -> str:
    pytest.importorskip("pyarrow")
    from refmaker.kerchunk.parquet_writer import write_parquet

    write_parquet(held_in_memory, path, record_size=record_size)
    return str(path)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("record_size", [1, 4, 100])
def test_parquet_is_as_what_it_was_made_from(view: Any, record_size: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    made = held(str(tmp_path / "a"), size=len(DATA))
    options: dict[str, Any] = {"view": view, "chunk_target": 5 * SIZE, "skip_instance_cache": True}
    fs = FileSystem(sharded(made, tmp_path / "m.parq", record_size), **options)
    other = FileSystem(made, **options)
    key = "v/3"
    assert fs.cat(key) == other.cat(key)
    assert fs.find("") == other.find("")
    assert fs.find("", detail=True) == other.find("", detail=True)
    assert fs.cat(fs.find("")) == other.cat(other.find(""))
    assert [fs.exists(f"v/{i}") for i in range(COUNT)] == [other.exists(f"v/{i}") for i in range(COUNT)]
    fs = FileSystem(fs.fo, asynchronous=True, **options)
    np.testing.assert_array_equal(asyncio.run(everything(fs)), expected())


def test_the_decoded_view_reads_only_shards_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    path = sharded(held(str(tmp_path / "a"), size=len(DATA)), tmp_path / "m.parq", 10)
    for number in (0, 1, 3, 4, 5):
        (tmp_path / f"m.parq/v/refs.{number}.parq").unlink()
    fs = FileSystem(path, view="decoded", chunk_target=5 * SIZE, skip_instance_cache=True)
    assert fs.cat("v/4") == expected()[20 * SIZE // 4 : 25 * SIZE // 4].tobytes()
    assert fs.info("v/5")["size"] == 5 * SIZE
    for i in (0, 3, 6, 11):
        with pytest.raises(RefmakerError, match="refs"):
            fs.cat(f"v/{i}")


@pytest.mark.parametrize("view", VIEWS)
def test_a_lost_shard_ahead_of_a_walk_is_an_error_where_it_is_needed(view: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    path = sharded(held(str(tmp_path / "a"), size=len(DATA)), tmp_path / "m.parq", 10)
    (tmp_path / "m.parq/v/refs.3.parq").unlink()
    fs = FileSystem(path, view=view, chunk_target=1, asynchronous=True, skip_instance_cache=True)

    async def walk() -> None:
        for i in (i for i in range(30) if i % 7 != 6):
            assert await fs._cat_file(f"v/{i}") == DATA[i * SIZE : (i + 1) * SIZE]
        for i in range(30, 40):
            with pytest.raises(RefmakerError, match=r"refs\.3\.parq"):
                await fs._cat_file(f"v/{i}")
        assert await fs._cat_file("v/40") == DATA[40 * SIZE : 41 * SIZE]

    asyncio.run(walk())
