"""A Dask scheduler and workers as processes on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Cluster:
    """A cluster as it was started."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def running_cluster(workers: int = 2) -> Iterator[Cluster]:
    """Start a scheduler and workers; end those that are left."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        log = stack.enter_context(open(Path(folder, "log"), "wb"))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "DASK_DISTRIBUTED__DASHBOARD__LINK": "",
        }

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        told = Path(folder, "scheduler.json")
        scheduler = start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)
        )
        _wait(lambda: told.exists() and told.stat().st_size > 0, scheduler, Path(folder, "log"))
        address = _address(told)
        arguments = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "30")
        started = [start("worker", address, *arguments) for _ in range(workers)]
        _wait_for_workers(address, workers)
        yield Cluster(address, scheduler, started)


def _address(told: Path) -> str:
    import json

    address: str = json.loads(told.read_text())["address"]
    return address


def _wait(condition, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"the Dask scheduler did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def _wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster with two workers for the tests of a module."""
    pytest.importorskip("distributed")
    with running_cluster() as found:
        yield found
