"""An existing Dask cluster (https://distributed.dask.org).

Contract: see `refmaker.engines.engine`. Workers need refmaker installed, of the same version, and reach the same files.
Each does its items in a process of its own beside it, as on one machine: an item that crashes, or takes too long, costs
that process and not the worker. What a worker had that goes away is done again by another, by the cluster itself; a
result counts once, when it has arrived here. As many items are with the cluster as it can do, and as many again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from refmaker._version import __version__
from refmaker.engines.engine import TICK, TOGETHER, Done, Item, TaskFailed
from refmaker.engines.local import LocalEngine
from refmaker.engines.running import Run
from refmaker.errors import EngineError
from refmaker.extras import install_command

__all__ = ["DaskEngine"]

# Groups that wait with the cluster for each thread: a worker that ends one finds the next without asking us.
_AHEAD = 2
# A task of Dask takes its scheduler several milliseconds, many files take less to scan.
_GROUP_TIME = 0.5
_MOST = 64


class DaskEngine:
    """Runs items on the workers of a Dask cluster.

    Parameters
    ----------
    scheduler
        Its address; without, the one that Dask is configured with (`DASK_SCHEDULER_ADDRESS`).
    timeout
        Seconds that an item may take; None for any.

    Raises
    ------
    EngineError
        Dask is not installed, the scheduler is not reached, workers have another version of refmaker.
    """

    def __init__(self, scheduler: str | None = None, timeout: float | None = None) -> None:
        self.timeout = timeout
        self.client = _connect(scheduler)
        try:
            self._check_workers()
        except BaseException:
            self.close()
            raise

    def run(self, function: Callable[[Any], Any], items: Iterable[Item]) -> Generator[Done, None, None]:
        """See `Engine.run`."""
        return _Run(self, partial(_from_here, os.getcwd(), function), items).results()

    def close(self) -> None:
        """See `Engine.close`. The cluster goes on."""
        self.client.close()

    def _check_workers(self) -> None:
        found = self.client.run(_version, on_error="return")
        for worker, version in found.items():
            if version != __version__:
                raise EngineError(
                    f"worker {worker} has another version of refmaker, or none: install this one there",
                    expected=__version__,
                    got=version,
                )


class _Run(Run):
    """One run: groups of items that are with the cluster, by their futures' keys."""

    def __init__(self, engine: DaskEngine, function: Callable[[Any], Any], items: Iterable[Item]) -> None:
        super().__init__(function, items)
        self.engine = engine
        self.submitted: dict[str, tuple[Any, list[Item]]] = {}
        self.finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.capacity = 0
        self.pace = _GROUP_TIME

    def fill(self) -> bool:
        """Submit groups up to the capacity of the cluster; return whether anything is left to wait for."""
        if len(self.submitted) >= self.capacity:
            self.capacity = _AHEAD * max(1, sum(self.engine.client.nthreads().values()))
        while len(self.submitted) < self.capacity and (group := self._group()):
            future = self.engine.client.submit(_work, self.function, group, self.engine.timeout, pure=False)
            self.submitted[future.key] = (future, group)
            self._await(future)
        return bool(self.submitted)

    def _await(self, future: Any) -> None:
        future.add_done_callback(lambda future: self.finished.put(future.key))

    def _group(self) -> list[Item]:
        """Take an item; or several that wait for a network together, or that take little time one after the other."""
        if self.again:
            return [self.again.popleft()]
        first = self.next or next(self.items, None)
        self.next = None
        if first is None:
            return []
        size = max(1, min(_MOST, int(_GROUP_TIME / self.pace))) if first.alone else TOGETHER
        group = [first]
        for item in islice(self.items, size - 1):
            if item.alone != first.alone:
                self.next = item
                break
            group.append(item)
        return group

    def collect(self) -> Done:
        """Wait for a group; take all that are there."""
        try:
            keys = [self.finished.get(timeout=TICK)]
        except queue.Empty:
            if self.engine.client.status not in ("running", "connecting"):
                raise EngineError(
                    "lost the connection to the Dask scheduler: check the cluster and run again",
                    got=self.engine.client.status,
                ) from None
            return []
        while not self.finished.empty():
            keys.append(self.finished.get())
        done: Done = []
        for key in dict.fromkeys(keys):
            if key not in self.submitted:
                continue
            future, group = self.submitted[key]
            if future.status in ("lost", "pending"):  # a worker went away with the result: the cluster does it again
                self._await(future)
                continue
            del self.submitted[key]
            self._take(future, group, done)
        return done

    def _take(self, future: Any, group: list[Item], done: Done) -> None:
        if future.status == "finished":
            seconds, found = future.result()
            # A moving average: groups become smaller at once when files become slower, larger again within a few.
            self.pace = (self.pace + max(seconds, 1e-6) / len(group)) / 2
            done.extend((item, found[item.key]) for item in group)
            return
        if future.status == "cancelled":
            raise EngineError("the Dask cluster no longer knows this run, perhaps after a restart: run again")
        error = future.exception()
        # By name: which module has the class differs between versions of distributed.
        if type(error).__name__ != "KilledWorker":
            raise EngineError(f"a worker failed: {type(error).__name__}: {error}")
        for item in group:
            if self.may_try_again(item) and len(group) > 1:
                self.again.append(replace(item, alone=True))
            else:
                done.append((item, TaskFailed("crashed", f"several workers died while working on it: {error}")))

    def end(self) -> None:
        """Have the cluster forget what it has not done."""
        if self.submitted and self.engine.client.status == "running":
            self.engine.client.cancel([future for future, _ in self.submitted.values()], force=True)
        self.submitted.clear()


def _connect(scheduler: str | None) -> Any:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise EngineError(f"--engine dask needs Dask: {install_command('dask')}") from error
    address = scheduler or dask.config.get("scheduler-address", None)
    if address is None:
        raise EngineError("no Dask scheduler: name its address with --scheduler, or in DASK_SCHEDULER_ADDRESS")
    client: Any = distributed.Client
    try:
        return client(address, set_as_default=False, name="refmaker")
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot reach the Dask scheduler: {error}", source=address) from error


def _version() -> str:
    """Run on workers."""
    from refmaker._version import __version__ as version

    return version


def _from_here(directory: str, function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function in a process beside a worker, in the working directory of whoever asked for it.

    libhdf5 looks for external files in the working directory too. One that a worker does not see holds nothing for it.
    """
    with contextlib.suppress(OSError):
        os.chdir(directory)
    return function(argument)


_idle: list[LocalEngine] = []
_idle_lock = threading.Lock()


def _work(function: Callable[[Any], Any], group: list[Item], timeout: float | None) -> tuple[float, dict[int, Any]]:
    """Run on workers: do a group in a process beside the worker, which stays for the next. Give the seconds it took."""
    began = time.perf_counter()
    with _idle_lock:
        engine = _idle.pop() if _idle else LocalEngine(1)
    engine.timeout = timeout
    try:
        found = {item.key: result for done in engine.run(function, group) for item, result in done}
        return time.perf_counter() - began, found
    finally:
        with _idle_lock:
            _idle.append(engine)


@atexit.register
def _close_idle() -> None:
    with _idle_lock:
        while _idle:
            _idle.pop().close()
