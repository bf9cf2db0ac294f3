"""What is read of targets, from where, under which conditions."""

from __future__ import annotations

import asyncio
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.asyn import get_loop, sync
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from refmaker.errors import ManifestError, RefmakerError, SourceError, TargetChanged
from refmaker.manifest.manifest import Target
from refmaker.replay.targets import Access, ReadRequest, Targets
from tests.replay.scenes import DATA
from tests.servers import RangeServer, S3Server

KEY = "g/x/0.0"

run = partial(sync, get_loop())


def read(
    record: Target | str, offset: int = 4, size: int | None = 8, *, base: str | None = None, **access: Any
) -> bytes:
    record = Target(record) if isinstance(record, str) else record
    targets = Targets([record], base, Access(**access))
    return run(targets.read, ReadRequest(KEY, 0, offset, size))


def size(url: str, **access: Any) -> int | None:
    return run(Targets([Target(url)], None, Access(**access)).size, 0, KEY)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "a b#c%20.nc"
    path.write_bytes(DATA)
    return path


def recorded(path: Path) -> Target:
    status = path.stat()
    return Target(str(path), status.st_size, None, status.st_mtime)


# Places


def test_local(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(local.parent)
    for url in (str(local), f"file://{local}", f"local://{local}", local.name):
        assert read(url) == DATA[4:12]
        assert read(url, 0, None) == DATA
        assert size(url) == len(DATA)
    assert read(str(local), len(DATA) - 3, 3) == DATA[-3:]


def test_beside_the_manifest_not_the_reader(local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read(local.name, base=str(tmp_path / "m.json")) == DATA[4:12]
    assert read(f"../{local.name}", base=str(tmp_path / "elsewhere" / "m.json")) == DATA[4:12]


def test_http(range_server: RangeServer) -> None:
    url = range_server.add("d/a.nc", DATA)
    assert read(url) == DATA[4:12]
    assert read(url, 0, None) == DATA
    assert read(url, 0, len(DATA)) == DATA
    assert read("a.nc", base=f"{range_server.url}/d/m.json") == DATA[4:12]
    assert size(url) == len(DATA)


def test_a_server_without_ranges_can_give_whole_files(range_server: RangeServer) -> None:
    range_server.fault = "ignore-range"
    url = range_server.add("a.nc", DATA)
    assert read(url, 0, len(DATA)) == DATA
    assert read(url, 0, None) == DATA


def test_s3(s3_server: S3Server) -> None:
    url = s3_server.add("targets/a.nc", DATA)
    options = s3_server.options
    assert read(url, remote_options=options) == DATA[4:12]
    assert read("a.nc", base="s3://bucket/targets/m.json", remote_options=options) == DATA[4:12]
    assert read("bucket/targets/a.nc", remote_protocol="s3", remote_options=options) == DATA[4:12]
    assert size(url, remote_options=options) == len(DATA)
    info = s3_server.filesystem().info(url)
    seen = {"etag": info["ETag"], "size": len(DATA)}
    assert read(Target(url, **seen), remote_options=options) == DATA[4:12]
    with pytest.raises(TargetChanged, match="ETag"):
        read(Target(url, **{**seen, "etag": "other"}), remote_options=options)


def test_synchronous_filesystems() -> None:
    fsspec.filesystem("memory").pipe("/targets/a.nc", DATA)
    assert read("memory://targets/a.nc") == DATA[4:12]
    assert read("a.nc", base="memory://targets/m.json") == DATA[4:12]
    assert size("memory://targets/a.nc") == len(DATA)


def test_several_protocols(local: Path, range_server: RangeServer) -> None:
    fsspec.filesystem("memory").pipe("/targets/a.nc", DATA)
    urls = [range_server.add("a", DATA), str(local), "memory://targets/a.nc"]
    targets = Targets([Target(url) for url in urls], None, Access(remote_options={"block_size": 1}))

    async def each() -> list[bytes]:
        return await asyncio.gather(*(targets.read(ReadRequest(KEY, i, i, 5)) for i in range(3)))

    assert asyncio.run(each()) == [DATA[i : i + 5] for i in range(3)]


# What the opener says of filesystems


def options_for(url: str, records: list[str], **access: Any) -> Any:
    return dict(Targets([Target(record) for record in records], None, Access(**access))._options(url))


def test_options_by_prefix() -> None:
    options = {"anon": True, "s3://b/private": {"key": "k"}, "s3://b/private/more/": {"key": "l"}, "https://": {"x": 1}}
    records = ["/local.nc", "s3://b/a"]
    assert options_for("s3://b/a", records, remote_options=options) == {"anon": True}
    assert options_for("s3://b/private", records, remote_options=options) == {"key": "k"}
    assert options_for("s3://b/private/a", records, remote_options=options) == {"key": "k"}
    assert options_for("s3://b/private-not/a", records, remote_options=options) == {"anon": True}
    assert options_for("s3://b/private/more/a", records, remote_options=options) == {"key": "l"}
    assert options_for("https://h/a", records, remote_options=options) == {"x": 1}
    assert options_for("http://h/a", records, remote_options=options) == {}


def test_plain_options_are_for_one_protocol() -> None:
    options = {"a": 1}
    assert options_for("https://h/a", ["http://h/a", "s3://b/a"], remote_options=options) == options
    assert options_for("s3://b/a", ["http://h/a", "s3://b/a"], remote_options=options) == {}
    assert options_for("s3://b/a", ["http://h/a"], remote_options=options, remote_protocol="s3") == options
    assert options_for("http://h/a", ["http://h/a"], remote_options=options, remote_protocol="s3") == {}
    assert options_for("memory://a", ["/a"], remote_options=options) == {}


def test_filesystem_given(local: Path) -> None:
    MemoryFileSystem().pipe("/given/a.nc", DATA)
    given = MemoryFileSystem()
    assert read("memory://given/a.nc", fs=given) == DATA[4:12]
    assert read("given/a.nc", fs=given) == DATA[4:12]
    assert read(str(local), fs=LocalFileSystem()) == DATA[4:12]
    assert read(local.name, fs=LocalFileSystem(), base=str(local.parent / "m.json")) == DATA[4:12]
    assert read(str(local), fs={"memory": given}) == DATA[4:12]
    assert read("memory://given/a.nc", fs={"memory": given}) == DATA[4:12]
    assert read("given/a.nc", fs={None: given}) == DATA[4:12]
    assert read("memory://given/a.nc", fs={"memory": {}}) == DATA[4:12]


def test_asynchronous_filesystems_given(range_server: RangeServer) -> None:
    url = range_server.add("a", DATA)
    given = fsspec.filesystem("http", asynchronous=False)
    assert read(url, fs=given) == DATA[4:12]
    assert read(url, fs={"http": {"headers": {"X-Test": "1"}}}) == DATA[4:12]
    assert range_server.served[-1].headers["X-Test"] == "1"
    range_server.fault = "ignore-range"
    with pytest.raises(SourceError, match="ignored the range"):
        read(url, fs=given)


def test_remote_protocol_gives_way_to_the_place_of_the_manifest(range_server: RangeServer) -> None:
    range_server.add("d/a.nc", DATA)
    base = f"{range_server.url}/d/m.json"
    assert read("a.nc", base=base, remote_protocol="http") == DATA[4:12]
    fsspec.filesystem("memory").pipe("/d/a.nc", DATA)
    assert read("d/a.nc", base="/x/m.json", remote_protocol="memory") == DATA[4:12]


# What may be read


def test_a_manifest_from_elsewhere(local: Path) -> None:
    with pytest.raises(SourceError, match="allow_local=True") as error:
        read(str(local), base="https://h/m.json")
    assert (error.value.path, error.value.source) == (KEY, str(local))
    assert read(str(local), base="https://h/m.json", allow_local=True) == DATA[4:12]
    assert read(str(local), base="https://h/m.json", fs={None: LocalFileSystem()}) == DATA[4:12]


def test_above_the_root() -> None:
    with pytest.raises(ManifestError, match="above the root"):
        read("../../a.nc", base="https://h/m.json")


# What is not there, or not right


@pytest.mark.parametrize("url", ["/nowhere/a.nc", "memory://nowhere.nc", "nope://a.nc", "http://127.0.0.1:1/a.nc"])
def test_unreachable(url: str) -> None:
    with pytest.raises(SourceError) as error:
        read(url)
    assert not isinstance(error.value, OSError)
    assert error.value.__cause__ is not None
    assert type(error.value.__cause__).__name__ in str(error.value)
    for part in (url, KEY, "address 4", "8 bytes"):
        assert part in str(error.value)
    with pytest.raises(SourceError, match="cannot be reached"):
        size(url)


def test_errors_survive_pickling() -> None:
    with pytest.raises(SourceError) as error:
        read("/nowhere/a.nc")
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)
    assert type(again) is SourceError


@pytest.mark.parametrize(
    ("offset", "wanted"), [(0, len(DATA) + 1), (len(DATA), 1), (2**62, 2**62), (2**70, 1), (0, 2**70)]
)
def test_beyond_the_end(local: Path, offset: int, wanted: int) -> None:
    with pytest.raises(SourceError, match="another length"):
        read(str(local), offset, wanted)


def test_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(SourceError):
            read(str(path))


def test_time_limit(range_server: RangeServer) -> None:
    range_server.fault = "hang"
    url = range_server.add("a", DATA)
    with pytest.raises(SourceError, match=r"no answer within 0\.1 seconds"):
        read(url, timeout=0.1)
    range_server.fault_heads = True
    for read_it in (lambda: read(Target(url, len(DATA)), timeout=0.1), lambda: size(url, timeout=0.1)):
        with pytest.raises(SourceError):
            read_it()


# Changed targets


def test_unchanged(local: Path) -> None:
    for check in ("strict", "size", "off"):
        assert read(recorded(local), check=check) == DATA[4:12]


def test_touched(local: Path) -> None:
    record = recorded(local)
    os.utime(local, (1, 1))
    with pytest.raises(TargetChanged, match=r"modified .* then, 1970-01-01T00:00:01") as error:
        read(record)
    assert (error.value.path, error.value.source) == (KEY, str(local))
    assert read(record, check="size") == DATA[4:12]
    assert read(record, check="off") == DATA[4:12]


def test_grown(local: Path) -> None:
    record = recorded(local)
    local.write_bytes(DATA + b"more")
    for check in ("strict", "size"):
        with pytest.raises(TargetChanged, match=f"{len(DATA)} bytes then, {len(DATA) + 4} now"):
            read(record, check=check)
    assert read(record, check="off") == DATA[4:12]


def test_changed_between_two_reads(local: Path) -> None:
    targets = Targets([recorded(local)], None, Access())

    async def twice() -> None:
        assert await targets.read(ReadRequest(KEY, 0, 4, 8)) == DATA[4:12]
        os.utime(local, (1, 1))
        await targets.read(ReadRequest(KEY, 0, 4, 8))

    with pytest.raises(TargetChanged):
        asyncio.run(twice())


def test_http_is_checked_with_every_answer_and_not_looked_up(range_server: RangeServer) -> None:
    url = range_server.add("a", DATA)
    etag = range_server.files["a"].etag
    read(Target(url, len(DATA), etag))
    read(Target(url, len(DATA), "other"), check="off")
    read(Target(url, None, "other"), check="size")
    assert [request.method for request in range_server.served] == ["GET"] * 3
    assert [request.headers.get("If-Match") for request in range_server.served] == [etag, None, None]


def test_others_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = MemoryFileSystem()
    fs.pipe("/looked/a", DATA)
    looked: list[str] = []
    info = MemoryFileSystem.info
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: looked.append(path) or info(self, path))
    targets = Targets([Target("memory://looked/a", len(DATA))], None, Access())

    async def often() -> None:
        await asyncio.gather(*(targets.read(ReadRequest(KEY, 0, i, 8)) for i in range(10)))
        await targets.read(ReadRequest(KEY, 0, 4, 8))

    asyncio.run(often())
    assert looked == ["/looked/a"]


@pytest.mark.parametrize(
    ("rest", "check", "message"),
    [
        ({"size": 5}, "strict", "5 bytes then"),
        ({"size": 5}, "size", "5 bytes then"),
        ({"etag": "other"}, "strict", "ETag other then"),
    ],
)
def test_remote_that_changed(range_server: RangeServer, rest: dict[str, Any], check: Any, message: str) -> None:
    url = range_server.add("a", DATA)
    with pytest.raises(TargetChanged, match=message):
        read(Target(url, **rest), 0, 4, check=check)


def test_remote_that_changed_back(range_server: RangeServer) -> None:
    record = Target(range_server.add("a", DATA), len(DATA), range_server.files["a"].etag)
    targets = Targets([record], None, Access())

    async def look() -> None:
        range_server.add("a", DATA, etag="other")
        with pytest.raises(TargetChanged):
            await targets.read(ReadRequest(KEY, 0, 4, 8))
        range_server.add("a", DATA)
        assert await targets.read(ReadRequest(KEY, 0, 4, 8)) == DATA[4:12]

    asyncio.run(look())


def test_no_error_of_ours_is_an_error_that_zarr_takes_for_a_missing_chunk() -> None:
    kinds = [RefmakerError, *RefmakerError.__subclasses__(), *SourceError.__subclasses__()]
    assert not any(issubclass(kind, OSError | KeyError) for kind in kinds)


def test_the_working_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SourceError, match=r"a\.nc"):
        read("a.nc")
