from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from refmaker.errors import ManifestError, SourceError
from refmaker.kerchunk.json_writer import iter_json
from refmaker.replay import loading
from refmaker.replay.loading import LoadedManifest, load
from tests.replay.scenes import scene
from tests.servers import RangeServer

ARRAY = json.dumps({"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|u1", "compressor": None})


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_cache", loading._Cache())


def opened(held: Any, protocol: str | None = None, options: dict[str, Any] | None = None) -> LoadedManifest:
    return load(held, protocol, options or {}).result(10)


def written(title: str) -> bytes:
    held = scene("u")
    held.groups[""] = {"title": title}
    return b"".join(iter_json(held))


def title(found: LoadedManifest) -> object:
    return json.loads(found.lookup.find(".zattrs"))["title"]


def test_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(written("a"))
    monkeypatch.chdir(tmp_path)
    for name in (path, str(path), "m.json", f"file://{path}"):
        found = opened(name)
        assert title(found) == "a"
        assert found.location == str(path)
    assert opened(str(path), "file").location == str(path)


def test_shared_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(written("a"))
    first = opened(path)
    assert opened(path) is first
    other = tmp_path / "other"
    other.write_bytes(written("b"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)  # as long, and as old, but another file
    assert title(opened(path)) == "b"
    assert title(first) == "a"


def test_few_are_kept(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.json" for i in range(loading.KEPT + 1)]
    for path in paths:
        path.write_bytes(written(path.name))
    found = [opened(path) for path in paths]
    assert opened(paths[-1]) is found[-1]
    assert opened(paths[0]) is not found[0]
    assert len(loading._cache.opened) == len(loading._cache.busy) == loading.KEPT


def test_loaded_once_for_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(written("a"))
    calls = []
    monkeypatch.setattr(loading, "open_cached", lambda *a, **k: calls.append(a) or scene("u"))
    futures = [load(path, None, {}) for _ in range(8)]
    assert len({id(future.result(10)) for future in futures}) == 1
    assert len(calls) == 1


def test_of_a_server(range_server: RangeServer) -> None:
    url = range_server.add("d/m.json", written("a"))
    first = opened(url)
    assert (title(first), first.location) == ("a", url)
    range_server.forget()
    assert opened(url) is first
    assert range_server.gets() == []
    range_server.add("d/m.json", written("b"))
    assert title(opened(url)) == "b"


def test_of_a_server_that_does_not_tell_versions(range_server: RangeServer) -> None:
    range_server.validators = False
    url = range_server.add("m.json", written("a"))
    assert title(opened(url)) == "a"
    range_server.add("m.json", written("b"))  # of the same length
    assert title(opened(url)) == "b"


def test_of_other_filesystems() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/opening/m.json", written("a"))
    found = opened("memory://opening/m.json")
    assert (title(found), found.location) == ("a", "memory://opening/m.json")
    assert opened("opening/m.json", "memory").location == "memory://opening/m.json"
    memory.pipe("/opening/m.json", written("b"))
    assert title(opened("memory://opening/m.json")) == "b"


def test_options_are_for_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.json.gz"
    path.write_bytes(gzip.compress(written("a")))
    assert title(opened(path)) == "a"
    assert title(opened(path, None, {"compression": "gzip"})) == "a"
    assert title(opened(path, "file", {"asynchronous": True, "auto_mkdir": False})) == "a"


def test_in_memory() -> None:
    held = scene("u")
    assert opened(held).lookup.manifest is held
    refs = {".zgroup": '{"zarr_format": 2}', "a/.zarray": ARRAY, "a/0": b"\xff"}
    found = opened({"version": 1, "refs": refs})
    assert found.lookup.find("a/0") == b"\xff"
    assert found.location is None
    assert opened({"a/.zarray": ARRAY, "a/0": "base64:/w=="}).lookup.find("a/0") == b"\xff"
    with pytest.raises(TypeError, match="set"):
        opened({"version": 1, "refs": {"a/.zarray": ARRAY, "a/0": set()}})


def test_failures_are_errors_of_ours(tmp_path: Path, range_server: RangeServer) -> None:
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(ManifestError, match="not JSON"):
        opened(tmp_path / "m.json")
    range_server.fault, range_server.fault_heads = "403", True
    wrong = [
        tmp_path / "none.json",
        tmp_path,
        f"{range_server.url}/m.json",
        "memory://none.json",
        "nope://m.json",
        None,
    ]
    for name in wrong:
        with pytest.raises(SourceError) as error:
            opened(name)
        assert not isinstance(error.value, OSError)
    with pytest.raises(SourceError, match="fo"):
        opened(3)


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with pytest.raises(SourceError):
        opened(path)
    path.write_bytes(written("a"))
    assert title(opened(path)) == "a"


def test_many_waiters_do_not_starve_the_loader(range_server: RangeServer) -> None:
    """A loader that needs the threads of the loop that waits for it would never end."""
    url = range_server.add("m.json", written("a"))

    async def wait() -> list[LoadedManifest]:
        return await asyncio.gather(*(asyncio.wrap_future(load(url, None, {})) for _ in range(100)))

    found = fsspec.asyn.sync(fsspec.asyn.get_loop(), wait, timeout=30)
    assert len(set(map(id, found))) == 1
