"""Real servers on loopback sockets, for tests that read over a network.

`RangeServer` serves bytes over HTTP/1.1 with ranges, validators, latency and faults; it counts what it is asked. With
paths of the form `bucket/key` it does for the few requests that S3 clients make when they read. `s3_server` is moto's
S3. As fixtures: `range_server`, `s3_server`.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

FAULTS = (
    "403",
    "404",
    "416",
    "429",
    "500",
    "503",
    "empty",  # 206 without a body
    "html",  # 200 and a page, as a login form in between gives
    "html-of-that-length",  # the same, exactly as long as the range
    "ignore-range",  # 200 and the whole file
    "other-range",  # 206 and as many bytes from elsewhere
    "hang",  # no answer until the server stops
    "reset",  # the connection is reset
    "short",  # 206 and half of the range, declared so
    "short-undeclared",  # 206 and half of the bytes that Content-Range promises
    "truncated",  # the connection ends in the midst of the body
    "compressed",  # 206 with Content-Encoding
)
ODDITIES = (
    "chunked",  # 200 and the whole file, its length not told
    "unsized",  # the same, without a sign of where it ends
    "no-size",  # 206, Content-Range without the file's size
)


@dataclass
class Served:
    """A request as it was answered. `first` and `last` are those of the Range header."""

    method: str
    path: str
    first: int | None
    last: int | None
    status: int
    headers: dict[str, str]


@dataclass
class File:
    data: bytes
    modified: float
    etag: str | None = None

    def __post_init__(self) -> None:
        if self.etag is None:
            self.etag = f'"{hashlib.sha256(self.data).hexdigest()[:16]}"'


@dataclass
class RangeServer:
    """An HTTP server in threads of this process.

    Attributes
    ----------
    files
        What is served, by path without a leading slash; see `add`.
    fault
        What goes wrong with every GET, one of `FAULTS` or `ODDITIES`; `faults` says it for one path.
    next_faults
        What goes wrong with the next GETs, one after the other; None: nothing. Before all others.
    before
        Called with the number of a GET, from 0, and its path, before it is answered.
    retry_after
        Sent with statuses that are failures.
    chaos
        Gives the fault of each GET that has no other.
    redirects
        Where paths lead to by status 302.
    fault_heads
        HEAD fails as well where the fault is a status, a reset or silence.
    latency
        Seconds before an answer.
    bandwidth
        Bytes a second of all answers together; 0: as fast as they go.
    validators, heads
        ETag and Last-Modified are sent; HEAD is answered.
    served
        All requests, in the order of their answers. `peak`: most of them at a time.
    """

    files: dict[str, File] = field(default_factory=dict)
    fault: str | None = None
    faults: dict[str, str] = field(default_factory=dict)
    next_faults: list[str | None] = field(default_factory=list)
    before: Callable[[int, str], None] | None = None
    retry_after: str | None = None
    chaos: Callable[[], str | None] | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    fault_heads: bool = False
    latency: float = 0.0
    bandwidth: float = 0.0
    validators: bool = True
    heads: bool = True
    served: list[Served] = field(default_factory=list)
    peak: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.line = threading.Lock()
        self.asked = 0
        self.current = 0
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> RangeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Root of what is served, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def add(self, path: str, data: bytes, *, etag: str | None = None, modified: float = 1e9) -> str:
        """Serve `data` at `path`, and give its url."""
        self.files[path] = File(bytes(data), modified, etag)
        return f"{self.url}/{path}"

    def forget(self) -> None:
        """Start counting anew."""
        self.served.clear()
        self.peak = 0

    def gets(self) -> list[Served]:
        """Return the GET requests that were answered."""
        return [request for request in self.served if request.method == "GET"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: RangeServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.owner.lock:
            self.server.owner.connections.add(self.connection)

    def finish(self) -> None:
        with self.server.owner.lock:
            self.server.owner.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client went away, or a fault had it so
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._counted()

    def do_GET(self) -> None:
        self._counted()

    def _counted(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.current += 1
            owner.peak = max(owner.peak, owner.current)
        try:
            if owner.latency:
                time.sleep(owner.latency)
            self._answer()
        finally:
            with owner.lock:
                owner.current -= 1

    def _answer(self) -> None:
        owner = self.server.owner
        path = self.path.partition("?")[0].lstrip("/")
        fault = owner.faults.get(path, owner.fault)
        if self.command == "GET":
            with owner.lock:
                number, owner.asked = owner.asked, owner.asked + 1
                fault = owner.next_faults.pop(0) if owner.next_faults else fault
            if owner.before is not None:
                owner.before(number, path)
        if fault is None and owner.chaos is not None:
            with owner.lock:
                fault = owner.chaos()
        if self.command == "HEAD" and not owner.fault_heads:
            fault = None
        if path in owner.redirects:
            self._send(302, {"Location": owner.redirects[path]}, b"")
        elif fault == "hang":
            owner.stopping.wait()
            self.close_connection = True
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif self.command == "HEAD" and not owner.heads:
            self._send(405, {}, b"")
        elif fault is not None and fault.isdigit():
            headers = {} if owner.retry_after is None else {"Retry-After": owner.retry_after}
            self._send(int(fault), headers, b"<Error><Code>Fault</Code></Error>")
        elif path not in owner.files:
            self._send(404, {}, b"")
        else:
            self._send_file(owner.files[path], fault)

    def _send_file(self, file: File, fault: str | None) -> None:
        headers = {"Accept-Ranges": "bytes"}
        if self.server.owner.validators:
            headers |= {"ETag": str(file.etag), "Last-Modified": formatdate(file.modified, usegmt=True)}
        if self.headers.get("If-Match", file.etag) != file.etag:
            return self._send(412, headers, b"")
        wanted = self._range(len(file.data))
        if fault is not None and fault.startswith("html"):
            page = b"<html>please log in</html>"
            if fault == "html-of-that-length" and wanted is not None:
                page = page.ljust(wanted[1] - wanted[0])[: wanted[1] - wanted[0]]
            return self._send(200, {"Content-Type": "text/html"}, page)
        if fault in ("chunked", "unsized"):
            return self._send_unmeasured(file.data, headers, chunked=fault == "chunked")
        if wanted is None or fault == "ignore-range":
            return self._send(200, headers, file.data)
        first, stop = wanted
        if first >= len(file.data):
            return self._send(416, {"Content-Range": f"bytes */{len(file.data)}"}, b"")
        if fault == "other-range":
            first, stop = (first - 1, stop - 1) if first else (1, stop + 1)
        if fault == "short":
            stop = first + (stop - first) // 2
        size = "*" if fault == "no-size" else len(file.data)
        headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        body = file.data[first:stop]
        if fault == "short-undeclared":
            body = body[: len(body) // 2]
        if fault == "empty":
            body = b""
        if fault == "compressed":
            headers["Content-Encoding"] = "br"
        return self._send(206, headers, body, cut=fault == "truncated")

    def _range(self, size: int) -> tuple[int, int] | None:
        """Return start and stop of the Range header."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None or found[0] == "bytes=-":
            return None
        if not found[1]:
            return max(size - int(found[2]), 0), size
        return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size

    def _send_unmeasured(self, data: bytes, headers: dict[str, str], *, chunked: bool) -> None:
        """Send a whole file without its length."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")))
        self.end_headers()
        piece = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        self.wfile.write(piece + b"0\r\n\r\n" if chunked else data)
        self.wfile.flush()
        self.close_connection = not chunked

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        numbers = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(numbers[1]), int(numbers[2])) if numbers else (None, None)
        request = Served(self.command, self.path.lstrip("/"), first, last, status, dict(self.headers.items()))
        with self.server.owner.lock:
            self.server.owner.served.append(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            if self.server.owner.bandwidth:
                with self.server.owner.line:
                    time.sleep(len(body) / self.server.owner.bandwidth)
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True


@pytest.fixture
def range_server() -> Iterator[RangeServer]:
    """Yield a server that is up for one test."""
    with RangeServer() as server:
        yield server


@dataclass
class S3Server:
    """moto's S3, and the options with which s3fs reads from it."""

    url: str
    bucket: str

    @property
    def options(self) -> dict[str, Any]:
        """Storage options for s3fs."""
        return {
            "endpoint_url": self.url,
            "key": "test",
            "secret": "test",
        }

    def filesystem(self) -> Any:
        """Return a synchronous s3fs filesystem."""
        import s3fs

        return s3fs.S3FileSystem(**self.options)

    def add(self, key: str, data: bytes) -> str:
        """Store `data` under `key`, and give its url."""
        url = f"s3://{self.bucket}/{key}"
        self.filesystem().pipe_file(url, data)
        return url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Yield an S3 server with a bucket. Keys are shared by all tests: choose your own."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = S3Server(f"http://{host}:{port}", "bucket")
    # All of moto's servers in a process have the same buckets.
    found.filesystem().makedirs(found.bucket, exist_ok=True)
    yield found
    server.stop()
