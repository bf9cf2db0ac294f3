"""Walks through a grid that do not go in C order: downwards, along another axis, or by a step.

Contract: pure arithmetic, bounded; nothing is read. Every chunk votes for the steps at which it follows one of those
asked for just before. A step along an axis (up to four chunks, either way) is followed after two such votes, any other
only after more, and either only while most of the chunks confirm it. What lies ahead of the present chunk counts, so
that a reader that jumps, as tasks do that are sorted by the text of their names, finds a window at its new place too.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["StridedWalk"]

_LAST = 8
"""Chunks whose distances to a new one are taken for steps: those of as many tasks as usually read at a time."""

_RECENT = 24
"""Chunks within which the one before must have been asked for."""

_REMEMBERED = 1024
"""Chunks that are not read ahead again."""

_STEPS = 32
"""Steps that are counted at a time."""

_OUTSTANDING = 48 << 20
"""Bytes that were planned and not asked for yet, at most."""

_CELLS = 4096
"""Chunks that are planned at a time, at most."""

_DECAY = 0.8
"""What a vote is worth one chunk later."""

_ON_AXIS, _ELSEWHERE = (1.6, 0.7), (4.0, 0.9)
"""Votes, and their share of those that could have been, that steps need."""


class StridedWalk:
    """The steps at which the chunks of one array are asked for.

    Attributes
    ----------
    ahead
        Bytes that are read ahead, as whoever reads them says.
    window
        Bytes that the last plan reached for.
    """

    def __init__(self, grid: Sequence[int]) -> None:
        self.total = math.prod(grid)
        self.ahead = 0
        self.window = 0
        self.step = 0
        self.cell = self.reach = 0
        self.size = 0.0
        self.count = 0
        self.planned: OrderedDict[int, int] = OrderedDict()
        self._last: deque[int] = deque(maxlen=_LAST)
        self._taken: OrderedDict[int, int] = OrderedDict()
        self._votes: OrderedDict[int, tuple[float, float]] = OrderedDict()
        self._windows: dict[int, int] = {}
        strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        self._on_axis = {sign * times * stride for sign in (1, -1) for times in (1, 2, 3, 4) for stride in strides}

    def note(self, cell: int, size: int) -> bool:
        """Note a chunk that was asked for; return whether a step is followed."""
        self.count += 1
        self.size = size if not self.size else 0.9 * self.size + 0.1 * size
        self.take(cell, size)
        self._vote(cell)
        self._last.append(cell)
        self._taken[cell] = self.count
        self._taken.move_to_end(cell)
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        step = self._winner()
        if step:
            self._turn(step)
            self.cell = cell
        return bool(step)

    def take(self, cell: int, size: int) -> None:
        """Strike a chunk off what is planned."""
        if self.planned.pop(cell, None) is not None:
            self.ahead = max(self.ahead - size, 0)

    def forget(self) -> int:
        """Let go of what was planned long ago and never asked for; return its bytes."""
        lost = 0
        while self.planned and self.count - next(iter(self.planned.values())) > 256 + 2 * len(self.planned):
            self.planned.popitem(last=False)
            lost += int(self.size)
        self.ahead = max(self.ahead - lost, 0)
        return lost

    def is_due(self) -> bool:
        """Return whether it is time to read ahead: less than half of the window lies ahead of the present chunk."""
        near = self._distance() * self.size
        return bool(self.step) and near <= self.window // 2 and len(self.planned) * self.size < _OUTSTANDING

    def next_cells(self, start: int, limit: int) -> npt.NDArray[np.int64] | None:
        """Return the cells that the walk comes to next, as far as its window reaches, without those on their way."""
        size = max(int(self.size), 1)
        self.window = min(max(min(2 * self.window, self.count * size), 4 * size, start), limit)
        room = (_OUTSTANDING - len(self.planned) * size) // size
        wanted = min(max(self.window // size, 1), _CELLS)
        cells: list[int] = []
        for cell in range(self.cell + self.step, self.cell + (wanted + 1) * self.step, self.step):
            if not 0 <= cell < self.total or len(cells) >= room:
                break
            self.reach = cell
            if cell not in self.planned and cell not in self._taken:
                cells.append(cell)
                self.planned[cell] = self.count
        return np.array(cells, "i8") if cells else None

    def give_back(self, cells: npt.NDArray[np.int64]) -> None:
        """Take back a part of a plan that nobody reads for now."""
        for cell in cells.tolist():
            self.planned.pop(cell, None)
        if len(cells):
            self.reach = int(cells[0]) - self.step

    def _vote(self, cell: int) -> None:
        for before in self._last:
            step = cell - before
            if step not in (0, 1) and step not in self._votes:
                self._votes[step] = (0.0, 0.0)
        while len(self._votes) > _STEPS:
            self._votes.popitem(last=False)
        oldest = self.count - _RECENT
        for step, (votes, most) in self._votes.items():
            confirmed = self._taken.get(cell - step, -1) >= max(oldest, 0)
            self._votes[step] = _DECAY * votes + confirmed, _DECAY * most + 1

    def _winner(self) -> int:
        """Return the shortest of the steps that enough chunks confirm, 0 where there is none."""
        best = 0
        for step, (votes, most) in self._votes.items():
            least, share = _ON_AXIS if step in self._on_axis else _ELSEWHERE
            if votes >= least and votes >= share * most and (not best or abs(step) < abs(best)):
                best = step
        return best

    def _turn(self, step: int) -> None:
        """Go on at another step, with half the window that it had."""
        if step == self.step:
            return
        if len(self._windows) > _STEPS:
            self._windows.clear()
        self._windows[self.step] = self.window
        self.step, self.window = step, self._windows.get(step, 0) // 2
        self.reach = self.cell

    def _distance(self) -> int:
        """Return how many chunks of the plan lie ahead of the present one: none behind a jump."""
        if not self.step or (self.reach - self.cell) % self.step:
            return 0
        distance = (self.reach - self.cell) // self.step
        return distance if 0 < distance * self.size <= 2 * self.window else 0
