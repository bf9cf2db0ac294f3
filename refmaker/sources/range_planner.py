"""What to ask a server for, given what is missing: exact ranges, ranges with what lies between, or all of the file.

Contract: `Plan.requests` gives ranges that cover what is missing. The choice is one of time, from what was seen of the
server so far (`Rates`) and of the file:

- A request costs its share of the latency, and what it takes to make it. Where the bytes between two ranges would take
  less time than that, one request asks for both; but never for more bytes between than half of those asked for.
- A round with little to fetch asks for somewhat more behind each range: the structures of an object lie close together,
  and a round that is not needed saves a whole latency.
- Once fetching in pieces has cost as much time as the rest of the file would, or would save less than a few rounds, the
  rest is taken whole. That is at most twice the time of the better choice, without knowing the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from refmaker.ranges import Ints, difference, merge_gaps, split, union

__all__ = ["FIRST_READ", "Plan", "Rates"]

# One request takes most small files whole, and of others superblock, root group and what was written with them.
FIRST_READ = 1 << 19
# Concurrent requests share a long range; one connection seldom has all of the bandwidth.
BLOCK = 1 << 22
# A larger file is not taken whole for the time that might save.
WHOLE = 1 << 27
# A walk of nested groups takes some more rounds than this.
ROUNDS_SAVED = 4
GAPS = 1 << 12, 1 << 20
LITTLE = 1 << 17
AHEAD = 1 << 12, 1 << 16
BANDWIDTH = 1e6, 1e8
ASSUMED_BANDWIDTH = 5e7
# Shorter answers say more about the latency than about the bandwidth.
LONG_ANSWER = 1 << 17


@dataclass(slots=True)
class Rates:
    """What was measured of a server.

    Attributes
    ----------
    latency
        The shortest time that a request took to be answered, seconds; None before the first.
    bandwidth
        Bytes a second of long answers, smoothed; a guess before the first.
    request
        Seconds of work that a request takes on this side.
    """

    request: float = 3e-4
    latency: float | None = None
    bandwidth: float = ASSUMED_BANDWIDTH
    measured: bool = False

    def note(self, latency: float, size: int = 0, seconds: float = 0.0) -> None:
        """Note an answer that began after `latency`, and whose `size` bytes then took `seconds`."""
        self.latency = latency if self.latency is None else min(self.latency, latency)
        if size >= LONG_ANSWER:
            low, high = BANDWIDTH
            seen = min(max(size / max(seconds, 1e-9), low), high)
            self.bandwidth = (seen + self.bandwidth) / 2 if self.measured else seen
            self.measured = True


@dataclass(slots=True)
class Plan:
    """The requests of one file, round after round. `concurrency` of them are in flight at a time."""

    size: int
    rates: Rates
    concurrency: int
    spent: float = field(default=0.0, init=False)

    def requests(self, starts: Ints, stops: Ints, held_starts: Ints, held_stops: Ints) -> tuple[Ints, Ints]:
        """Return the ranges to ask for.

        Parameters
        ----------
        starts, stops
            What is missing, none of it held.
        held_starts, held_stops
            What is here, sorted and disjoint.
        """
        latency = self.rates.latency or 0.0
        rest = self.size - int((held_stops - held_starts).sum())
        whole = rest / self.rates.bandwidth
        starts, stops = self._bridged(*self._ahead(starts, stops, latency, held_starts, held_stops))
        bytes_asked = int((stops - starts).sum())
        self.spent += latency + len(starts) * self._request_time(latency) + bytes_asked / self.rates.bandwidth
        if rest <= WHOLE and whole <= max(ROUNDS_SAVED * latency, self.spent):
            starts, stops = difference(np.array([0]), np.array([self.size]), held_starts, held_stops)
            starts, stops = self._bridged(starts, stops)
        return split(starts, stops, BLOCK)

    def _request_time(self, latency: float) -> float:
        return max(latency / self.concurrency, self.rates.request)

    def _ahead(
        self, starts: Ints, stops: Ints, latency: float, held_starts: Ints, held_stops: Ints
    ) -> tuple[Ints, Ints]:
        """Ask for more behind each range where that is little in all."""
        low, high = AHEAD
        more = int(min(LITTLE, latency * self.rates.bandwidth / ROUNDS_SAVED)) // len(starts)
        if more < low or int((stops - starts).sum()) > LITTLE:
            return starts, stops
        stops = (stops + min(more, high)).clip(max=self.size)
        return difference(starts, stops, held_starts, held_stops)

    def _bridged(self, starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
        low, high = GAPS
        gap = int(min(max(self._request_time(self.rates.latency or 0.0) * self.rates.bandwidth, low), high))
        starts, stops = union(starts, stops)
        return merge_gaps(starts, stops, gap=gap, budget=int((stops - starts).sum()) // 2 + LITTLE)
