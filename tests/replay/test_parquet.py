"""Parquet sets through unmodified readers: the same values, and no failure that looks like a fill value."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from refmaker.errors import ManifestError, RefmakerError, SourceError
from refmaker.kerchunk.parquet_writer import write_parquet
from refmaker.manifest.manifest import Target
from refmaker.replay import loading
from refmaker.replay.filesystem import FileSystem
from tests.replay.readers import ZARR
from tests.replay.scenes import DATA, FILL, HEAD, VALUES, array, manifest, references
from tests.servers import RangeServer, S3Server

pytest.importorskip("pyarrow")

ROW = VALUES[:1].nbytes


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_cache", loading._Cache())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a set with one chunk a row, the fourth missing and the fifth inlined, two to a shard."""
    (tmp_path / "data.bin").write_bytes(DATA)
    held = references({row: (0, len(HEAD) + row * ROW, ROW) for row in (0, 1, 2, 5)}, {4: VALUES[4].tobytes()})
    made = manifest({"g/x": array((6, 4), (1, 4), held)}, [Target("data.bin", len(DATA))], refusals={"/g/bad": "why"})
    write_parquet(made, tmp_path / "m.parq", record_size=2)
    return tmp_path / "m.parq"


def expected() -> np.ndarray:
    want = VALUES.copy()
    want[3] = FILL
    return want


def read(fs: Any) -> np.ndarray:
    zarr = pytest.importorskip("zarr")
    if zarr.__version__.startswith("2."):
        return zarr.open_group(fs.get_mapper(""), mode="r")["g/x"][...]
    store = zarr.storage.FsspecStore(fs, read_only=True)
    return zarr.open_group(store, mode="r", use_consolidated=False)["g/x"][...]


def test_local(written: Path) -> None:
    for name in (str(written), f"{written}/"):
        fs = fsspec.filesystem("refmaker", fo=name, asynchronous=ZARR == 3)
        np.testing.assert_array_equal(read(fs), expected())


def test_every_way_to_ask(written: Path) -> None:
    fs = FileSystem(written, skip_instance_cache=True)
    assert fs.cat_file("g/x/1.0", 4, 8) == VALUES[1].tobytes()[4:8]
    with pytest.raises(FileNotFoundError):
        fs.cat_file("g/x/3.0")
    assert fs.cat(["g/x/0.0", "g/x/3.0", "g/x/4.0"], on_error="omit").keys() == {"g/x/0.0", "g/x/4.0"}
    assert [fs.exists(f"g/{name}") for name in ("x/0.0", "x/3.0", "x", "bad")] == [True, False, True, False]
    names = (".zarray", ".zattrs", "0.0", "1.0", "2.0", "4.0", "5.0")
    assert sorted(fs.ls("g/x", detail=False)) == [f"g/x/{name}" for name in names]
    assert fs.find("g") == sorted(["g/.zattrs", "g/.zgroup", *fs.ls("g/x", detail=False)])
    assert fs.find("", detail=True)["g/x/4.0"] == {"name": "g/x/4.0", "size": ROW, "type": "file"}
    assert fs.find("g/x/0.0") == ["g/x/0.0"]
    assert fs.find("nothing") == []
    assert fs.info("g/x/2.0")["size"] == ROW
    assert fs.du("g/x") == sum(entry["size"] for entry in fs.ls("g/x"))


def test_only_the_shards_that_are_asked_for(written: Path) -> None:
    (written / "g/x/refs.2.parq").unlink()
    fs = FileSystem(written, skip_instance_cache=True)
    assert fs.cat_file("g/x/0.0") == VALUES[0].tobytes()
    assert fs.info("g/x/1.0")["size"] == ROW


def serve(server: RangeServer, path: Path) -> str:
    for file in path.rglob("*"):
        if file.is_file():
            server.add(f"d/m.parq/{file.relative_to(path).as_posix()}", file.read_bytes())
    server.add("d/data.bin", DATA)
    return f"{server.url}/d/m.parq"


def test_over_http(written: Path, range_server: RangeServer) -> None:
    url = serve(range_server, written)
    np.testing.assert_array_equal(read(FileSystem(url, asynchronous=ZARR == 3)), expected())
    shards = [s.path for s in range_server.served if s.path.endswith(".parq")]
    assert sorted(shards) == [f"d/m.parq/g/x/refs.{i}.parq" for i in range(3)]  # each once, whoever waited for it

    async def inside() -> bytes:
        fs = FileSystem(url, asynchronous=True, skip_instance_cache=True)
        return await fs._cat_file("g/x/2.0")

    assert asyncio.run(inside()) == VALUES[2].tobytes()
    fs = FileSystem(url, skip_instance_cache=True)
    assert fs.cat_file("g/x/5.0") == VALUES[5].tobytes()


def test_over_s3(written: Path, s3_server: S3Server) -> None:
    for file in written.rglob("*"):
        if file.is_file():
            s3_server.add(f"columns/m.parq/{file.relative_to(written).as_posix()}", file.read_bytes())
    s3_server.add("columns/data.bin", DATA)
    url = f"s3://{s3_server.bucket}/columns/m.parq"
    fs = FileSystem(url, target_options=s3_server.options, remote_options=s3_server.options, asynchronous=ZARR == 3)
    np.testing.assert_array_equal(read(fs), expected())


@pytest.mark.parametrize("fault", ["404", "403", "500", "reset", "truncated", "garbage", "page"])
def test_faults_are_never_fill_values(written: Path, range_server: RangeServer, fault: str) -> None:
    url = serve(range_server, written)
    name = "d/m.parq/g/x/refs.1.parq"
    if fault == "garbage":
        range_server.add(name, b"PAR1" + bytes(100) + b"PAR1")
    elif fault == "truncated":
        range_server.add(name, range_server.files[name].data[:-9])
    elif fault == "page":
        range_server.add(name, b"<html>please log in</html>")
    else:
        range_server.faults[name] = fault
    fs = FileSystem(url, asynchronous=ZARR == 3, skip_instance_cache=True)
    with pytest.raises(RefmakerError) as error:
        read(fs)
    assert not isinstance(error.value, OSError | KeyError)
    assert "refs.1.parq" in str(error.value)
    sync = FileSystem(url, skip_instance_cache=True)
    for ask in (sync.exists, sync.info, sync.cat_file, sync.isfile, lambda _: sync.ls("g/x"), lambda _: sync.find("")):
        with pytest.raises(RefmakerError, match=r"refs\.1\.parq"):
            ask("g/x/3.0")  # missing, but that is not known
    assert sync.cat_file("g/x/0.0") == VALUES[0].tobytes()


@pytest.mark.parametrize("fault", ["unlink", "truncate", "garbage", "swap"])
def test_local_damage(written: Path, fault: str) -> None:
    shard = written / "g/x/refs.1.parq"
    data = shard.read_bytes()
    if fault == "unlink":
        shard.unlink()
    else:
        other = (written / "g/x/refs.0.parq").read_bytes()
        shard.write_bytes({"truncate": data[:-20], "garbage": b"x" * len(data), "swap": other}[fault])
    with pytest.raises((SourceError, ManifestError), match=r"refs\.1\.parq"):
        read(FileSystem(written, asynchronous=ZARR == 3))


def test_a_set_that_was_made_anew(written: Path) -> None:
    first = FileSystem(written, skip_instance_cache=True)
    first.cat_file("g/x/0.0")
    held = references({0: (0, 0, 4)})
    write_parquet(manifest({"y": array((1,), (1,), held)}, [Target("data.bin")]), written)
    assert FileSystem(written, skip_instance_cache=True).cat_file("y/0") == DATA[:4]


def test_pickles(written: Path) -> None:
    fs = FileSystem(str(written), skip_instance_cache=True)
    fs.find("")
    data = pickle.dumps(fs)
    assert len(data) < 2000
    assert pickle.loads(data).cat_file("g/x/1.0") == VALUES[1].tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork(written: Path) -> None:
    fs = FileSystem(str(written), skip_instance_cache=True)
    assert fs.cat_file("g/x/0.0") == VALUES[0].tobytes()
    child = os.fork()
    if not child:
        os._exit(0 if fs.cat_file("g/x/5.0") == VALUES[5].tobytes() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(autouse=True)
def no_sets_left() -> Iterator[None]:
    yield
    fsspec.get_filesystem_class("refmaker").clear_instance_cache()


def test_chunks_in_order_are_read_ahead(tmp_path: Path, range_server: RangeServer) -> None:
    """Over shards, and over those that are not here yet: few requests, and the same bytes."""
    count, size = 3000, 500
    data = np.random.default_rng(0).bytes(count * size)
    target = range_server.add("d/long.bin", data)
    made = manifest(
        {"x": array((count,), (1,), references({i: (0, i * size, size) for i in range(count)}))},
        [Target(target, len(data))],
    )
    write_parquet(made, tmp_path / "m.parq", record_size=700)

    async def walk() -> bytes:
        fs = FileSystem(str(tmp_path / "m.parq"), asynchronous=True, skip_instance_cache=True)
        return b"".join([await fs._cat_file(f"x/{i}") for i in range(count)])

    assert asyncio.run(walk()) == data
    gets = [(s.first, s.last) for s in range_server.gets() if s.path == "d/long.bin"]
    assert len(gets) < count // 20
