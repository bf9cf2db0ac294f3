"""Any executor of `concurrent.futures` as an engine: threads, processes, Dask's `get_executor`, loky, MPI.

Contract: see `refmaker.engines.engine`. The executor belongs to the caller: it is not shut down, and what was submitted
to it is cancelled when a run ends early. What it cannot do, end a process that takes too long or replace one that died,
it does not do here either: a broken executor ends the run, and an item has no time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any, TypeAlias

from refmaker.engines.engine import TICK, Done, Engine, Item, TaskFailed
from refmaker.engines.running import Run
from refmaker.engines.worker import traced
from refmaker.errors import EngineError

__all__ = ["EngineLike", "ExecutorEngine", "as_engine"]

EngineLike: TypeAlias = Engine | Executor
"""What every function takes that takes an engine."""

_AHEAD = 64
"""Items that are with the executor at a time: it knows how many it can do, we do not."""


def as_engine(given: EngineLike) -> Engine:
    """Return an engine as it is, an executor as one.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from refmaker.engines.engine import Item
    >>> with ThreadPoolExecutor(2) as pool:
    ...     done = [pair for pairs in as_engine(pool).run(abs, [Item(0, -1), Item(1, -2)]) for pair in pairs]
    >>> sorted(result for _, result in done)
    [1, 2]
    """
    return ExecutorEngine(given) if isinstance(given, Executor) else given


class ExecutorEngine:
    """Runs items on an executor.

    Parameters
    ----------
    executor
        Whose processes, where it has any, have refmaker installed and reach the same files.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def run(self, function: Callable[[Any], Any], items: Iterable[Item]) -> Generator[Done, None, None]:
        """See `Engine.run`."""
        return _Run(self.executor, function, items).results()

    def close(self) -> None:
        """See `Engine.close`. The executor goes on: it is the caller's."""


class _Run(Run):
    """One run: the futures that are with the executor."""

    def __init__(self, executor: Executor, function: Callable[[Any], Any], items: Iterable[Item]) -> None:
        super().__init__(function, items)
        self.executor = executor
        self.submitted: dict[Future[Any], Item] = {}

    def fill(self) -> bool:
        """Submit items; return whether anything is left to wait for."""
        while len(self.submitted) < _AHEAD and (item := next(self.items, None)) is not None:
            try:
                future = self.executor.submit(self.function, item.argument)
            except RuntimeError as error:  # it was shut down, or is broken
                raise EngineError(f"the executor takes no more work: {error}") from error
            self.submitted[future] = item
        return bool(self.submitted)

    def collect(self) -> Done:
        """Wait for results."""
        done: Done = []
        for future in wait(self.submitted, TICK, FIRST_COMPLETED).done:
            item = self.submitted.pop(future)
            try:
                error = future.exception()
            except CancelledError as cancelled:
                raise EngineError("the executor was shut down before all was done: run again") from cancelled
            if isinstance(error, BrokenExecutor):
                raise EngineError(f"the executor is broken: {error}; make another one and run again") from error
            if error is not None and not isinstance(error, Exception):
                raise error
            done.append((item, future.result() if error is None else TaskFailed("defect", traced(error))))
        return done

    def end(self) -> None:
        """Cancel what is not yet under way."""
        for future in self.submitted:
            future.cancel()
        self.submitted.clear()
