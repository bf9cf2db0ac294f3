"""Ranges on disk: what is found is what was put in, whatever happened to the files; the folder is bounded."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker import limits
from refmaker.file_version import Target
from refmaker.replay.disk_cache import CachedRanges, DiskCache

DATA = np.random.default_rng(0).bytes(300_000)
RECORD = Target("http://a/b", len(DATA), '"e"')


def ranges(folder: Path, limit: int = 1 << 30, record: Target = RECORD) -> CachedRanges:
    found = DiskCache(str(folder), limit).ranges(record, record.url)
    assert found is not None
    return found


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def test_what_was_put_in_is_found_by_others(tmp_path: Path) -> None:
    ranges(tmp_path).put(1000, DATA[1000:200_000])
    other = ranges(tmp_path)
    for start, stop in [(1000, 200_000), (1000, 1001), (66_000, 67_000), (199_999, 200_000), (60_000, 140_000)]:
        assert other.find(start, stop) == DATA[start:stop]
    for start, stop in [(999, 1001), (1000, 200_001), (200_000, 200_001), (5, 5), (7, 6)]:
        assert other.find(start, stop) is None


def test_ranges_that_follow_one_another_are_one(tmp_path: Path) -> None:
    held = ranges(tmp_path)
    for start in (0, 50_000, 100_000):
        held.put(start, DATA[start : start + 60_000])
    assert held.find(10, 159_990) == DATA[10:159_990]
    assert held.find(10, 160_001) is None


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_mixture_gives_the_right_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("kept")
    pairs = st.tuples(st.integers(0, 299_000), st.integers(1, 90_000))
    put, covered = ranges(folder), np.zeros(len(DATA), bool)
    for start, size in data.draw(st.lists(pairs, max_size=8)):
        put.put(start, DATA[start : start + size])
        covered[start : start + size] = True
    for held in (put, ranges(folder)):
        for start, size in data.draw(st.lists(pairs, max_size=8)):
            stop = min(start + size, len(DATA))
            assert held.find(start, stop) == (DATA[start:stop] if covered[start:stop].all() else None)


@pytest.mark.parametrize(
    "other",
    [
        Target("http://a/b", len(DATA), '"f"'),
        Target("http://a/b", len(DATA) + 1, '"e"'),
        Target("http://a/c", len(DATA), '"e"'),
        Target("http://a/b", len(DATA), None, 5.0),
    ],
)
def test_other_versions_find_nothing(tmp_path: Path, other: Target) -> None:
    ranges(tmp_path).put(0, DATA)
    assert ranges(tmp_path, record=other).find(0, 10) is None


@pytest.mark.parametrize(
    "record",
    [Target("a"), Target("a", 5), Target("a", None, '"e"'), Target("a", 5, 'W/"e"'), Target("a", None, None, 1.0)],
)
def test_what_does_not_tell_its_version_is_not_kept(tmp_path: Path, record: Target) -> None:
    assert DiskCache(str(tmp_path), 100).ranges(record, record.url) is None


def test_a_weak_etag_beside_a_time_counts_as_the_time(tmp_path: Path) -> None:
    ranges(tmp_path, record=Target("a", 5, 'W/"e"', 1.0)).put(0, b"12345")
    assert ranges(tmp_path, record=Target("a", 5, None, 1.0)).find(0, 5) == b"12345"
    assert ranges(tmp_path, record=Target("a", 5, None, 2.0)).find(0, 5) is None


@pytest.mark.parametrize("place", [0, 9, 41, 49, 57, 60, 77, 78, 5000, 70_000, 140_000, -1])
def test_a_flipped_bit_is_never_read(tmp_path: Path, place: int) -> None:
    ranges(tmp_path).put(0, DATA[:200_000])
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    held = ranges(tmp_path)
    assert held.find(0, 200_000) is None
    assert not files(tmp_path)
    held.put(0, DATA[:200_000])
    assert held.find(0, 200_000) == DATA[:200_000]


@pytest.mark.parametrize("size", [0, 1, 8, 40, 60, 76, 100, 150_000])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_file_that_a_crash_cut_off_is_never_read(tmp_path: Path, size: int, zeros: bool) -> None:
    ranges(tmp_path).put(0, DATA[:200_000])
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:size] + (bytes(len(content) - size) if zeros else b""))
    assert ranges(tmp_path).find(190_000, 200_000) is None
    assert ranges(tmp_path).find(0, 200_000) is None


def test_a_file_under_another_name_is_never_read(tmp_path: Path) -> None:
    ranges(tmp_path).put(0, DATA[:1000])
    (path,) = files(tmp_path)
    path.rename(path.with_name("1000-2000"))
    assert ranges(tmp_path).find(1000, 2000) is None
    ranges(tmp_path).put(0, DATA[:1000])
    other = ranges(tmp_path, record=Target("http://a/b", len(DATA), '"f"'))
    other.put(5000, b"1")
    path.rename(Path(other.folder) / path.name)
    assert ranges(tmp_path, record=Target("http://a/b", len(DATA), '"f"')).find(0, 1000) is None


def test_strange_files_do_no_harm(tmp_path: Path) -> None:
    held = ranges(tmp_path)
    held.put(0, DATA[:1000])
    folder = Path(held.folder)
    for name in ("5-3", f"0-{limits.CACHED_RANGE + 1}", "x", "99999999999999999999-1", ".hidden", "1-2.5.part"):
        (folder / name).write_bytes(b"?")
    (folder / "7000-8000").mkdir()
    (tmp_path / "file").write_bytes(b"?")
    other = ranges(tmp_path)
    assert other.find(0, 1000) == DATA[:1000]
    assert other.find(7000, 7001) is None
    other.kept.trim()


def test_the_folder_stays_below_the_limit_and_keeps_what_was_used(tmp_path: Path) -> None:
    limit = 1_000_000
    held = ranges(tmp_path, limit)
    for i in range(200):
        held.put(i * 10_000, DATA[:10_000])
        if i:
            assert held.find(0, 10_000) == DATA[:10_000]
        assert size_of(tmp_path) <= limit
        os.utime(files(tmp_path)[0].parent / "0-10000", (time.time() + 10, time.time() + 10))
    assert size_of(tmp_path) > limit // 2


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    held = ranges(tmp_path, 160_000)
    held.put(0, DATA[:10_000])
    assert held.find(0, 10_000) is None
    assert size_of(tmp_path) == 0


def test_what_a_kill_left_goes_when_nobody_works_on_it(tmp_path: Path) -> None:
    held = ranges(tmp_path)
    held.put(0, DATA[:1000])
    left = [Path(held.folder) / f"0-{i}.1.1.part" for i in (1, 2)]
    for path in left:
        path.write_bytes(b"?")
    os.utime(left[0], (0, 0))
    held.kept.trim()
    assert [path.exists() for path in left] == [False, True]


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    held = ranges(tmp_path / "file" / "inner")
    held.put(0, b"1")
    assert held.find(0, 1) is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of POSIX")
def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    held = ranges(tmp_path / "kept")
    held.put(0, b"1")
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "kept", held.folder)] == [0o700, 0o700]


def test_many_at_a_time(tmp_path: Path) -> None:
    """Readers and writers with caches of their own, as processes have them, in a folder with little room."""
    wrong: list[tuple[int, int]] = []

    def work(seed: int) -> None:
        held, rng = ranges(tmp_path, 1_000_000), np.random.default_rng(seed)
        for _ in range(150):
            start = int(rng.integers(0, 25)) * 10_000
            stop = start + int(rng.integers(1, 4)) * 10_000
            found = held.find(start, stop)
            if found is None:
                held.put(start, DATA[start:stop])
            elif found != DATA[start:stop]:
                wrong.append((start, stop))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not [path for path in files(tmp_path) if path.name.endswith(".part")]


WRITER = """
import sys
from tests.replay.test_disk_cache import DATA, Path, ranges
held = ranges(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for start in range(0, 200_000, 1000):
        held.put(start, DATA[start : start + 90_000])
        held._touched.clear()
"""


def test_a_killed_writer_leaves_nothing_wrong(tmp_path: Path) -> None:
    for wait in (0.0, 0.01, 0.03):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.communicate()
        held = ranges(tmp_path)
        found = [held.find(start, start + 1000) for start in range(0, 290_000, 1000)]
        assert all(each is None or each == DATA[i * 1000 : i * 1000 + 1000] for i, each in enumerate(found))
