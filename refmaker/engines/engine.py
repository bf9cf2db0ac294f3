"""What an engine is to whoever has much to do: items in, each with its result or with why there is none.

Contract: `Engine.run` gives every item it took exactly once, with what the function returned or with a `TaskFailed`: a
process that dies, an item that takes too long and an error that nobody expected cost their item, not the run. Items
are taken as they are needed, so that there may be any number of them. An empty list comes now and then while nothing
is ready. Closing the generator ends what is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["TICK", "TOGETHER", "Done", "Engine", "Item", "TaskFailed"]

TOGETHER = 16
"""Items that wait for a network, which one process has under way together."""
TICK = 0.5
"""Seconds after which an engine gives an empty list."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work.

    Attributes
    ----------
    key
        What tells items of a run apart.
    argument
        What the function is called with; it can be pickled.
    alone
        It keeps a processor busy. Others wait for a network, and share a process.
    """

    key: int
    argument: Any
    alone: bool = True


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """Why an item has no result."""

    kind: Literal["crashed", "timeout", "defect"]
    reason: str


Done: TypeAlias = list[tuple[Item, Any]]
"""Items with their results, or with `TaskFailed`."""


class Engine(Protocol):
    """Runs a function on items."""

    def run(self, function: Callable[[Any], Any], items: Iterable[Item]) -> Generator[Done, None, None]:
        """Call `function`, which can be pickled, with the argument of each item."""

    def close(self) -> None:
        """Let go of processes and connections."""
