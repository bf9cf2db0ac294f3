"""Requests a second of `refmaker serve`, beside nginx with the same tree as files.

`python -m tests.benchmarks.bench_serve`: 20,000 chunks of a kilobyte or so, asked for by 64 connections at random, for
some seconds each. The client is one process of aiohttp, which takes a core itself: what it can ask for at most is what
nginx shows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import refmaker
from refmaker.serve.export import ExportOptions, export_tree
from refmaker.serve.export_files import LocalFiles

CHUNKS = 20_000
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"""


def make(folder: Path) -> None:
    """Write the file, its manifest and its tree."""
    values = np.random.default_rng(0).integers(0, 1000, (CHUNKS, 1000), dtype="i2")
    with h5py.File(folder / "many.h5", "w") as file:
        file.create_dataset("t", data=values, chunks=(1, 1000), compression="gzip", shuffle=True)
    refmaker.write_manifest(refmaker.scan(folder / "many.h5"), folder / "many.json")
    export_tree(str(folder / "many.json"), LocalFiles(str(folder / "tree")), ExportOptions())


async def load(url: str, seconds: float, connections: int) -> dict[str, Any]:
    """Ask for chunks at random; return what came."""
    import aiohttp

    times: list[float] = []
    statuses: dict[int, int] = {}
    end = time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def one(seed: int) -> None:
            chosen = random.Random(seed)
            while (began := time.perf_counter()) < end:
                async with session.get(f"{url}/t/{chosen.randrange(CHUNKS)}.0") as answer:
                    await answer.read()
                    statuses[answer.status] = statuses.get(answer.status, 0) + 1
                times.append(time.perf_counter() - began)

        await asyncio.gather(*(one(i) for i in range(connections)))
    ranked = sorted(times)
    return {
        "requests a second": round(len(times) / seconds),
        "p50 ms": round(1000 * ranked[len(ranked) // 2], 2),
        "p99 ms": round(1000 * ranked[int(len(ranked) * 0.99)], 2),
        "statuses": statuses,
    }


def until_up(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def resident(pid: int) -> int:
    """Return the memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def measure(command: list[str], url: str, seconds: float, connections: int) -> dict[str, Any]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_up(f"{url}/.zgroup")
            asyncio.run(load(url, 1, connections))
            before = resident(process.pid)
            found = asyncio.run(load(url, seconds, connections))
            return {**found, "MB before": before, "MB after": resident(process.pid)}
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        make(folder)
        serve = [sys.executable, "-m", "refmaker_cli", "serve", f"many={folder}/many.json", "--no-access-log"]
        jobs = {
            "as stored": ([*serve, "--port", "8790"], "http://127.0.0.1:8790/many"),
            "as stored, 2 workers": (
                [*serve, "--port", "8791", "--workers", "2"],
                "http://127.0.0.1:8791/many",
            ),
        }
        if nginx := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"):
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=8792))
            jobs["nginx"] = [nginx, "-c", str(folder / "nginx.conf")], "http://127.0.0.1:8792/tree"
        for title, (command, url) in jobs.items():
            print(json.dumps({"server": title, **measure(command, url, given.seconds, given.connections)}), flush=True)


if __name__ == "__main__":
    main()
