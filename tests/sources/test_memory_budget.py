from __future__ import annotations

import threading

import pytest

from refmaker.errors import SourceError
from refmaker.sources.memory_budget import MemoryBudget, SharedBudget


def test_a_scan_alone():
    with MemoryBudget(100) as memory_budget:
        memory_budget.reserve(60, "u")
        memory_budget.reserve(40, "u")
        with pytest.raises(SourceError, match=r"u: .*<= 100 bytes, got 101"):
            memory_budget.reserve(1, "u")
        assert memory_budget.taken == 100


def test_more_than_a_share_goes_to_one_at_a_time():
    shared = SharedBudget(4, 800)
    first, second = shared.memory_budget(), shared.memory_budget()
    with first:
        first.reserve(100, "a")
        first.reserve(300, "a")
        second.reserve(100, "b")
        waiting = threading.Thread(target=second.reserve, args=(1, "b"))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        # Who has it never waits.
        first.reserve(0, "a")
        with pytest.raises(SourceError):
            first.reserve(1, "a")
    waiting.join(10)
    assert not waiting.is_alive()
    with second:
        assert second.taken == 101
    assert shared.rest.acquire(blocking=False)


def test_what_nobody_wants_any_more():
    shared = SharedBudget(2)
    with shared.memory_budget() as memory_budget:
        memory_budget.reserve(1, "u")
        shared.end()
        with pytest.raises(SourceError, match="ended before"):
            memory_budget.reserve(1, "u")
