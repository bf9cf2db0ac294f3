"""Scans of objects on moto's S3."""

from __future__ import annotations

import uuid

import pytest

from refmaker import scan
from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.sources.open import open_source
from refmaker.sources.range_planner import FIRST_READ
from refmaker.stores import obstore_s3
from tests.servers import s3_server
from tests.sources.files import large_file, same, small_files

__all__ = ["s3_server"]


@pytest.fixture(params=["s3fs", "obstore"], autouse=True)
def client(request, monkeypatch) -> str:
    """Have objects read by one client or the other."""
    if request.param == "obstore":
        pytest.importorskip("obstore")
    else:
        monkeypatch.setattr(obstore_s3, "file_for", lambda url, options: None)
    return request.param


def key() -> str:
    return f"{uuid.uuid4().hex}.nc"


def test_scans(s3_server, tmp_path):
    (small,) = small_files(tmp_path, 1)
    for path in (small, large_file(tmp_path, chunks=300)):
        url = s3_server.add(key(), path.read_bytes())
        manifest = scan(url, storage_options=s3_server.options)
        same(manifest, scan(str(path)))
        (target,) = manifest.targets
        info = s3_server.filesystem().info(url)
        assert (target.url, target.size) == (url, path.stat().st_size)
        assert (target.etag, target.mtime) == (info["ETag"], info["LastModified"].timestamp())


def test_what_is_not_there(s3_server):
    with pytest.raises(SourceError, match="cannot be reached: FileNotFoundError"):
        scan(f"s3://{s3_server.bucket}/{key()}", storage_options=s3_server.options)
    with pytest.raises(FormatError, match="empty"):
        scan(s3_server.add(key(), b""), storage_options=s3_server.options)


def test_objects_that_are_replaced(s3_server):
    name = key()
    data = bytes(FIRST_READ + 100)
    source = open_source(s3_server.add(name, data), s3_server.options)
    assert source.store.read([FIRST_READ], [FIRST_READ + 100]) == [bytes(100)]
    s3_server.add(name, data[:-1] + b"1")
    with pytest.raises(TargetChanged, match="ETag"):
        source.store.read([FIRST_READ], [FIRST_READ + 50])
    s3_server.add(name, data[:-10])
    with pytest.raises(TargetChanged, match="ETag"):
        source.store.read([FIRST_READ], [FIRST_READ + 100])
    s3_server.add(name, data[:FIRST_READ])
    with pytest.raises(TargetChanged, match="shorter"):
        source.store.read([FIRST_READ], [FIRST_READ + 100])
    s3_server.filesystem().rm(f"{s3_server.bucket}/{name}")
    with pytest.raises(TargetChanged, match="went away"):
        source.store.read([0], [10])


def test_connections(s3_server, client):
    if client == "obstore":
        assert isinstance(open_source(s3_server.add(key(), b"x"), s3_server.options).store.file, obstore_s3.ObstoreFile)
        return
    source = open_source(s3_server.add(key(), b"x"), s3_server.options)
    assert source.store.file.filesystem.config_kwargs["max_pool_connections"] == 64
    own = {**s3_server.options, "config_kwargs": {"max_pool_connections": 3}}
    assert open_source(source.url, own).store.file.filesystem.config_kwargs["max_pool_connections"] == 3
