"""What reading costs is bounded: time by the deadline, descriptors and memory by what is in use, errors in length."""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import cause_of, printable

pytestmark = pytest.mark.alone  # its times, or its moments, are those of an idle machine


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve whatever `answer` does with each connection; give a url."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    held: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with suppress(OSError):
            answer(connection)

    def accept() -> None:
        try:
            while True:
                held.append(listening.accept()[0])
                threading.Thread(target=one, args=held[-1:], daemon=True).start()
        except OSError:
            pass

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/x"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        for connection in held:
            connection.close()


def document(url: str, count: int) -> dict[str, object]:
    array = {"zarr_format": 2, "shape": [count], "chunks": [1], "dtype": "|u1", "compressor": None, "filters": None}
    array |= {"fill_value": 0, "order": "C"}
    chunks = {f"a/{i}": [url, i * 10_000_000, 1] for i in range(count)}
    return {"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', "a/.zarray": json.dumps(array), **chunks}}


@pytest.mark.parametrize("view", ["transparent", "decoded"])
@pytest.mark.parametrize("way", ["cat", "cat_ranges", "return"])
def test_many_requests_have_one_deadline(view: str, way: str) -> None:
    """Scattered chunks of a server that hangs: many times more of them than there are requests at a time."""
    count = 600
    with server(lambda connection: time.sleep(0)) as url:
        fs = refmaker.FileSystem(document(url, count), timeout=1, attempts=3, view=view, chunk_target=1)
        keys = [f"a/{i}" for i in range(count)]
        began = time.monotonic()
        if way == "return":
            found = fs.cat(keys, on_error="return")
            assert len(found) == count
            assert all(isinstance(error, refmaker.SourceError) for error in found.values())
        elif way == "cat":
            with pytest.raises(refmaker.SourceError, match="no answer within 1 second"):
                fs.cat(keys)
        else:
            with pytest.raises(refmaker.SourceError):
                fs.cat_ranges(keys, [0] * count, [1] * count, on_error="raise")
        assert time.monotonic() - began < 4  # five waves of 128 took five times as long


GARBAGE = {
    "no status line": b"A" * 200_000,
    "controls": b"\0\x1b[31m\r\n" * 9000,
    "a long reason": b"HTTP/1.1 500 " + b"why " * 1900 + b"\r\n\r\n",
    "a long header": b"HTTP/1.1 206 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "Latin-1": b"HTTP/1.1 206 \xe9\xff\r\nContent-Range: \xe9\xff\r\nContent-Length: 1\r\n\r\nx",
    "numbers without end": b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-0/"
    + b"9" * 5000
    + b"\r\nContent-Length: 1\r\n\r\nx",
    "another range": b"HTTP/1.1 206 OK\r\nContent-Range: bytes 7-7/9\r\nContent-Length: 1\r\n\r\nx",
    "parts": b"HTTP/1.1 206 OK\r\nContent-Type: multipart/byteranges; boundary=b\r\n"
    b"Content-Length: 9\r\n\r\n--b\r\n\r\nxy",
    "416": b"HTTP/1.1 416 No\r\nContent-Type: text/html\r\nContent-Length: 40\r\n\r\n"
    b"<h1>No\x1bparts</h1><p>take it all</p>     ",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_of_servers(kind: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(GARBAGE[kind])
        connection.shutdown(socket.SHUT_WR)

    with server(answer) as url:
        with pytest.raises(refmaker.RefmakerError) as read:
            refmaker.FileSystem(document(url, 1), timeout=5, attempts=1).cat("a/0")
        with pytest.raises(refmaker.RefmakerError) as scanned:
            refmaker.scan(url)
    for error in (read.value, scanned.value):
        assert len(str(error)) < 1000
        assert str(error).isprintable()
        cause = error.__cause__
        while cause is not None:  # a traceback shows them
            assert len(str(cause)) < 1000
            assert "\0" not in str(cause)
            assert "\x1b" not in str(cause)
            cause = cause.__cause__


def test_secrets_are_not_cut_in_the_middle() -> None:
    text = "cannot be reached: " + "x " * 100 + "https://" + "s" * 300 + "@host/x"
    assert "sss" not in cause_of(ValueError(text))
    assert printable("a b", 10) == "a b"
    assert "\n" not in cause_of(ValueError("a\r\nb\0\u2028"))


class Odd(fsspec.AbstractFileSystem):
    """A filesystem that gives what no filesystem should."""

    protocol = "odd"
    cachable = False
    given: object = None

    def info(self, path: str, **options: object) -> dict[str, object]:
        return {"name": path, "size": 5, "type": "file"}

    def cat_file(self, path: str, start: object = None, end: object = None, **options: object) -> object:
        return self.given


@pytest.mark.parametrize("given", [1, 5, "x", None, [1], b"", b"xy"])
def test_filesystems_that_give_something_else(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bytes(1)` is one zero, and would be taken for data."""
    monkeypatch.setattr(Odd, "given", given)
    fs = refmaker.FileSystem(document("odd://x", 1), fs=Odd(), attempts=1)
    with pytest.raises(refmaker.RefmakerError):
        fs.cat("a/0")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("files", [1, 150])
def test_opening_and_closing_leaves_nothing(files: int, tmp_path: Path) -> None:
    manifests = []
    for i in range(files):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file.create_dataset("a", data=np.arange(100), chunks=(10,))
        refmaker.scan(str(tmp_path / f"{i}.h5")).to_json(tmp_path / f"{i}.json")
        manifests.append(str(tmp_path / f"{i}.json"))

    def state() -> tuple[int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")

    states = []
    for turn in range(450):
        if turn % 150 == 0:
            states.append(state())
        fs = refmaker.FileSystem(manifests[turn % files], skip_instance_cache=True)
        assert len(fs.cat("a/3")) == 80
        del fs
    states.append(state())
    assert states[-1][0] <= states[1][0] + 2, states
    assert states[-1][1] <= states[1][1] + (16 << 20), states
