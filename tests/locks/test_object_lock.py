"""Locks in stores: one holder, the dead do not hold, the lost stop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import fsspec
import pytest

from refmaker.errors import BatchError, OutputError
from refmaker.locks import object_lock
from refmaker.locks.holder import Holder
from refmaker.locks.object_lock import ObjectLock
from tests.servers import S3Server, s3_server

__all__ = ["s3_server"]

URL = "memory://locks/x.lock"
FAR = Holder("theirs", "far.example", 7)


@pytest.fixture(autouse=True)
def store() -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


def aged(store: Any, path: str, seconds: float) -> None:
    store.store[path].created = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)


def test_one_at_a_time(store: Any) -> None:
    with ObjectLock(URL, "x", {}) as held:
        held.check()
        with pytest.raises(BatchError, match=r"x: another run is using this ledger: process \d+ on .*remove memory:"):
            ObjectLock(URL, "x", {}).__enter__()
    assert store.store == {}


def test_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "_PAUSE", 0.01)
    order = []

    def work(number: int) -> None:
        with ObjectLock(URL, "x", {}, wait=30):
            order.append(number)
            order.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(order) == 16
    assert all(a == b for a, b in zip(order[::2], order[1::2], strict=True))


@pytest.mark.parametrize("seconds", [10, 2 * object_lock.DEAD_AFTER])
def test_a_run_of_which_nobody_knows(store: Any, seconds: float) -> None:
    store.pipe_file("/locks/x.lock", FAR.encoded())
    aged(store, "/locks/x.lock", seconds)
    if seconds < object_lock.DEAD_AFTER:
        with pytest.raises(BatchError, match="process 7 on far"):
            ObjectLock(URL, "x", {}).__enter__()
    else:
        with ObjectLock(URL, "x", {}, wait=5) as held:
            assert "far.example" in str(held.taken_over)
    assert "/locks/x.lock.taking" not in store.store


def test_the_same_number_in_a_container_that_started_again(store: Any) -> None:
    me = Holder.own()
    if me.started is None:
        pytest.skip("this system does not tell when a process was started")
    store.pipe_file("/locks/x.lock", replace(me, started=me.started - 1).encoded())
    with ObjectLock(URL, "x", {}) as held:
        assert held.taken_over is not None


def test_only_one_takes_over(store: Any) -> None:
    """One of two that find a dead run is in the midst of taking over."""
    store.pipe_file("/locks/x.lock", FAR.encoded())
    aged(store, "/locks/x.lock", 1e6)
    store.pipe_file("/locks/x.lock.taking", b"{}")
    lock = ObjectLock(URL, "x", {})
    lock._store = object_lock._Store(URL, {})
    assert not lock.attempt(last=False)
    aged(store, "/locks/x.lock.taking", 1e6)
    assert not lock.attempt(last=False), "whoever did so died over it"
    assert lock.attempt(last=False)


def test_who_lost_it_stops(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with ObjectLock(URL, "x", {}) as held:
        monkeypatch.setattr(object_lock, "BEAT", -1.0)
        held.check()
        store.pipe_file("/locks/x.lock", FAR.encoded())
        with pytest.raises(OutputError, match="lost the lock"):
            held.check()
        store.pipe_file("/locks/x.lock", held.me.encoded())
        with pytest.raises(OutputError, match="lost the lock"):
            held.check()
        store.pipe_file("/locks/x.lock", FAR.encoded())
    assert store.cat_file("/locks/x.lock") == FAR.encoded()


def test_in_a_bucket(s3_server: S3Server) -> None:
    url, options = "s3://bucket/locks/x.lock", s3_server.options
    with ObjectLock(url, "x", options), pytest.raises(BatchError, match="another run"):
        ObjectLock(url, "x", options).__enter__()
    with ObjectLock(url, "x", options) as held:
        held.check()
    assert not s3_server.filesystem().exists(url)


def test_a_store_that_is_not_there(s3_server: S3Server) -> None:
    with pytest.raises(BatchError, match="the lock cannot be taken"):
        ObjectLock("s3://no-such-bucket/x.lock", "x", s3_server.options).__enter__()


def test_signs_of_life_stand_apart(store: Any) -> None:
    """One that is given late takes nobody's place, and one that was given lately keeps the lock."""
    with ObjectLock(URL, "x", {}) as held:
        held.beat()
        assert sorted(store.store) == ["/locks/x.lock", "/locks/x.lock.alive"]
    assert store.store == {}
    store.pipe_file("/locks/x.lock", FAR.encoded())
    store.pipe_file("/locks/x.lock.alive", FAR.encoded())
    aged(store, "/locks/x.lock", 1e6)
    with pytest.raises(BatchError, match="another run"):
        ObjectLock(URL, "x", {}).__enter__()
