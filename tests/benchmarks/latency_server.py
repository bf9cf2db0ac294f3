"""An HTTP/1.1 server of byte ranges with latency, in a process of its own, so that it does not share the reader's GIL.

    python tests/benchmarks/latency_server.py FOLDER

Serves the files of FOLDER under `/MILLISECONDS/NAME`: the answer to a request begins so many milliseconds after the
request, and requests on other connections do not wait for it. Prints its port. `/count` gives, as JSON, the requests
and bytes since it was last asked for. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

RANGE = re.compile(rb"^range: *bytes=(\d+)-(\d+)\r?$", re.IGNORECASE | re.MULTILINE)


class Server(asyncio.Protocol):
    """One connection."""

    folder: Path
    files: dict[str, tuple[memoryview, float]]
    count: dict[str, int]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if end:
            self.buffer = rest
            self.request(head)

    def request(self, head: bytes) -> None:
        method, path, _ = head.partition(b"\r\n")[0].decode().split(" ")
        if path == "/count":
            self.send("200 OK", "", json.dumps(self.count).encode())
            self.count.update(requests=0, bytes=0)
            return
        latency, _, name = path.lstrip("/").partition("/")
        found = RANGE.search(head)
        wanted = (int(found[1]), int(found[2]) + 1) if found else None
        loop = asyncio.get_running_loop()
        loop.call_later(int(latency) / 1000, self.answer, method, name, wanted)

    def answer(self, method: str, name: str, wanted: tuple[int, int] | None) -> None:
        data, modified = self.open(name)
        start, stop = wanted or (0, len(data))
        stop = min(stop, len(data))
        body = data[start:stop] if method == "GET" else b""
        self.count["requests"] += 1
        self.count["bytes"] += len(body)
        headers = (
            f'ETag: "{modified}"\r\nAccept-Ranges: bytes\r\nLast-Modified: {formatdate(modified, usegmt=True)}\r\n'
        )
        if wanted:
            headers += f"Content-Range: bytes {start}-{stop - 1}/{len(data)}\r\n"
        self.send("206 Partial Content" if wanted else "200 OK", headers, body, stop - start)

    def send(self, status: str, headers: str, body: bytes | memoryview, size: int | None = None) -> None:
        length = len(body) if size is None else size
        self.transport.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n".encode())
        self.transport.write(body)

    def open(self, name: str) -> tuple[memoryview, float]:
        if name not in self.files:
            with (self.folder / name).open("rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self.files[name] = data, (self.folder / name).stat().st_mtime
        return self.files[name]


async def serve(folder: Path) -> None:
    """Serve until standard input ends."""
    Server.folder, Server.files, Server.count = folder, {}, {"requests": 0, "bytes": 0}
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run the server in another process, and give its url."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate("")


def counted(url: str) -> dict[str, int]:
    """Return requests and bytes since this was last asked."""
    with urllib.request.urlopen(f"{url}/count") as answer:
        found: dict[str, int] = json.loads(answer.read())
    return found


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
