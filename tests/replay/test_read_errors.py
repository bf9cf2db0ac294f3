"""Whatever goes wrong between a reader and a target, the reader gets an error: never the fill value.

Every fault of a server, over HTTP and S3, by every way of reading that is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refmaker.errors import ManifestError, RefmakerError, SourceError, TargetChanged, Unsupported
from refmaker.file_version import FileVersion, Target
from refmaker.manifest.manifest import Manifest
from refmaker.replay.read_errors import target_changed
from tests.replay.readers import READERS, ZARR, Reader
from tests.replay.scenes import DATA, HEAD, VALUES, scene
from tests.servers import FAULTS, RangeServer, S3Server

FEW = sorted(READERS.keys() & {"filesystem", "store", "fsstore", "xarray"})
MATRIX = [(name, 2) for name in READERS] + ([("store", 3), ("xarray", 3)] if ZARR == 3 else [])


@pytest.fixture(params=sorted(READERS))
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


def placed(held: Manifest, tmp_path: Path) -> str:
    held.to_json(str(tmp_path / "m.json"))
    return str(tmp_path / "m.json")


def refused(reader: Reader, fo: str, **options: Any) -> RefmakerError:
    """Read, and give the error that this must end in."""
    with pytest.raises(RefmakerError) as caught:
        reader(fo=fo, **options)
    assert not isinstance(caught.value, OSError | KeyError)
    return caught.value


@pytest.mark.parametrize(("name", "zarr_format"), [row for row in MATRIX if row[0] in READERS])
@pytest.mark.parametrize("fault", FAULTS)
def test_http(name: str, zarr_format: Any, fault: str, range_server: RangeServer, tmp_path: Path) -> None:
    reader = READERS[name]
    url = range_server.add("a.nc", DATA)
    fo = placed(scene(url, zarr_format=zarr_format), tmp_path)
    range_server.fault = fault
    error = refused(reader, fo, timeout=0.2 if fault == "hang" else 30)
    assert isinstance(error, SourceError)
    assert error.source == url
    assert str(error.path) in ("g/x/0.0", "g/x/c/0/0")
    assert "at 16" in str(error) or "address 16" in str(error)
    range_server.fault = None
    assert (reader(fo=fo)[:2] == VALUES[:2]).all()


@pytest.mark.parametrize("fault", ["403", "404", "500", "reset", "hang"])
def test_http_when_the_target_is_looked_up(
    fault: str, reader: Reader, range_server: RangeServer, tmp_path: Path
) -> None:
    fo = placed(scene(range_server.add("a.nc", DATA), size=len(DATA)), tmp_path)
    range_server.fault, range_server.fault_heads = fault, True
    assert type(refused(reader, fo, timeout=0.2 if fault == "hang" else 30)) is SourceError


@pytest.fixture(scope="module")
def s3_like() -> Iterator[RangeServer]:
    """Yield one server for all tests: clients for a new one take a second to make."""
    with RangeServer() as server:
        server.add("bucket/a.nc", DATA)
        yield server


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize(
    "fault", ["403", "404", "500", "empty", "html", "ignore-range", "reset", "short", "short-undeclared", "truncated"]
)
def test_s3(name: str, fault: str, s3_like: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    fo = placed(scene("s3://bucket/a.nc"), tmp_path)
    options = {"endpoint_url": s3_like.url, "key": "k", "secret": "s"}
    options["config_kwargs"] = {"retries": {"max_attempts": 0}}
    s3_like.fault = fault
    error = refused(READERS[name], fo, remote_options=options)
    assert isinstance(error, SourceError)
    assert error.source == "s3://bucket/a.nc"
    s3_like.fault = None
    assert (READERS[name](fo=fo, remote_options=options)[:2] == VALUES[:2]).all()


def test_nobody_listens(reader: Reader, tmp_path: Path) -> None:
    fo = placed(scene("http://127.0.0.1:1/a.nc"), tmp_path)
    assert type(refused(reader, fo)) is SourceError


@pytest.mark.parametrize("what", ["missing", "truncated", "empty", "folder", "unreadable"])
def test_local(reader: Reader, what: str, tmp_path: Path) -> None:
    fo = placed(scene("a.nc"), tmp_path)
    target = tmp_path / "a.nc"
    if what == "truncated":
        target.write_bytes(DATA[:20])
    elif what == "empty":
        target.write_bytes(b"")
    elif what == "folder":
        target.mkdir()
    elif what == "unreadable":
        target.symlink_to(target)
    assert type(refused(reader, fo)) is SourceError
    if target.is_file():
        target.write_bytes(DATA)
        assert (reader(fo=fo)[:2] == VALUES[:2]).all()


def test_changed(reader: Reader, tmp_path: Path) -> None:
    target = tmp_path / "a.nc"
    target.write_bytes(DATA)
    fo = placed(scene("a.nc", size=len(DATA), mtime=target.stat().st_mtime), tmp_path)
    os.utime(target, (5, 5))
    assert type(refused(reader, fo)) is TargetChanged
    assert (reader(fo=fo, check="size")[:2] == VALUES[:2]).all()
    target.write_bytes(DATA + b"1")
    assert type(refused(reader, fo, check="size")) is TargetChanged
    assert (reader(fo=fo, check="off")[:2] == VALUES[:2]).all()


def rewritten(way: str) -> bytes:
    """Return the target as somebody wrote it anew."""
    return {"same layout": HEAD + (VALUES + 1).tobytes() + b"tail of the file", "other layout": b"more" + DATA}[way]


@pytest.mark.parametrize("way", ["same layout", "other layout"])
@pytest.mark.parametrize("view", ["transparent", "decoded"])
def test_rewritten_locally(reader: Reader, way: str, view: str, tmp_path: Path) -> None:
    target = tmp_path / "a.nc"
    target.write_bytes(DATA)
    os.utime(target, (5, 5))
    fo = placed(scene("a.nc", size=len(DATA), mtime=5.0), tmp_path)
    assert (reader(fo=fo, view=view, chunk_target=1)[:2] == VALUES[:2]).all()
    target.write_bytes(rewritten(way))
    assert type(refused(reader, fo, view=view, chunk_target=1)) is TargetChanged


@pytest.mark.parametrize("way", ["same layout", "other layout"])
@pytest.mark.parametrize("view", ["transparent", "decoded"])
def test_rewritten_over_http(reader: Reader, way: str, view: str, range_server: RangeServer, tmp_path: Path) -> None:
    url = range_server.add("a.nc", DATA)
    fo = placed(scene(url, size=len(DATA), etag=range_server.files["a.nc"].etag), tmp_path)
    assert (reader(fo=fo, view=view, chunk_target=1)[:2] == VALUES[:2]).all()
    range_server.add("a.nc", rewritten(way))
    assert type(refused(reader, fo, view=view, chunk_target=1)) is TargetChanged


@pytest.mark.parametrize("way", ["same layout", "other layout"])
def test_rewritten_in_s3(reader: Reader, way: str, s3_server: S3Server, tmp_path: Path) -> None:
    url = s3_server.add("faults/a.nc", DATA)
    info = s3_server.filesystem().info(url)
    fo = placed(scene(url, size=len(DATA), etag=info["ETag"]), tmp_path)
    assert (reader(fo=fo, remote_options=s3_server.options)[:2] == VALUES[:2]).all()
    s3_server.add("faults/a.nc", rewritten(way))
    assert type(refused(reader, fo, remote_options=s3_server.options)) is TargetChanged


def test_manifest_is_gone(reader: Reader, range_server: RangeServer, tmp_path: Path) -> None:
    for fo in (str(tmp_path / "none.json"), f"{range_server.url}/none.json"):
        assert type(refused(reader, fo)) is SourceError


def test_manifest_is_damaged(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b'{"version": 1, "refs": {"a": [1')
    assert type(refused(reader, str(tmp_path / "m.json"))) is ManifestError


def test_manifest_from_elsewhere_that_names_local_files(
    reader: Reader, range_server: RangeServer, tmp_path: Path
) -> None:
    target = tmp_path / "a.nc"
    target.write_bytes(DATA)
    fo = range_server.add("m.json", Path(placed(scene(str(target)), tmp_path)).read_bytes())
    assert "allow_local" in str(refused(reader, fo))
    assert (reader(fo=fo, allow_local=True)[:2] == VALUES[:2]).all()


@pytest.mark.skipif(not ZARR, reason="needs zarr")
@pytest.mark.parametrize("key", ["g/bad", "g/bad/below"])
def test_refused_arrays(key: str, tmp_path: Path) -> None:
    import fsspec
    import zarr

    fo = placed(scene("a.nc"), tmp_path)
    group = zarr.open_group(fsspec.get_mapper("refmaker://", fo=fo), mode="r")
    with pytest.raises(Unsupported, match="time datatype"):
        group[key]
    with pytest.raises(KeyError):
        group["g/other"]


@pytest.mark.skipif(not ZARR, reason="needs zarr")
def test_arrays_whose_keys_are_spelled_otherwise(tmp_path: Path) -> None:
    """Metadata that say another separator than the chunks have would read as fill values throughout."""
    import fsspec
    import zarr

    fo = placed(scene("a.nc"), tmp_path)
    mapper = fsspec.get_mapper("refmaker://", fo=fo)
    lookup = mapper.fs
    mapper[".zattrs"]
    document = lookup._view.opened.lookup.manifest.arrays["g/x"].metadata.document
    lookup._view.opened.lookup.layout("g/x")
    document["dimension_separator"] = "/"
    if ZARR == 3:
        from zarr.storage import FsspecStore

        array = zarr.open_array(FsspecStore(_asynchronous(lookup), read_only=True, path=""), path="g/x", mode="r")
    else:
        array = zarr.open_group(mapper, mode="r")["g/x"]
    with pytest.raises(ManifestError, match="not a chunk key"):
        array[...]


def _asynchronous(fs: Any) -> Any:
    from refmaker.replay.filesystem import FileSystem

    other = FileSystem(fs.fo, asynchronous=True)
    other._view = fs._view
    return other


def test_the_error_says_what_differs_and_what_to_do() -> None:
    differences = Target("u", 5, None, 0.0).version.differences(FileVersion(6, None, 2e18))
    error = target_changed("s3://b/a.nc", "t/0.0", differences)
    assert isinstance(error, TargetChanged)
    assert not isinstance(error, OSError)
    for part in (
        "s3://b/a.nc",
        "t/0.0",
        "5 bytes then, 6 now",
        "1970-01-01",
        "2e+18",
        "Scan it again",
        "verify",
        "off",
    ):
        assert part in str(error)
