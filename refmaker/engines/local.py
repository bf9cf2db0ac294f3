"""Processes of this machine.

Contract: see `refmaker.engines.engine`. A process that dies (a fault in a library, no memory left) is replaced. What it
had under way is done again, each item alone in a process; an item whose process dies then too is lost. An item that
takes longer than `timeout` is lost with its process, and what was in its company is done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from refmaker.engines.child import Child
from refmaker.engines.engine import TICK, Done, Item, TaskFailed
from refmaker.engines.running import Run
from refmaker.engines.worker import READY
from refmaker.errors import EngineError

__all__ = ["LocalEngine"]


class LocalEngine:
    """Runs items in processes, which stay for the next run.

    Parameters
    ----------
    jobs
        Processes at most.
    timeout
        Seconds that an item may take; None for any.
    """

    def __init__(self, jobs: int, timeout: float | None = None) -> None:
        self.jobs = jobs
        self.timeout = timeout
        self.children: list[Child] = []

    def run(self, function: Callable[[Any], Any], items: Iterable[Item]) -> Generator[Done, None, None]:
        """See `Engine.run`."""
        return _Run(self, function, items).results()

    def start(self) -> Child:
        """Start a process more."""
        child = Child()
        self.children.append(child)
        return child

    def close(self) -> None:
        """See `Engine.close`."""
        while self.children:
            self.children.pop().kill()


class _Run(Run):
    """One run, by the processes of an engine."""

    def __init__(self, engine: LocalEngine, function: Callable[[Any], Any], items: Iterable[Item]) -> None:
        super().__init__(function, items)
        self.engine = engine

    def fill(self) -> bool:
        """Send items as long as processes take them; return whether anything is left to wait for."""
        while (item := self.next or self._take()) is not None:
            child = self._free(item)
            self.next = item if child is None else None
            if child is None:
                return True
            child.send(self.function, item)
        return any(child.running for child in self.engine.children)

    def _take(self) -> Item | None:
        return self.again.popleft() if self.again else next(self.items, None)

    def _free(self, item: Item) -> Child | None:
        """Return the process that takes an item, which has the least to do; start another where all have something."""
        children = self.engine.children
        waiting = [child for child in children if child.takes(item)]
        idle = [child for child in waiting if not child.running]
        starting = any(not child.ready for child in children)
        # One at a time: many runs are over before more processes would be up.
        if not idle and not starting and len(children) < self.engine.jobs:
            self.engine.start()
        return min(waiting, key=lambda child: len(child.running), default=None)

    def collect(self) -> Done:
        """Wait for results, deaths, or the time of an item to end."""
        done: Done = []
        children = {child.connection: child for child in self.engine.children}
        for connection in wait(list(children), self._pause()):
            child = children[connection]  # type: ignore[index]
            try:
                self._received(child, child.receive(), done)
            except EOFError:
                self._bury(child, done)
        self._end_overdue(done)
        return done

    def _pause(self) -> float:
        if self.engine.timeout is None:
            return TICK
        # Wake up when the first item becomes overdue, not only when a process has something to say.
        began = [since for child in self.engine.children for _, since in child.running.values()]
        return max(0.0, min([TICK, *(since + self.engine.timeout - time.monotonic() for since in began)]))

    def _received(self, child: Child, message: Any, done: Done) -> None:
        if message == READY:
            child.ready = True
            return
        key, result = message
        done.append((child.running.pop(key)[0], result))

    def _bury(self, child: Child, done: Done) -> None:
        """Do again what a process had under way that died by itself."""
        self.engine.children.remove(child)
        how = child.died()
        if not child.ready:
            raise EngineError("a worker process did not start: see its output above", got=how)
        for item, _ in child.running.values():
            if self.may_try_again(item):
                self.again.append(replace(item, alone=True))
            else:
                reason = f"its worker process ended with {how}, twice: the second time it was alone in the process"
                done.append((item, TaskFailed("crashed", reason)))

    def _end_overdue(self, done: Done) -> None:
        timeout = self.engine.timeout
        if timeout is None:
            return
        now = time.monotonic()
        for child in list(self.engine.children):
            overdue = {key for key, (_, since) in child.running.items() if since + timeout <= now}
            if not overdue:
                continue
            self.engine.children.remove(child)
            child.kill()
            for key, (item, _) in child.running.items():
                if key in overdue:
                    done.append((item, TaskFailed("timeout", f"it took longer than {timeout:g} s")))
                else:
                    self.again.append(item)

    def end(self) -> None:
        """End processes that are at work; those that are not stay for the next run."""
        for child in list(self.engine.children):
            if child.running or not child.ready:
                self.engine.children.remove(child)
                child.kill()
