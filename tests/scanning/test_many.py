"""Files side by side: every url has its outcome, and none of them waits for the others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import refmaker
from refmaker import Manifest, RefmakerError, scan, scan_many
from refmaker.sources import memory_budget
from tests.servers import RangeServer, range_server
from tests.sources.files import large_file, same, small_files

__all__ = ["range_server"]

COUNT = 24


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    return small_files(tmp_path_factory.mktemp("many"), COUNT)


def served(server: RangeServer, paths: list[Path]) -> dict[str, Path]:
    return {server.add(path.name, path.read_bytes()): path for path in paths}


def test_over_a_network(range_server, paths):
    urls = served(range_server, paths)
    range_server.latency = 0.02
    outcomes = dict(scan_many(urls, concurrency=8))
    assert outcomes.keys() == urls.keys()
    for url, path in urls.items():
        same(outcomes[url], scan(str(path)))
        assert outcomes[url].targets[0].url == url
    assert 4 < range_server.peak <= 8
    assert len(range_server.served) == COUNT


def test_local_files_and_options(paths):
    outcomes = dict(scan_many(map(str, paths[:3]), concurrency=2, include=["v1"], zarr_format=3))
    assert [sorted(outcomes[str(path)].arrays) for path in paths[:3]] == [["v1"]] * 3
    assert {manifest.zarr_format for manifest in outcomes.values()} == {3}
    assert list(scan_many([])) == []


def test_one_bad_file_is_one_error(range_server, paths, tmp_path):
    urls = served(range_server, paths[:6])
    (tmp_path / "text").write_text("no HDF5 at all")
    bad = [f"{range_server.url}/none.nc", str(tmp_path / "text"), "nosuchprotocol://x"]
    broken = list(urls)[2]
    range_server.faults[broken.rpartition("/")[2]] = "403"
    outcomes = dict(scan_many([bad[0], *urls, *bad[1:]], concurrency=3))
    failed = {url for url, outcome in outcomes.items() if isinstance(outcome, RefmakerError)}
    assert failed == {*bad, broken}
    assert all(outcomes[url].source == url for url in failed)
    assert all(isinstance(outcomes[url], Manifest) for url in urls.keys() - failed)


def test_the_same_url_twice(paths):
    assert [url for url, _ in scan_many([str(paths[0])] * 3)] == [str(paths[0])] * 3


def test_urls_are_taken_as_they_are_needed(paths):
    taken = []

    def urls():
        for path in paths:
            taken.append(path)
            yield str(path)

    found = scan_many(urls(), concurrency=3)
    next(found)
    assert len(taken) == 3
    found.close()
    assert len(taken) == 3


def test_closing_ends_what_is_under_way(range_server, tmp_path):
    data = large_file(tmp_path).read_bytes()
    urls = [range_server.add(f"{n}.h5", data) for n in range(4)]
    first = range_server.add("first.nc", small_files(tmp_path, 1)[0].read_bytes())
    go_on = threading.Event()
    range_server.before = lambda number, path: path == "first.nc" or go_on.wait(10)
    found = scan_many([first, *urls], concurrency=3)
    assert next(found)[0] == first
    threading.Timer(0.1, go_on.set).start()
    found.close()
    # Those that had begun had their first answer, and asked for no more.
    assert len(range_server.served) <= 4


def test_defects_are_raised(paths):
    with pytest.raises(TypeError, match="nonsense"):
        list(scan_many([str(paths[0])], nonsense=1))
    with pytest.raises(ValueError, match="concurrency"):
        list(scan_many([str(paths[0])], concurrency=0))


def test_memory_is_shared(range_server, tmp_path, monkeypatch):
    """Files that need more than their share are scanned one after the other, whatever they need together."""
    path = large_file(tmp_path)
    data, local = path.read_bytes(), scan(str(path))
    held: list[int] = []
    lock = threading.Lock()
    rooms: list[memory_budget.MemoryBudget] = []
    take, end = memory_budget.MemoryBudget.reserve, memory_budget.MemoryBudget.__exit__

    def taking(self, size, url):
        take(self, size, url)
        with lock:
            if self not in rooms:
                rooms.append(self)
            held.append(sum(r.taken for r in rooms))

    def ending(self, *error):
        with lock:
            rooms[:] = [r for r in rooms if r is not self]
        end(self, *error)

    monkeypatch.setattr(memory_budget.MemoryBudget, "reserve", taking)
    monkeypatch.setattr(memory_budget.MemoryBudget, "__exit__", ending)
    urls = [range_server.add(f"{n}.h5", data) for n in range(5)]
    limit = 2 * (len(data) + 5_000_000)
    outcomes = list(scan_many(urls, concurrency=4, memory=limit))
    assert len(outcomes) == 5
    for _, manifest in outcomes:
        same(manifest, local)
    assert max(held) <= limit
    assert np.all([isinstance(error, RefmakerError) for _, error in scan_many(urls, memory=10_000_000 // 8)])


def test_it_is_public():
    assert refmaker.scan_many is scan_many
    assert "scan_many" in refmaker.__all__
