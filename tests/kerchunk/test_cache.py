"""The cache of columns: what is found again, what is not, and that it can go wrong without harm."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refmaker.errors import ManifestError, SourceError
from refmaker.kerchunk import cache
from refmaker.kerchunk.cache import cache_folder, local_state, open_cached
from refmaker.kerchunk.cache_file import read_columns, write_columns
from refmaker.kerchunk.gc_paused import collection_paused
from refmaker.kerchunk.json_writer import iter_json, write_json
from refmaker.manifest import Manifest, Target
from tests.kerchunk.making import array, comparable, manifests, rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("REFMAKER_CACHE_DIR", str(path))
    monkeypatch.setattr(cache, "MIN_SIZE", 100)
    monkeypatch.setattr(cache, "SETTLED", -1.0)
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the sources of the manifests that were parsed."""
    calls: list[str] = []
    plain = cache.read_json
    monkeypatch.setattr(cache, "read_json", lambda data, source: calls.append(source) or plain(data, source=source))
    return calls


def made(size: int = 7) -> Manifest:
    return Manifest(2, {"": {}}, {"x": array((4,), rows([0, 2], [1, 2], [size, size]))}, (Target("u", 99, "e", 1.5),))


def written(path: Path, size: int = 7) -> str:
    write_json(made(size), path)
    return str(path)


def opened(path: str) -> Manifest:
    return open_cached(path, {}, local_state(os.stat(path)))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifests())
def test_round_trip(tmp_path: Path, manifest: Manifest) -> None:
    manifest.sources = {path: (0, "/é") for path in list(manifest.arrays)[:1] if manifest.targets}
    manifest.outside = dict.fromkeys(manifest.arrays, 3)
    write_columns(manifest, tmp_path / "c")
    found = read_columns(tmp_path / "c")
    assert comparable(found) == comparable(manifest)
    assert (found.sources, found.outside) == (manifest.sources, manifest.outside)
    assert b"".join(iter_json(found)) == b"".join(iter_json(manifest))


def test_found_again(tmp_path: Path, folder: Path, parsed: list[str]) -> None:
    path = written(tmp_path / "m.json")
    first, second = opened(path), opened(path)
    assert comparable(first) == comparable(second) == comparable(made())
    assert parsed == [path]
    other = written(tmp_path / "copy.json")
    assert comparable(opened(other)) == comparable(made())
    assert parsed == [path]
    assert sorted(p.suffix for p in folder.iterdir()) == [".columns", ".lock", ".seen", ".seen"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_changed_manifest_is_read(tmp_path: Path, parsed: list[str]) -> None:
    path = written(tmp_path / "m.json")
    opened(path)
    before = os.stat(path)
    written(tmp_path / "m.json", size=8)  # as long as before, and then as old
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert opened(path).arrays["x"].references.at(0) == (0, 1, 8)
    with open(path, "r+b") as file:  # in its place
        data = file.read().replace(b",8]", b",9]")
        file.seek(0)
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert opened(path).arrays["x"].references.at(0) == (0, 1, 9)
    assert parsed == [path] * 3


def test_a_file_of_just_now_is_known_by_its_content_only(
    tmp_path: Path, folder: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED", 1000.0)
    path = written(tmp_path / "m.json")
    opened(path)
    opened(path)
    assert parsed == [path]
    assert not list(folder.glob("*.seen"))


def test_states_of_servers(tmp_path: Path, folder: Path, parsed: list[str], range_server: Any) -> None:
    url = range_server.add("m.json", b"".join(iter_json(made())))
    for state in ((("ETag", "a"), 5), (("ETag", "a"), 5), (("LastModified", "b"), 5), None):
        assert comparable(open_cached(url, {}, state)) == comparable(made())
    assert parsed == [url]
    gets = [s for s in range_server.served if s.method == "GET"]
    assert len(gets) == 3  # known by its ETag once
    assert len(list(folder.glob("*.seen"))) == 1


def test_small_ones_and_off(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "m.json")
    monkeypatch.setattr(cache, "MIN_SIZE", 10**6)
    opened(path)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(cache, "MIN_SIZE", 0)
    monkeypatch.setenv("REFMAKER_CACHE_DIR", "")
    assert cache_folder() is None
    opened(path)
    assert list(folder.iterdir()) == []
    monkeypatch.delenv("REFMAKER_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == str(tmp_path / "xdg/refmaker")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "head", "gone", "seen"])
def test_damage_is_noticed(tmp_path: Path, folder: Path, parsed: list[str], damage: str) -> None:
    path = written(tmp_path / "m.json")
    opened(path)
    entry = next(folder.glob("*.columns"))
    data = bytearray(entry.read_bytes())
    if damage == "flip":
        data[-70] ^= 1
    elif damage == "head":
        data[3] ^= 1
    entry.write_bytes({"cut": data[:-1], "empty": b""}.get(damage, data))
    if damage == "gone":
        entry.unlink()
    if damage == "seen":
        next(folder.glob("*.seen")).write_bytes(b"../../../etc/passwd")
    assert comparable(opened(path)) == comparable(made())
    assert len(parsed) == (1 if damage == "seen" else 2)
    assert comparable(opened(path)) == comparable(made())
    assert len(parsed) == (1 if damage == "seen" else 2)


def test_a_cache_that_does_not_work(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "m.json")
    folder.mkdir()
    folder.chmod(0o777)
    assert cache_folder() is None
    opened(path)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REFMAKER_CACHE_DIR", str(tmp_path / "file"))
    assert comparable(opened(path)) == comparable(made())


def test_room(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for number in range(4):
        opened(written(tmp_path / f"{number}.json", size=number + 1))
        entries = sorted(folder.glob("*.columns"), key=lambda p: p.stat().st_mtime_ns)
        sizes.append(entries[-1].stat().st_size)
        os.utime(entries[-1], (1000 + number, 1000 + number))
    kept = {p.name for p in folder.glob("*.columns") if p.stat().st_mtime >= 1002}
    total = sum(p.stat().st_size for p in folder.iterdir())
    monkeypatch.setattr(cache, "ROOM", total - sizes[0] - 1)
    cache._make_room(str(folder))
    assert {p.name for p in folder.glob("*.columns")} == kept


def test_failures_are_those_of_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("{" + " " * 200)
    with pytest.raises(ManifestError, match="not JSON"):
        opened(str(path))
    with pytest.raises(SourceError):
        open_cached(str(tmp_path / "none.json"), {}, None)


def test_who_waits_does_not_parse(tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads hold locks of their own files, as processes do."""
    path = written(tmp_path / "m.json")
    plain = cache.read_json
    monkeypatch.setattr(cache, "read_json", lambda data, source: time.sleep(0.1) or plain(data, source=source))
    threads = [threading.Thread(target=opened, args=(path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parsed) == 1


def test_who_waits_too_long_parses(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = written(tmp_path / "m.json")
    opened(path)
    next(folder.glob("*.columns")).unlink()
    monkeypatch.setattr(cache, "LOCK_TIMEOUT", 0.05)
    with open(next(folder.glob("*.lock"))) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert comparable(opened(path)) == comparable(made())


def test_processes_parse_once(tmp_path: Path, folder: Path) -> None:
    path = written(tmp_path / "m.json")
    code = (
        "import sys, time, json; from refmaker.kerchunk import cache; import os\n"
        "cache.MIN_SIZE = 0; cache.SETTLED = -1.0; calls = []; plain = cache.read_json\n"
        "def slow(data, source): calls.append(1); time.sleep(0.3); return plain(data, source=source)\n"
        "cache.read_json = slow\n"
        "held = cache.open_cached(sys.argv[1], {}, cache.local_state(os.stat(sys.argv[1])))\n"
        "print(json.dumps([len(calls), held.arrays['x'].references.at(2)]))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=".")
        )
        for _ in range(3)
    ]
    found = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert sum(calls for calls, _ in found) == 1
    assert [row for _, row in found] == [[0, 2, 7]] * 3


def test_collection_is_paused_and_goes_on() -> None:
    assert gc.isenabled()
    with collection_paused(), collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 20), st.binary(max_size=20))
def test_sizes_that_are_not_aligned(cells: int, data: bytes) -> None:
    held = rows(range(cells), range(1, cells + 1), range(cells), [cell % 3 for cell in range(cells)])
    held.inline = {cells: data, cells + 2: data + b"x"}
    made = Manifest(2, {"": {}}, {"x": array((cells + 3,), held)}, tuple(map(Target, "abc")))
    path = Path(os.environ["REFMAKER_CACHE_DIR"]).parent / "c"
    write_columns(made, path)
    assert comparable(read_columns(path)) == comparable(made)


def test_who_parsed_goes_on_with_the_columns_of_the_cache(tmp_path: Path, folder: Path) -> None:
    """The memory of parsing is given back, and the first reader has what all others will have."""
    first = opened(written(tmp_path / "m.json"))
    assert not first.arrays["x"].references.offset.flags.writeable
    assert comparable(first) == comparable(made())
    assert len(list(folder.glob("*.columns"))) == 1
