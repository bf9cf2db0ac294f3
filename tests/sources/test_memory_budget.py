from __future__ import annotations

import threading

import pytest

from refmaker.errors import SourceError
from refmaker.sources.memory_budget import Room, Shared


def test_a_scan_alone():
    with Room(100) as room:
        room.take(60, "u")
        room.take(40, "u")
        with pytest.raises(SourceError, match=r"u: .*<= 100 bytes, got 101"):
            room.take(1, "u")
        assert room.taken == 100


def test_more_than_a_share_goes_to_one_at_a_time():
    shared = Shared(4, 800)
    first, second = shared.room(), shared.room()
    with first:
        first.take(100, "a")
        first.take(300, "a")
        second.take(100, "b")
        waiting = threading.Thread(target=second.take, args=(1, "b"))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        # Who has it never waits.
        first.take(0, "a")
        with pytest.raises(SourceError):
            first.take(1, "a")
    waiting.join(10)
    assert not waiting.is_alive()
    with second:
        assert second.taken == 101
    assert shared.rest.acquire(blocking=False)


def test_what_nobody_wants_any_more():
    shared = Shared(2)
    with shared.room() as room:
        room.take(1, "u")
        shared.end()
        with pytest.raises(SourceError, match="ended before"):
            room.take(1, "u")
