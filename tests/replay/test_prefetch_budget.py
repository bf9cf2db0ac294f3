"""One budget of a process for what is read ahead: never beyond the limit, divided evenly, given back."""

from __future__ import annotations

import threading

import numpy as np

from refmaker.replay.prefetch_budget import PrefetchBudget, PrefetchShare


class Clock:
    """A time that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shares(limit: int, count: int) -> tuple[PrefetchBudget, Clock, list[PrefetchShare], list[list[int]]]:
    clock = Clock()
    budget = PrefetchBudget(limit, clock)
    told: list[list[int]] = [[] for _ in range(count)]
    return budget, clock, [budget.share(each.append) for each in told], told


def test_one_reader_has_all_of_it() -> None:
    budget, _, (only,), _ = shares(100, 1)
    assert only.room(1000) == 100
    assert only.take(100)
    assert not only.take(1)
    assert only.room(10) == 0
    only.give(40)
    assert (budget.held, only.room(1000)) == (60, 40)


def test_readers_that_ask_share_evenly() -> None:
    _, _, (first, second), _ = shares(100, 2)
    assert first.room(100) == 100
    assert first.take(30)
    assert second.room(100) == 50
    assert first.room(100) == 20


def test_who_holds_and_does_not_ask_is_told_to_let_go_but_not_all_the_time() -> None:
    _, clock, (idle, busy), told = shares(100, 2)
    assert idle.room(100) == 100
    assert idle.take(90)
    clock.now = 10.0
    assert busy.room(60) == 10
    assert told == [[50], []]
    assert busy.room(60) == 10
    assert told == [[50], []]
    clock.now = 11.0
    assert busy.room(60) == 10
    assert told == [[50, 50], []]
    idle.give(90)
    assert busy.room(60) == 60


def test_nobody_is_told_where_there_is_room_or_the_own_part_is_used_up() -> None:
    _, _, (first, second), told = shares(100, 2)
    first.room(10)
    first.take(10)
    second.room(40)
    second.take(40)
    assert second.room(10) == 10
    second.take(10)
    assert second.room(10) == 0
    assert told == [[], []]


def test_more_than_is_held_is_not_given_back() -> None:
    budget, _, (first, second), _ = shares(100, 2)
    first.take(10)
    second.take(20)
    first.give(10)
    first.give(10)
    assert (budget.held, first.held, second.held) == (20, 0, 20)


def test_shares_that_are_gone_do_not_count() -> None:
    budget, _, kept, _ = shares(100, 2)
    for share in kept:
        share.room(100)
    assert kept[0].room(100) == 50
    del share
    del kept[1:]
    assert kept[0].room(100) == 100
    assert budget.held == 0


def test_a_forked_process_begins_anew() -> None:
    budget, _, (first, second), _ = shares(100, 2)
    first.take(60)
    budget.reset()
    assert (budget.held, second.room(1000)) == (0, 100)
    first.give(60)
    assert budget.held == 0


def test_threads_never_hold_more_than_the_limit() -> None:
    budget, _, kept, _ = shares(1000, 4)
    over: list[int] = []

    def work(share: PrefetchShare, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for size in rng.integers(1, 400, 2000).tolist():
            if share.take(size):
                if budget.held > budget.limit:
                    over.append(budget.held)
                share.give(size)

    threads = [threading.Thread(target=work, args=(share, i)) for i, share in enumerate(kept)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not over
    assert budget.held == 0


def test_readers_that_are_collected_while_the_lock_is_held() -> None:
    """The garbage collector runs at any moment, in the thread that has the lock too: it waited there for ever."""
    budget = PrefetchBudget(100)
    share = budget.share(lambda size: None)
    assert share.take(60)
    with budget._lock:
        share.release()
    other = budget.share(lambda size: None)
    assert other.take(100)
    assert budget.held == 100
