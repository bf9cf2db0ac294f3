"""Local files and files behind fsspec: what is told of them, what is fetched, what goes wrong."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from refmaker.errors import FormatError, RefmakerError, SourceError, TargetChanged
from refmaker.sources.local import LocalSource
from refmaker.sources.open import is_local, open_source
from refmaker.sources.remote import RemoteSource
from refmaker.window import MissingBytes

DATA = bytes(i * 7 % 251 for i in range(300_000))


@pytest.mark.parametrize(("url", "local"), [
    ("a.nc", True), ("/a/b.nc", True), ("~/a.nc", True), ("file:///a.nc", True), ("local:///a.nc", True),
    ("s3://b/a.nc", False), ("http://h/a.nc", False), ("memory://a", False), ("zip://a::file:///b.zip", False),
    ("simplecache::s3://b/a", False), ("file:///a.zip::zip://b", True),
])  # fmt: skip
def test_is_local(url, local):
    assert is_local(url) == local


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(DATA)
    return found


def test_local(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    for url in (str(path), f"file://{path}", "data.bin"):
        source = open_source(url)
        assert isinstance(source, LocalSource)
        assert (source.url, source.version.size) == (str(path), len(DATA))
        assert source.version.modified == path.stat().st_mtime
        buf, pos = source.window.at(100, 20)
        assert bytes(buf[pos : pos + 20]) == DATA[100:120]
        source.check_unchanged()


def test_local_files_that_change(path):
    source = open_source(str(path))
    os.utime(path, (1, 1))
    with pytest.raises(TargetChanged, match="changed while"):
        source.check_unchanged()
    path.unlink()
    with pytest.raises(TargetChanged, match="went away"):
        source.check_unchanged()


def test_local_files_that_are_none(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(FormatError, match="empty"):
        open_source(str(tmp_path / "empty"))
    with pytest.raises(SourceError, match="a directory"):
        open_source(str(tmp_path))
    with pytest.raises(SourceError, match="No such file"):
        open_source(str(tmp_path / "nothing"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SourceError, match="not a regular file"):
            open_source(str(tmp_path / "pipe"))


@pytest.fixture
def url() -> str:
    name = f"/{uuid.uuid4().hex}.bin"
    fsspec.filesystem("memory").pipe_file(name, DATA)
    return f"memory:/{name}"


def read(source: RemoteSource, address: int, size: int) -> bytes:
    for _ in range(2):
        try:
            buf, pos = source.window.at(address, size)
        except MissingBytes as missing:
            source.fetch([missing])
        else:
            return bytes(buf[pos : pos + size])
    raise AssertionError("missing again")


def test_remote(url):
    source = open_source(url)
    assert isinstance(source, RemoteSource)
    assert (source.url, source.version.size) == (url, len(DATA))
    assert read(source, 70_000, 5) == DATA[70_000:70_005]
    assert read(source, 65_000, 200_000) == DATA[65_000:265_000]
    assert read(source, len(DATA) - 3, 3) == DATA[-3:]
    source.check_unchanged()


def test_what_is_missed_is_fetched_together(url, monkeypatch):
    asked = []
    cat_ranges = MemoryFileSystem.cat_ranges

    def counted(self, paths, starts, ends, **options):
        asked.append(list(zip(starts, ends, strict=True)))
        return cat_ranges(self, paths, starts, ends, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_ranges", counted)
    source = open_source(url)
    places = [np.array([0, 100]), np.array([90, 299_990])]
    sizes = [np.array([10, 10]), np.array([10, 10])]
    source.fetch([MissingBytes(*pair) for pair in zip(places, sizes, strict=True)])
    assert len(asked) == 1
    assert asked[0][0][0] == 0
    assert asked[0][-1][1] == len(DATA)
    buf, pos = source.window.at(90, 20)
    assert bytes(buf[pos : pos + 20]) == DATA[90:110]
    with pytest.raises(RefmakerError, match="that are here"):
        source.fetch([MissingBytes(np.array([95]), np.array([10]))])


def test_remote_files_that_change(url):
    source = open_source(url)
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file(source.store.path, DATA[:-1])
    with pytest.raises(TargetChanged, match="changed while"):
        source.check_unchanged()
    with pytest.raises(SourceError, match="another length"):
        read(source, len(DATA) - 10, 10)
    filesystem.rm(source.store.path)
    with pytest.raises(TargetChanged, match="went away"):
        source.check_unchanged()
    with pytest.raises(SourceError, match="cannot be read"):
        read(source, 0, 10)


def test_remote_files_that_are_none(url):
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/empty.bin", b"")
    with pytest.raises(FormatError, match="empty"):
        open_source("memory://empty.bin")
    with pytest.raises(SourceError, match="cannot be reached"):
        open_source("memory://nothing.bin")
    with pytest.raises(SourceError, match="cannot be reached"):
        open_source("nosuchprotocol://x")


class Odd:
    """A filesystem that answers as told."""

    def __init__(self, answer, **info):
        self.answer, self.details = answer, {"size": 100, "type": "file", **info}

    def info(self, path):
        return self.details

    def invalidate_cache(self):
        pass

    def cat_ranges(self, paths, starts, ends, on_error):
        if isinstance(self.answer, Exception) and on_error != "return":
            raise self.answer
        return [self.answer] * len(starts)


def opened(monkeypatch, filesystem) -> RemoteSource:
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **options: (filesystem, "path"))
    return open_source("odd://x")


@pytest.mark.parametrize(
    "answer", [b"", bytes(99), bytes(101), FileNotFoundError("gone"), KeyError("x"), OSError(5, "timeout")]
)
def test_answers_that_are_none(monkeypatch, answer):
    """No failure may look like a missing chunk, and none may pass."""
    source = opened(monkeypatch, Odd(answer))
    with pytest.raises(SourceError) as caught:
        read(source, 0, 10)
    assert not isinstance(caught.value, OSError | KeyError)
    assert "odd://x" in str(caught.value)
    assert "bytes 0 to 100" in str(caught.value)


def test_sizes_that_are_not_told(monkeypatch):
    for size in (None, "100"):
        with pytest.raises(SourceError, match="does not tell"):
            opened(monkeypatch, Odd(b"", size=size))
    with pytest.raises(SourceError, match="directory"):
        opened(monkeypatch, Odd(b"", type="directory"))


def test_errors_are_ours():
    assert not issubclass(RefmakerError, OSError | KeyError)
