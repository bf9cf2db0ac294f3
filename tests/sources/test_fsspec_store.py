"""Files behind an asynchronous filesystem that is neither HTTP nor S3, as those for Google's and Azure's stores."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.registry import _registry

from refmaker import scan
from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.sources.open import open_source
from refmaker.sources.range_planner import FIRST_READ
from tests.sources.files import large_file, same, small_files


class Cloud(AsyncFileSystem):
    """Holds files in memory; fails as told."""

    protocol = "testcloud"
    cachable = False
    files: ClassVar[dict[str, tuple[bytes, str]]] = {}
    failures: ClassVar[list[Exception]] = []
    asked: ClassVar[list[tuple[str, Any, Any]]] = []

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        self.asked.append(("info", None, None))
        if path not in self.files:
            raise FileNotFoundError(path)
        data, etag = self.files[path]
        return {"name": path, "size": len(data), "type": "file", "etag": etag}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        self.asked.append(("get", start, end))
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return self.files[path][0][start:end]


@pytest.fixture
def cloud():
    fsspec.register_implementation("testcloud", Cloud, clobber=True)
    for held in (Cloud.files, Cloud.failures, Cloud.asked):
        held.clear()
    yield Cloud
    _registry.pop("testcloud")


def test_scans(cloud, tmp_path):
    (small,) = small_files(tmp_path, 1)
    for path in (small, large_file(tmp_path)):
        cloud.files["a.nc"] = (path.read_bytes(), "1")
        cloud.asked.clear()
        manifest = scan("testcloud://a.nc")
        same(manifest, scan(str(path)))
        assert manifest.targets[0].etag == "1"
        # Looked up at both ends, and read together with the first of them.
        kinds = [kind for kind, _, _ in cloud.asked]
        assert sorted(kinds[:2]) == ["get", "info"]
        assert (kinds.count("info"), kinds[-1]) == (2, "info")
        assert ("get", 0, FIRST_READ) in cloud.asked[:2]
        assert (len(kinds) > 3) == (path != small)


def test_failures(cloud, tmp_path):
    path = large_file(tmp_path, chunks=300)
    cloud.files["a.nc"] = (path.read_bytes(), "1")
    cloud.failures += [KeyError("the first read is no more than a try"), ConnectionError(), TimeoutError()]
    same(scan("testcloud://a.nc"), scan(str(path)))
    assert cloud.failures == []
    for error in (FileNotFoundError("x"), KeyError("x"), PermissionError("x"), OSError(5, "x")):
        cloud.failures += [error, error]
        with pytest.raises(SourceError, match=f"cannot be read: {type(error).__name__}") as caught:
            scan("testcloud://a.nc")
        assert not isinstance(caught.value, OSError | KeyError)
        cloud.failures.clear()


def test_changes(cloud):
    data = bytes(FIRST_READ * 2)
    cloud.files["a"] = (data, "1")
    source = open_source("testcloud://a")
    source.check_unchanged()
    cloud.files["a"] = (data[:-10], "1")
    with pytest.raises(TargetChanged, match="changed while"):
        source.check_unchanged()
    with pytest.raises(SourceError, match="another length"):
        source.store.read([FIRST_READ], [2 * FIRST_READ])
    cloud.files["a"] = (data, "2")
    with pytest.raises(TargetChanged, match="ETag 1 then, 2 now"):
        source.check_unchanged()
    cloud.files.clear()
    with pytest.raises(TargetChanged, match="went away"):
        source.check_unchanged()


def test_what_is_none(cloud):
    with pytest.raises(SourceError, match="cannot be reached: FileNotFoundError"):
        open_source("testcloud://none")
    cloud.files["empty"] = (b"", "1")
    with pytest.raises(FormatError, match="empty"):
        open_source("testcloud://empty")


def test_not_from_within_the_loop(cloud):
    """Waiting there for what runs there would never end."""
    cloud.files["a"] = (b"x", "1")

    async def inside() -> None:
        with pytest.raises(SourceError, match="from within the event loop"):
            open_source("testcloud://a")

    asyncio.run_coroutine_threadsafe(inside(), fsspec.asyn.get_loop()).result(10)
