"""Scans of objects on S3 through obstore: what it is told, and whatever goes wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from refmaker import Manifest, scan
from refmaker.errors import FormatError, RefmakerError, SourceError, TargetChanged
from refmaker.retry import RetryPolicy, is_overload, retry_after
from refmaker.sources import async_store
from refmaker.sources.open import open_source
from refmaker.sources.range_planner import FIRST_READ, Rates
from refmaker.stores import obstore_s3
from refmaker.stores.obstore_s3 import ObstoreFile
from tests.servers import FAULTS, ODDITIES, RangeServer, range_server
from tests.sources.files import large_file, same

pytest.importorskip("obstore")

__all__ = ["range_server"]

QUICK = RetryPolicy(attempts=4, pause=0.001, longest_pause=0.002, timeout=20, slowest=1e9)
BRIEF = replace(QUICK, timeout=0.5)
KEYS = {"key": "a", "secret": "b"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: Any) -> tuple[bytes, Manifest]:
    path = large_file(tmp_path_factory.mktemp("large"))
    return path.read_bytes(), scan(str(path))


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for depends on what was measured; a test is to ask for the same each time."""

    def note(self: Rates, latency: float, size: int = 0, seconds: float = 0.0) -> None:
        self.latency = 0.005

    monkeypatch.setattr(Rates, "note", note)
    monkeypatch.setattr(async_store, "SCAN_POLICY", QUICK)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")


def options(server: RangeServer) -> dict[str, str]:
    return {**KEYS, "endpoint_url": server.url}


def add(server: RangeServer, data: bytes, **of_file: Any) -> str:
    server.add("bucket/a.h5", data, **of_file)
    return "s3://bucket/a.h5"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Clients of other tests are not this one's."""
    obstore_s3._client.cache_clear()
    yield
    obstore_s3._client.cache_clear()


def test_who_reads(range_server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = add(range_server, bytes(100))
    assert isinstance(open_source(url, options(range_server)).store.file, ObstoreFile)  # type: ignore[attr-defined]
    for other in (f"{url}?versionId=1", "s3://bucket"):
        assert obstore_s3.file_for(other, options(range_server)) is None
    first, second = (obstore_s3.file_for(url, options(range_server)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.client is second.client
    obstore_s3._client.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    assert obstore_s3.file_for(url, options(range_server)) is None


def test_a_scan(range_server: RangeServer, large: tuple[bytes, Manifest]) -> None:
    data, local = large
    url = add(range_server, data)
    manifest = scan(url, storage_options=options(range_server))
    same(manifest, local)
    (target,) = manifest.targets
    held = range_server.files["bucket/a.h5"]
    assert (target.url, target.size, target.etag, target.mtime) == (url, len(data), held.etag, held.modified)
    assert {request.method for request in range_server.served} == {"GET"}


@pytest.mark.parametrize("fault", sorted({*FAULTS, *ODDITIES} - {"compressed"}))
@pytest.mark.parametrize("when", ["at once", "later"])
def test_faults_that_last(
    range_server: RangeServer, large: tuple[bytes, Manifest], fault: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that cannot read what it needs fails by name."""
    if fault == "hang":
        monkeypatch.setattr(async_store, "SCAN_POLICY", BRIEF)
    range_server.next_faults = [] if when == "at once" else [None]
    range_server.fault = fault
    url = add(range_server, large[0])
    with pytest.raises(RefmakerError) as caught:
        scan(url, storage_options=options(range_server))
    assert caught.value.source == url
    assert isinstance(caught.value, SourceError | FormatError)
    if when == "later" and fault not in ("404", "416", "other-range", "short"):
        assert not isinstance(caught.value, TargetChanged)


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "truncated", "short-undeclared", "empty", "hang"])
def test_faults_that_pass(
    range_server: RangeServer, large: tuple[bytes, Manifest], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "hang":
        monkeypatch.setattr(async_store, "SCAN_POLICY", BRIEF)
    data, local = large
    burst = QUICK.attempts - 1
    range_server.next_faults = [fault] * burst + [None] * 3 + [fault] * 2 + [None, fault]
    same(scan(add(range_server, data), storage_options=options(range_server)), local)
    assert range_server.next_faults == []


@pytest.mark.parametrize(("fault", "attempts"), [("503", QUICK.attempts), ("403", 1), ("404", 1)])
def test_attempts_are_counted(range_server: RangeServer, fault: str, attempts: int) -> None:
    range_server.fault = fault
    with pytest.raises(SourceError, match=f"cannot be reached: .*{fault}"):
        scan("s3://bucket/a.h5", storage_options=options(range_server))
    assert len(range_server.gets()) == attempts


def test_empty_files(range_server: RangeServer) -> None:
    with pytest.raises(FormatError, match="empty"):
        scan(add(range_server, b""), storage_options=options(range_server))


@pytest.mark.parametrize("how", ["etag", "gone", "shorter"])
@pytest.mark.parametrize("number", [1, 2, 20])
def test_files_that_are_replaced(
    range_server: RangeServer, large: tuple[bytes, Manifest], how: str, number: int
) -> None:
    """Never a manifest of two files, whichever request the second file comes with."""
    data, _ = large
    url = add(range_server, data)

    def replace(n: int, path: str) -> None:
        if n < number:
            return
        if how == "gone":
            range_server.files.pop(path, None)
        else:
            range_server.add(path, bytes(len(data)) if how == "etag" else data[: FIRST_READ // 2])

    range_server.before = replace
    with pytest.raises(TargetChanged, match="while it was scanned") as caught:
        scan(url, storage_options=options(range_server))
    assert caught.value.source == url


@pytest.mark.parametrize(
    ("said", "overload"),
    [
        ("Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code></Error>", True),
        ("ConnectError('tcp open error', Os { code: 24, kind: TooManyOpenFiles })", True),
        ("error trying to connect: Too many open files (os error 24)", True),
        ("Server returned non-2xx status code: 500", False),
        ("error sending request", False),
    ],
)
def test_what_asks_to_slow_down(said: str, overload: bool) -> None:
    from obstore.exceptions import GenericError

    told = obstore_s3._told(GenericError(said), 0)
    assert is_overload(told) == overload
    assert retry_after(told) is not None


def test_a_forked_process_leaves_obstore_to_its_parent(
    range_server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are not there, and nothing would ever answer."""
    url = add(range_server, bytes(100))
    monkeypatch.setattr(obstore_s3, "_forked", False)
    obstore_s3._after_fork()
    assert obstore_s3.file_for(url, options(range_server)) is not None
    obstore_s3._after_fork()
    assert obstore_s3.file_for(url, options(range_server)) is None


def test_scans_that_begin_together_share_a_client(range_server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def slow(bucket: str, **told: Any) -> object:
        made.append(bucket)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr("obstore.store.S3Store", slow)
    url = add(range_server, bytes(100))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: obstore_s3.file_for(url, options(range_server)), range(8)))
    assert made == ["bucket"]
    assert len({id(one.client) for one in found if one is not None}) == 1
