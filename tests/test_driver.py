"""Steps run until none is left, what a round misses is fetched together, and a scan that does not end is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from refmaker import driver, limits
from refmaker.driver import Driver, Progress, Step
from refmaker.errors import RefmakerError
from refmaker.window import MissingBytes


class Pages:
    """A source whose bytes are there from the `late`-th time that they are fetched."""

    def __init__(self, late: int = 1) -> None:
        self.version = SimpleNamespace(size=1000, known_size=1000)
        self.late = late
        self.asked: list[list[int]] = []

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        self.asked.append([int(address) for missed in missing for address in missed.addresses])

    def reading(self, address: int, then: Callable[[], Sequence[Step]] = list) -> Step:
        """Return a step that reads a byte."""

        def step() -> Sequence[Step]:
            if sum(address in asked for asked in self.asked) < self.late:
                raise MissingBytes(np.array([address]), np.array([1]))
            return then()

        return step


def run(source: Any, steps: Sequence[Step], progress: Callable[[Progress], None] | None = None) -> Driver:
    made = Driver(source, progress)
    made.run(steps)
    return made


def test_what_a_round_misses_is_fetched_together() -> None:
    pages = Pages()
    run(pages, [pages.reading(1, lambda: [pages.reading(3), pages.reading(4)]), pages.reading(2)])
    assert pages.asked == [[1, 2], [3, 4]]


def test_steps_and_rounds_are_counted() -> None:
    pages = Pages()
    made = run(pages, [pages.reading(1, lambda: [list, list]), list])
    assert (made.done, made.rounds) == (4, 1)


def test_progress_is_told_every_64_steps() -> None:
    pages, told = Pages(), []
    run(pages, [pages.reading(1), *[list] * 130], told.append)
    assert told == [Progress(64, 131, 0, 1000), Progress(128, 131, 0, 1000)]


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_a_scan_that_does_not_end(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """As many rounds as are allowed are made; the next one is an error, not a wait for ever."""
    monkeypatch.setattr(driver, "MAX_ROUNDS", rounds)
    never = Pages(late=50)
    with pytest.raises(RefmakerError, match=rf"does not end.*{rounds + 1} rounds"):
        run(never, [never.reading(7)])
    assert never.asked == [[7]] * rounds


def test_as_many_rounds_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MAX_ROUNDS", 5)
    pages = Pages(late=5)
    assert run(pages, [pages.reading(7)]).rounds == 5


def test_the_bound_is_the_limit_of_rounds() -> None:
    """No more than a scan can need, and reached in moments: it is what ends a walker that goes in circles."""
    assert driver.MAX_ROUNDS == limits.ROUNDS
    assert 1000 <= limits.ROUNDS <= 10_000
    never = Pages(late=10**9)
    with pytest.raises(RefmakerError, match=f"{limits.ROUNDS + 1} rounds"):
        run(SimpleNamespace(version=never.version, fetch=lambda missing: None), [never.reading(7)])
