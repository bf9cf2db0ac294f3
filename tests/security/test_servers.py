"""Servers that answer for ever, too much, too slowly, or with something else: memory and time are bounded."""

from __future__ import annotations

import json
import socket
import sys
import time

import pytest

import refmaker
from refmaker.errors import RefmakerError
from refmaker.kerchunk import fetch
from refmaker.netcdf3 import walk
from refmaker.retry import RetryPolicy
from refmaker.sources import async_store, ranged_store
from refmaker.stores.answers import bounded_body
from tests.security.bounds import traced
from tests.security.hostile_server import Answer, chunked, endless, served
from tests.security.test_manifests import document

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")

QUICK = RetryPolicy(attempts=2, pause=0.001, longest_pause=0.002, timeout=0.4, slowest=1e6)
MEMORY = 64 << 20

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS_206 = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_store, "SCAN_POLICY", QUICK)


def redirecting(connection: socket.socket, request: bytes) -> None:
    place = request.split(b" ")[1]
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %bx\r\nContent-Length: 0\r\n\r\n" % place)


def lying(connection: socket.socket, request: bytes) -> None:
    """Promise an exabyte and send little."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\nCDF\x01")


def lying_range(connection: socket.socket, request: bytes) -> None:
    """Say that the file has an exabyte, whatever is asked for."""
    first, last = map(int, request.lower().partition(b"range: bytes=")[2].partition(b"\r")[0].split(b"-"))
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
    body = b"CDF\x05" + bytes(8) + b"\0\0\0\x0c" + (1 << 40).to_bytes(8, "big") + b"\0" * (last - first + 1)
    connection.sendall(head % (last - first + 1, first, last, 10**18) + body[: last - first + 1])


ANSWERS: dict[str, Answer] = {
    "endless body": endless(CHUNKED, chunked(bytes(1 << 16))),
    "endless range": endless(ENDLESS_206 % (0, (1 << 19) - 1, 1 << 30), chunked(bytes(1 << 16))),
    "a byte now and then": endless(CHUNKED, chunked(b"C"), pause=0.02),
    "a byte of a range now and then": endless(ENDLESS_206 % (0, (1 << 19) - 1, 1 << 30), chunked(b"C"), pause=0.02),
    "endless redirects": redirecting,
    "endless header lines": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    "an endless header line": endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536),
    "an endless status line": endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "endless chunk extensions": endless(CHUNKED + b"5;", b"a" * 65536),
    "endless interim answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "an exabyte promised": lying,
    "an exabyte of ranges": lying_range,
    "nothing": endless(b"", b"", pause=0.05),
    "no HTTP": endless(b"", b"SSH-2.0-OpenSSH\r\n" * 100),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_scan_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_store, "WHOLE_LIMIT", 1 << 24)
    monkeypatch.setattr(walk, "MAX_HEADER", 1 << 22)
    began = time.monotonic()
    with served(ANSWERS[name]) as (url, _), traced(memory=MEMORY), pytest.raises(RefmakerError):
        refmaker.scan(url)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "an exabyte of ranges"])
def test_a_read_of_a_chunk_ends(name: str) -> None:
    """Of eight bytes, behind a server that is asked for them."""
    answer = ANSWERS[name]
    if name == "endless range":
        answer = endless(ENDLESS_206 % (16, 23, 1 << 30), chunked(bytes(1 << 16)))
    if name == "a byte of a range now and then":
        answer = endless(ENDLESS_206 % (16, 23, 1 << 30), b"", pause=0.02)
    began = time.monotonic()
    with served(answer) as (url, _), traced(memory=MEMORY):
        fs = refmaker.FileSystem(document(**{"x/0": [url, 16, 8]}), timeout=1.0, attempts=2, skip_instance_cache=True)
        with pytest.raises(RefmakerError):
            fs.cat("x/0")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("known", [None, 1000])
def test_a_target_as_a_whole_ends(known: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refmaker.limits.WHOLE_TARGET", 1 << 22)
    with served(ANSWERS["endless body"]) as (url, _), traced(memory=MEMORY):
        held = document(**{"x/0": [url]})
        held["refmaker"] = {"format": 1, "targets": [{"url": url} | ({"size": known} if known else {})]}
        fs = refmaker.FileSystem(held, timeout=10.0, attempts=1, skip_instance_cache=True)
        with pytest.raises(RefmakerError):
            fs.cat("x/0")


@pytest.mark.parametrize("name", ["endless body", "endless redirects", "endless header lines", "an exabyte promised"])
def test_fetching_a_manifest_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MOST", 1 << 24)
    with served(ANSWERS[name]) as (url, _), traced(memory=MEMORY + (1 << 26)):
        options = {"client_kwargs": {"timeout": timeout()}, "skip_instance_cache": True}
        with pytest.raises(RefmakerError):
            refmaker.open_manifest(url, storage_options=options)
        with pytest.raises(RefmakerError):
            refmaker.open_manifest(f"{url}.parq", storage_options=options)


def timeout() -> object:
    import aiohttp

    return aiohttp.ClientTimeout(total=5.0)


def test_a_redirect_does_not_carry_the_scan_to_a_file(tmp_path) -> None:
    """Other protocols than HTTP are no place that a server can send anybody to."""
    (tmp_path / "x.nc").write_bytes(b"CDF\x01" + bytes(100))

    def answer(connection: socket.socket, request: bytes) -> None:
        place = f"file://{tmp_path}/x.nc".encode()
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n")

    with served(answer) as (url, _), pytest.raises(RefmakerError):
        refmaker.scan(url)


def test_bodies_are_read_no_further_than_they_may_be() -> None:
    """One byte more tells that a body is too long."""
    import asyncio

    asked: list[int] = []

    async def read(number: int) -> bytes:
        asked.append(number)
        return bytes(number)

    assert len(asyncio.run(bounded_body(read, 10))) == 11
    assert asked == [11]


def test_entity_tags_and_times_that_are_none() -> None:
    """What a server says of a file is text: the longest is kept, nothing of it is computed with."""
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n"
    for line in (
        b"ETag: " + b"e" * 8000,
        b"Last-Modified: Mon, 99 Zzz 99999999999 99:99:99 GMT",
        b"Retry-After: 1e999",
    ):
        answer = endless(head + line + b"\r\n\r\nCDF\x01", b"", pause=0.05)
        with served(answer) as (url, _), pytest.raises(RefmakerError):
            refmaker.scan(url)


def test_json_of_a_server_is_a_manifest_only_where_one_is_asked_for() -> None:
    body = json.dumps(document()).encode()
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%d/%d\r\nContent-Length: %d\r\n\r\n"
    answer = endless(head % (len(body) - 1, len(body), len(body)) + body, b"", pause=0.05)
    with served(answer) as (url, _), pytest.raises(RefmakerError, match="neither HDF5 nor netCDF"):
        refmaker.scan(url)
