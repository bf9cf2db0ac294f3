"""Scans of objects on S3 through obstore: what it is told, and whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from refmaker import Manifest, scan
from refmaker.errors import FormatError, RefmakerError, SourceError, TargetChanged
from refmaker.retry import RetryPolicy
from refmaker.sources import async_store, obstore_s3
from refmaker.sources.obstore_s3 import ObstoreS3, options_of
from refmaker.sources.open import open_source
from refmaker.sources.range_planner import FIRST_READ, Rates
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
    for name in (*obstore_s3._PROFILES, "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def options(server: RangeServer) -> dict[str, str]:
    return {**KEYS, "endpoint_url": server.url}


def add(server: RangeServer, data: bytes, **of_file: Any) -> str:
    server.add("bucket/a.h5", data, **of_file)
    return "s3://bucket/a.h5"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, None),  # keys from files, roles, the machine's service: botocore knows them all
        (KEYS, None),  # of a region that is not known
        (
            {**KEYS, "client_kwargs": {"region_name": "eu-west-1"}},
            {"access_key_id": "a", "secret_access_key": "b", "region": "eu-west-1"},
        ),
        (
            {**KEYS, "token": "c", "endpoint_url": "http://h"},
            {
                "access_key_id": "a",
                "secret_access_key": "b",
                "session_token": "c",
                "region": "us-east-1",
                "endpoint": "http://h",
            },
        ),
        (
            {"anon": True, "client_kwargs": {"endpoint_url": "https://h"}},
            {"skip_signature": True, "region": "us-east-1", "endpoint": "https://h"},
        ),
        (
            {"anon": True, "key": "a", "endpoint_url": "h"},
            {"skip_signature": True, "region": "us-east-1", "endpoint": "h"},
        ),
        ({"anon": False, "endpoint_url": "https://h"}, None),
        ({**KEYS, "endpoint_url": "https://h", "profile": "x"}, None),
        ({**KEYS, "endpoint_url": "https://h", "requester_pays": True}, None),
        ({**KEYS, "endpoint_url": "https://h", "client_kwargs": {"verify": False}}, None),
        ({**KEYS, "endpoint_url": "https://h", "config_kwargs": {}}, None),
        ({**KEYS, "key": ["a"], "endpoint_url": "https://h"}, None),
    ],
)
def test_options(ours: dict[str, Any], theirs: dict[str, Any] | None) -> None:
    assert options_of(ours) == theirs


def test_options_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert options_of(KEYS) == {"access_key_id": "a", "secret_access_key": "b", "region": "eu-west-1"}
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert options_of(KEYS) is None


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Clients of other tests are not this one's."""
    obstore_s3._client.cache_clear()
    yield
    obstore_s3._client.cache_clear()


def test_who_reads(range_server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = add(range_server, bytes(100))
    assert isinstance(open_source(url, options(range_server)).store, ObstoreS3)  # type: ignore[attr-defined]
    for other in (f"{url}?versionId=1", "s3://bucket"):
        assert obstore_s3.store_for(other, options(range_server)) is None
    assert (
        obstore_s3.store_for(url, options(range_server)).filesystem
        is obstore_s3.store_for(  # type: ignore[union-attr]
            url, options(range_server)
        ).filesystem
    )  # type: ignore[union-attr]
    obstore_s3._client.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    assert obstore_s3.store_for(url, options(range_server)) is None


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
