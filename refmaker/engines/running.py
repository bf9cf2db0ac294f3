"""What runs of all engines are: what is to be done, what is to be done again, what crashed how often.

Contract: see `refmaker.engines.engine`. Whoever derives from `Run` says how items are sent, waited for and ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any

from refmaker.engines.engine import Done, Item

__all__ = ["Run"]

_LIVES = 2


class Run(ABC):
    """One run of an engine.

    Parameters
    ----------
    function, items
        As `Engine.run` has them.
    """

    def __init__(self, function: Callable[[Any], Any], items: Iterable[Item]) -> None:
        self.function = function
        self.items = iter(items)
        self.again: deque[Item] = deque()
        self.next: Item | None = None
        self._crashes: dict[int, int] = {}

    def results(self) -> Generator[Done, None, None]:
        """See `Engine.run`."""
        try:
            while self.fill():
                yield self.collect()
        finally:
            self.end()

    def may_try_again(self, item: Item) -> bool:
        """Note that what worked on an item crashed; return whether it is worth another attempt."""
        self._crashes[item.key] = self._crashes.get(item.key, 0) + 1
        return self._crashes[item.key] < _LIVES

    @abstractmethod
    def fill(self) -> bool:
        """Send items as long as they are taken; return whether anything is left to wait for."""

    @abstractmethod
    def collect(self) -> Done:
        """Wait for results for a while."""

    @abstractmethod
    def end(self) -> None:
        """End what is under way."""
