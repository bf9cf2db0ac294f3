"""Runs the steps of walkers, and has what they miss fetched together.

Contract: nothing here is specific to a format. A *step* is a function without arguments that gives the steps which
follow from it; one that is interrupted by `MissingBytes` runs again when the bytes are here. What all steps of a
*round* miss is fetched in one go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from refmaker import limits
from refmaker.errors import RefmakerError
from refmaker.window import MissingBytes, Source

__all__ = ["Driver", "Progress", "Step"]

Step: TypeAlias = Callable[[], Sequence["Step"]]

# A step that misses bytes again and again although all it asked for was fetched is a defect, not a slow file.
MAX_ROUNDS = limits.ROUNDS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan has come: steps done and known so far, rounds of fetching, size of the source in bytes."""

    done: int
    known: int
    rounds: int
    size: int


class Driver:
    """Runs steps until none is left."""

    def __init__(self, source: Source, progress: Callable[[Progress], None] | None) -> None:
        self.source = source
        self.progress = progress
        self.done = 0
        self.rounds = 0

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps and those that follow from them; fetch what they miss, all of a round together."""
        ready: deque[Step] = deque(steps)
        while ready:
            blocked: list[Step] = []
            missing: list[MissingBytes] = []
            while ready:
                step = ready.popleft()
                try:
                    ready.extend(step())
                except MissingBytes as missed:
                    blocked.append(step)
                    missing.append(missed)
                else:
                    self._count(len(ready) + len(blocked))
            if blocked:
                self.rounds += 1
                if self.rounds > MAX_ROUNDS:
                    raise RefmakerError("the scan does not end", got=f"{self.rounds} rounds")
                self.source.fetch(missing)
                ready.extend(blocked)

    def _count(self, left: int) -> None:
        self.done += 1
        if self.progress is not None and self.done % 64 == 0:
            self.progress(Progress(self.done, self.done + left, self.rounds, self.source.version.known_size))
