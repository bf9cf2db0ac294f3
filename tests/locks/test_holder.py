"""Who lives, who is dead, and of whom nobody can tell."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from refmaker.locks import holder
from refmaker.locks.holder import Holder


def test_it_comes_back_as_it_was() -> None:
    me = Holder.own()
    assert Holder.of(me.encoded()) == me
    assert f"process {os.getpid()} on" in str(me)
    assert Holder.own().run != me.run


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b"[" * 100_000, b'{"pid": '])
def test_what_says_nothing(content: bytes) -> None:
    assert Holder.of(content) is None


def test_what_holds_anything() -> None:
    found = Holder.of(b'{"pid": "x", "began": 1e300, "started": -1, "host": [], "boot": null}')
    assert found is not None
    assert found.pid is None
    assert "since unknown" in str(found)
    assert found.lives() is None


def test_this_process_lives() -> None:
    assert Holder.own().lives() is True


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) tells when a process was started")
def test_the_same_number_again() -> None:
    """A container that starts again has the same numbers: the process that has ours now is not the one of then."""
    me = Holder.own()
    assert me.started is not None
    assert replace(me, started=me.started - 500).lives() is False
    assert replace(me, started=None).lives() is None, "by an older version: its age decides"


def test_other_machines_and_starts_of_this_one() -> None:
    me = Holder.own()
    assert replace(me, host="far.example").lives() is None
    assert replace(me, boot="another").lives() is None, "a machine of the same name, or this one before"
    assert replace(me, namespace="pid:[1]").lives() is None


def test_a_container_that_was_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Holder.own()
    monkeypatch.setattr(holder, "_surroundings", lambda: (me.boot, "pid:[7]", "/docker/containers/a"))
    assert replace(me, container="/docker/containers/a").lives() is False
    assert replace(me, container="/docker/containers/b").lives() is None


def test_dead_and_not_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    found = replace(Holder.own(), pid=process.pid, started=None)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
    assert found.lives() is False
    process.wait()
    assert found.lives() is False
