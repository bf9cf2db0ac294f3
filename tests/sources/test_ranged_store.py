"""Scans over HTTP from a server on the loopback: what is asked for, what is recorded, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker import FileSystem, Manifest, scan
from refmaker.errors import FormatError, RefmakerError, SourceError, TargetChanged
from refmaker.retry import RetryPolicy
from refmaker.sources import async_store, ranged_store
from refmaker.sources.range_planner import FIRST_READ, Rates
from tests.servers import FAULTS, ODDITIES, RangeServer, range_server
from tests.sources.files import classic_file, large_file, same, small_files

__all__ = ["range_server"]

QUICK = RetryPolicy(attempts=4, pause=0.001, longest_pause=0.002, timeout=0.25, slowest=1e9)
ATTEMPTS = async_store.SCAN_POLICY.attempts


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[bytes, Manifest]:
    path = large_file(tmp_path_factory.mktemp("large"))
    return path.read_bytes(), scan(str(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[bytes, Manifest]:
    (path,) = small_files(tmp_path_factory.mktemp("small"), 1)
    return path.read_bytes(), scan(str(path))


@pytest.fixture
def brief(monkeypatch) -> None:
    monkeypatch.setattr(async_store, "SCAN_POLICY", QUICK)


@pytest.fixture(autouse=True)
def steady(monkeypatch) -> None:
    """What is asked for depends on what was measured; a test is to ask for the same each time."""

    def note(self: Rates, latency: float, size: int = 0, seconds: float = 0.0) -> None:
        self.latency = 0.005

    monkeypatch.setattr(Rates, "note", note)


def received(server: RangeServer) -> int:
    return sum(request.last - request.first + 1 for request in server.gets() if request.first is not None)


def test_a_small_file_is_one_request(range_server, small):
    data, local = small
    same(scan(range_server.add("a.nc", data)), local)
    assert [(r.method, r.first, r.last) for r in range_server.served] == [("GET", 0, FIRST_READ - 1)]


def counted_rounds(monkeypatch) -> list[int]:
    """Count the requests of each round behind the first answer."""
    fetches: list[int] = []
    fetch = async_store.AsyncStore.read

    def read(self: async_store.AsyncStore, starts, stops) -> list[bytes]:
        fetches.append(len(starts))
        return fetch(self, starts, stops)

    monkeypatch.setattr(async_store.AsyncStore, "read", read)
    return fetches


def test_a_large_file_is_asked_for_in_few_rounds(range_server, large, monkeypatch):
    """Three levels of the index, and what is written last; nodes exactly, not the chunks between them."""
    data, local = large
    fetches = counted_rounds(monkeypatch)
    range_server.latency = 0.1  # in which a busy machine too sends more than ten requests
    same(scan(range_server.add("a.h5", data)), local)
    assert len(fetches) <= 3
    assert received(range_server) < 1_500_000 < len(data) // 10
    assert len(range_server.served) == 1 + sum(fetches) < 150
    assert range_server.peak > 10


@pytest.mark.parametrize(("attribute", "requests"), [(0, 1), (100_000, 1), (2_000_000, 2), (40_000_000, 3)])
def test_netcdf_classic_is_three_rounds_at_most(range_server, tmp_path, attribute, requests, monkeypatch):
    path = classic_file(tmp_path / "a.nc", attribute=attribute, records=2000)
    data = path.read_bytes()
    fetches = counted_rounds(monkeypatch)
    same(scan(range_server.add("a.nc", data)), scan(str(path)))
    assert 1 + len(fetches) <= requests


def test_what_is_recorded(range_server, small):
    data, _ = small
    (target,) = scan(range_server.add("a.nc", data, etag='"x"', modified=1e9 + 0.4)).targets
    assert (target.size, target.etag, target.mtime) == (len(data), '"x"', 1e9)
    range_server.validators = False
    (target,) = scan(f"{range_server.url}/a.nc").targets
    assert (target.size, target.etag, target.mtime) == (len(data), None, None)


def test_headers_and_names(range_server, small):
    data, local = small
    url = range_server.add("a%20b/c%C3%A9.nc", data).replace("%20", " ").replace("%C3%A9", "é")
    same(scan(url, storage_options={"headers": {"X-Token": "t"}}), local)
    (request,) = range_server.served
    assert request.headers["X-Token"] == "t"
    assert request.headers["Accept-Encoding"] == "identity"


# Faults.


@pytest.mark.parametrize("fault", sorted({*FAULTS, *ODDITIES} - {"ignore-range", "chunked"}))
@pytest.mark.parametrize("when", ["at once", "later"])
def test_faults_that_last(range_server, large, fault, when, brief):
    """A scan that cannot read what it needs fails by name."""
    data, _ = large
    range_server.next_faults = [] if when == "at once" else [None]
    range_server.fault = fault
    url = range_server.add("a.h5", data)
    if (fault, when) == ("no-size", "later"):
        scan(url)
        return
    with pytest.raises(RefmakerError) as caught:
        scan(url)
    assert caught.value.source == url
    assert not isinstance(caught.value, OSError | KeyError)
    if not (fault.startswith("html") and when == "at once"):  # a page that is taken for the file
        assert isinstance(caught.value, SourceError)
    if when == "later" and fault not in ("404", "416", "ignore-range", *ODDITIES) and not fault.startswith("html"):
        assert not isinstance(caught.value, TargetChanged)


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "truncated", "short-undeclared", "empty", "hang"])
def test_faults_that_pass(range_server, large, fault, brief):
    """Bursts of failures, a slow first byte, bodies that break off: asked for again, and nothing else."""
    data, local = large
    burst = QUICK.attempts - 1
    range_server.next_faults = [fault] * burst + [None] * 3 + [fault] * 2 + [None, fault]
    same(scan(range_server.add("a.h5", data)), local)
    assert range_server.next_faults == []


def test_attempts_are_counted(range_server, small):
    data, _ = small
    range_server.next_faults = ["503"] * ATTEMPTS
    with pytest.raises(SourceError, match=r"cannot be reached: .*503"):
        scan(range_server.add("a.nc", data))
    assert len(range_server.gets()) == ATTEMPTS
    for fault in ("403", "404"):
        range_server.forget()
        range_server.fault = fault
        with pytest.raises(SourceError, match=f"cannot be reached: .*{fault}"):
            scan(f"{range_server.url}/a.nc")
        assert len(range_server.gets()) == 1


@pytest.mark.parametrize("heard", ["1", "Thu, 02 Jan 2020 03:04:05 GMT", "soon", None])
def test_the_server_says_when(range_server, small, heard):
    data, local = small
    range_server.retry_after = heard
    range_server.next_faults = ["503"]
    same(scan(range_server.add("a.nc", data)), local)


@pytest.mark.parametrize("fault", ["ignore-range", "chunked"])
def test_servers_that_ignore_ranges(range_server, small, fault, monkeypatch):
    """The first answer is the file. It is taken, up to a limit."""
    data, local = small
    range_server.fault = fault
    url = range_server.add("a.nc", data)
    same(scan(url), local)
    assert len(range_server.gets()) <= 2  # the second asks whether ranges are known after all
    monkeypatch.setattr(ranged_store, "WHOLE_LIMIT", len(data))
    same(scan(url), local)
    monkeypatch.setattr(ranged_store, "WHOLE_LIMIT", len(data) - 1)
    with pytest.raises(SourceError, match="ignores ranges, and the file is too large"):
        scan(url)


def test_large_files_of_servers_that_ignore_ranges(range_server, large):
    data, local = large
    range_server.fault = "ignore-range"
    same(scan(range_server.add("a.h5", data)), local)
    assert len(range_server.gets()) == 1


def test_empty_files(range_server):
    url = range_server.add("a.nc", b"")
    for fault in (None, "ignore-range", "chunked"):
        range_server.fault = fault
        with pytest.raises(FormatError, match="empty"):
            scan(url)


# Files that are replaced.


@pytest.mark.parametrize("how", ["etag", "time", "size", "gone", "shorter"])
@pytest.mark.parametrize("number", [1, 2, 20])
def test_files_that_are_replaced(range_server, large, how, number):
    """Never a manifest of two files, whichever request the second file comes with."""
    data, _ = large
    other = bytes(len(data))
    url = range_server.add("a.h5", data, etag='"1"' if how == "etag" else "")
    range_server.files["a.h5"].etag = '"1"' if how == "etag" else ""

    def replace(n: int, path: str) -> None:
        if n < number:
            return
        if how == "gone":
            range_server.files.pop(path, None)
        elif how == "shorter":
            range_server.add(path, data[:1000])
        elif how == "size":
            range_server.add(path, other + b"x")
        else:
            range_server.add(path, other, modified=1e9 + (how == "time"))
        if how != "gone":
            range_server.files[path].etag = '"2"' if how == "etag" else ""

    range_server.before = replace
    with pytest.raises(TargetChanged, match="changed while it was scanned") as caught:
        scan(url)
    assert caught.value.source == url


def test_a_file_replaced_between_scans_is_another(range_server, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(10)
    url = range_server.add("a.h5", (tmp_path / "a.h5").read_bytes())
    first = scan(url)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = np.arange(20)
    range_server.add("a.h5", (tmp_path / "a.h5").read_bytes())
    second = scan(url)
    assert (list(first.arrays), list(second.arrays)) == (["x"], ["y"])
    assert first.targets[0].etag != second.targets[0].etag


def test_memory_has_a_limit(range_server, large):
    from refmaker.scanning.scan import scan_file
    from refmaker.sources.memory_budget import MemoryBudget

    data, _ = large
    with pytest.raises(SourceError, match="more bytes of the file in memory"):
        scan_file(range_server.add("a.h5", data), memory_budget=MemoryBudget(FIRST_READ + 50_000))


def test_a_query(tmp_path: Path):
    """A query is part of the url, also of the one that is recorded."""
    (path,) = small_files(tmp_path, 1)
    with RangeServer() as server:
        server.add("a.nc", path.read_bytes())
        manifest = scan(f"{server.url}/a.nc?signature=x")
        assert manifest.targets[0].url == f"{server.url}/a.nc?signature=x"


def test_the_names_of_headers_are_those_of_http(range_server, small):
    """Against aiohttp's names, not ours: a server ignores a header that it does not know, and sends the whole file."""
    from aiohttp import hdrs

    url = range_server.add("a.nc", small[0])
    manifest = scan(url)
    FileSystem(manifest, allow_local=True).cat([key for key in FileSystem(manifest).find("") if "/0" in key])
    assert len(range_server.gets()) > 1
    assert all(str(hdrs.RANGE) in request.headers for request in range_server.gets())
