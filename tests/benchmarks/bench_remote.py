"""Scans over a network: wall and CPU seconds, rounds, requests, bytes.

    BENCH_DIR=folder python tests/benchmarks/bench_remote.py W4.nc W1r.h5 W3e.h5 W6c2.nc W5
    python tests/benchmarks/bench_remote.py --quick
    BENCH_DIR=folder python tests/benchmarks/bench_remote.py --results docs/benchmarks/results.json

A server of its own process answers on the loopback, 50 ms after each request (`--latency`); once more with all answers
together held to 25 MB a second (`--bandwidth`), and once more for s3fs and for obstore, which send the same GETs to it
as to S3.
`--moto` adds moto's S3, which has a latency of its own and reads a whole object for every range, so that it is asked
for small files only. A folder stands for the files in it, scanned side by side. Paths are taken from BENCH_DIR. Every
manifest is compared with that of the local file before anything is printed.

The table has the first scan in a fresh process (connections are made) and the median of `--repeat` more. The results go
where those of all benchmarks go, unless `--quick`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import mmap
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import refmaker
from refmaker.sources import async_store, fsspec_store
from tests.benchmarks.runs import environment, stamp
from tests.benchmarks.runs import store as store_results

BUCKET = "bucket"
KEYS = {"key": "test", "secret": "test"}
MOTO_LIMIT = 100_000_000
S3_CLIENTS = ("s3fs", "obstore") if find_spec("obstore") else ("s3fs",)
NAMES = ("W4.nc", "W1r.h5", "W3e.h5", "W6c2.nc", "W5")


# The server.


@dataclass
class Server:
    """An HTTP/1.1 server for ranges of the files in a folder, without a thread a connection."""

    folder: str
    latency: float
    bandwidth: float
    requests: int = 0
    sent: int = 0
    free_at: float = 0.0
    maps: dict[str, Any] = field(default_factory=dict)

    def data(self, path: str) -> Any:
        """Map a file."""
        if path not in self.maps:
            with open(Path(self.folder) / path, "rb") as file:
                self.maps[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self.maps[path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, one after the other."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self.answer(head.decode("latin-1"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        """Answer a GET with a range."""
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        data = self.data(lines[0].split(" ")[1].lstrip("/").removeprefix(f"{BUCKET}/"))
        first, _, last = headers["range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        self.requests += 1
        self.sent += stop - start
        await asyncio.sleep(self.latency)
        writer.write(
            f'HTTP/1.1 206 Partial Content\r\nContent-Length: {stop - start}\r\nETag: "e"\r\n'
            f"Content-Range: bytes {start}-{stop - 1}/{len(data)}\r\n\r\n".encode()
        )
        for at in range(start, stop, 1 << 16):
            part = data[at : min(at + (1 << 16), stop)]
            if self.bandwidth:
                self.free_at = max(self.free_at, time.monotonic()) + len(part) / self.bandwidth
                await asyncio.sleep(self.free_at - time.monotonic())
            writer.write(part)
            await writer.drain()


def run_server(folder: str, latency: float, bandwidth: float, pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed; tell port, and counts when asked."""

    async def main() -> None:
        server = Server(folder, latency, bandwidth)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
        pipe.send(listening.sockets[0].getsockname()[1])
        try:
            while await asyncio.to_thread(pipe.recv):
                pipe.send((server.requests, server.sent))
                server.requests = server.sent = 0
        except EOFError:
            os._exit(0)  # connections may still be open

    asyncio.run(main())


@contextmanager
def http_server(folder: str, latency: float, bandwidth: float) -> Iterator[tuple[str, Callable[[], tuple[int, int]]]]:
    """Yield the root url of a server, and what tells requests and bytes since it was last asked."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_server, args=(folder, latency, bandwidth, theirs), daemon=True)
    process.start()
    theirs.close()
    port = ours.recv()

    def counts() -> tuple[int, int]:
        ours.send(True)
        found: tuple[int, int] = ours.recv()
        return found

    try:
        yield f"http://127.0.0.1:{port}", counts
    finally:
        ours.close()
        process.join(5)
        process.terminate()


# The measurement.


@dataclass
class Run:
    wall: float
    cpu: float
    rounds: int
    requests: int
    size: int
    manifests: dict[str, Any]


@contextmanager
def counted() -> Iterator[list[tuple[int, int]]]:
    """Note requests and bytes of every round, first answers included."""
    found: list[tuple[int, int]] = []
    open_, read = async_store.AsyncStore.open, async_store.AsyncStore.read

    def opening(self: Any, size: int) -> Any:
        identity, data = open_(self, size)
        found.append((2 if isinstance(self, fsspec_store.FsspecStore) else 1, len(data)))
        return identity, data

    def reading(self: Any, starts: Any, stops: Any) -> Any:
        found.append((len(starts), sum(stops) - sum(starts)))
        return read(self, starts, stops)

    async_store.AsyncStore.open, async_store.AsyncStore.read = opening, reading  # type: ignore[method-assign]
    try:
        yield found
    finally:
        async_store.AsyncStore.open, async_store.AsyncStore.read = open_, read  # type: ignore[method-assign]


def scanned(urls: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Scan one file, or several side by side."""
    if len(urls) == 1:
        return {urls[0]: refmaker.scan(urls[0], storage_options=options)}
    return dict(refmaker.scan_many(urls, storage_options=options))


def measured(urls: list[str], options: dict[str, Any], counts: Callable[[], tuple[int, int]] | None) -> Run:
    """Scan and count; the server's counts go before ours."""
    if counts is not None:
        counts()
    with counted() as rounds:
        wall, cpu = time.perf_counter(), time.process_time()
        manifests = scanned(urls, options)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    requests, size = (sum(n for n, _ in rounds), sum(n for _, n in rounds)) if counts is None else counts()
    return Run(wall, cpu, len(rounds), requests, size, manifests)


def compare(manifests: dict[str, Any], paths: list[Path]) -> None:
    """End the program when a manifest is not that of the local file."""
    for (url, manifest), path in zip(sorted(manifests.items()), sorted(paths), strict=True):
        local = refmaker.scan(str(path))
        for name, array in local.arrays.items():
            found = manifest.arrays[name].references
            for column in ("cell", "offset", "size"):
                if not np.array_equal(getattr(found, column), getattr(array.references, column)):
                    sys.exit(f"{url}: {name} has other references than {path}")


def measure(
    name: str, paths: list[Path], urls: list[str], options: dict[str, Any], counts: Any, repeat: int
) -> dict[str, Any]:
    """Measure a file or a folder; seconds, counts, bytes."""
    runs = [measured(urls, options, counts) for _ in range(1 + repeat)]
    compare(runs[0].manifests, paths)
    later = runs[1:] or runs
    return {
        "name": name,
        "files": len(urls),
        "first": round(runs[0].wall, 3),
        "wall": round(statistics.median(run.wall for run in later), 3),
        "cpu": round(statistics.median(run.cpu for run in later), 3),
        "rounds": max(run.rounds for run in runs),
        "requests": max(run.requests for run in runs),
        "bytes": max(run.size for run in runs),
    }


def table(title: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Print what was measured, and give it under its title."""
    head = ["file", "first s", "wall s", "CPU s", "rounds", "requests", "MB"]
    rows = []
    for one in found:
        rounds = str(one["rounds"]) if one["files"] == 1 else f"{one['rounds']} in all"
        seconds = [f"{one[part]:.2f}" for part in ("first", "wall", "cpu")]
        rows.append([one["name"], *seconds, rounds, f"{one['requests']:,d}", f"{one['bytes'] / 1e6:.2f}"])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    print(title)
    for row in [head, *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return {"title": title, "rows": found}


def files_of(path: Path) -> list[Path]:
    """Return a file, or those of a folder."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def over_http(
    folder: Path, names: list[str], latency: float, bandwidth: float, repeat: int, *, client: str = "HTTP"
) -> dict[str, Any]:
    """Measure files over HTTP, or with a client of S3 on the same server."""
    s3 = {"s3fs": {"config_kwargs": {}}, "obstore": {}}.get(client)  # with options of botocore, s3fs is asked
    rows = []
    with http_server(str(folder), latency, bandwidth) as (root, counts):
        for name in names:
            paths = files_of(folder / name)
            base, options = (root, {}) if s3 is None else (f"s3://{BUCKET}", {**KEYS, "endpoint_url": root, **s3})
            urls = [f"{base}/{path.relative_to(folder)}" for path in paths]
            rows.append(measure(name, paths, urls, options, counts, repeat))
    cap = f", {bandwidth / 1e6:g} MB/s" if bandwidth else ""
    title = client if s3 is None else f"S3 by {client}"
    return table(f"{title}, {latency * 1e3:g} ms a request{cap}", rows)


def serve_s3(pipe: Connection) -> None:
    """Run moto's S3 until the other end of the pipe is closed."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    pipe.send(server.get_host_and_port())
    try:
        pipe.recv()
    except EOFError:
        server.stop()


def over_moto(folder: Path, names: list[str], repeat: int) -> dict[str, Any]:
    """Measure files on moto's S3, in a process of its own."""
    import s3fs

    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_s3, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    host, port = ours.recv()
    options = {**KEYS, "endpoint_url": f"http://{host}:{port}"}
    filesystem = s3fs.S3FileSystem(**options)
    filesystem.mkdir(BUCKET)
    rows = []
    for name in names:
        paths = files_of(folder / name)
        urls = [f"s3://{BUCKET}/{path.relative_to(folder)}" for path in paths]
        for path, url in zip(paths, urls, strict=True):
            filesystem.put_file(str(path), url)
        rows.append(measure(name, paths, urls, options, None, repeat))
    ours.close()
    process.join(5)
    process.terminate()
    return table("S3 of moto", rows)


def quick(latency: float, bandwidth: float) -> None:
    """Run over small files made here."""
    import h5py

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "several").mkdir()
        for path in [folder / "small.h5", *(folder / "several" / f"{n}.h5" for n in range(4))]:
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=np.arange(4000.0), chunks=(100,), compression="gzip")
        names = ["small.h5", "several"]
        over_http(folder, names, latency, 0.0, 1)
        over_http(folder, names, latency, bandwidth, 1)
        for client in S3_CLIENTS:
            over_http(folder, names, latency, 0.0, 1, client=client)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"files or folders in BENCH_DIR; {' '.join(NAMES)} where they are")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--bandwidth", type=float, default=25e6, help="bytes a second of the second table; 0: none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--moto", action="store_true", help="a table more")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", metavar="FILE")
    options = parser.parse_args()
    if options.quick:
        quick(min(options.latency, 0.005), options.bandwidth)
        return
    folder = Path(os.environ.get("BENCH_DIR", "."))
    names = options.names or [name for name in NAMES if (folder / name).exists()]
    http = functools.partial(over_http, folder, names, options.latency)
    tables = [http(0.0, options.repeat)]
    if options.bandwidth:
        tables.append(http(options.bandwidth, options.repeat))
    tables += [http(0.0, options.repeat, client=client) for client in S3_CLIENTS]
    if options.moto:
        small = [name for name in names if max(path.stat().st_size for path in files_of(folder / name)) < MOTO_LIMIT]
        tables.append(over_moto(folder, small, options.repeat))
    store_results(options.results, "remote", {"environment": environment(), **stamp(), "tables": tables})


if __name__ == "__main__":
    main()
