"""Bytes that are written in place."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

from refmaker.replay.buffers import Buffer, Unset


@pytest.mark.parametrize("size", [0, 1, 2, 4096, 1 << 20])
@pytest.mark.parametrize("kind", [Buffer, Unset])
def test_what_is_written_is_given(kind: Any, size: int) -> None:
    assert bytes(Buffer(size).view) == bytes(size)
    buffer = kind(size)
    assert len(buffer.view) == size
    data = bytes(i % 251 for i in range(size))
    buffer.view[:] = data
    found = buffer.done()
    assert type(found) is bytes
    assert found == data


@pytest.mark.parametrize("kind", [Buffer, Unset])
@pytest.mark.parametrize("hold", [lambda view: view, lambda view: view[2:], lambda view: np.frombuffer(view, "u1")])
def test_who_still_holds_the_view_changes_nothing(kind: Any, hold: Any) -> None:
    """Bytes never change, whatever a thread does that comes late."""
    buffer = kind(10)
    buffer.view[:] = bytes(10)
    held = hold(buffer.view)
    found = buffer.done()
    held[:] = np.full(len(held), 7, "u1")
    assert found == bytes(10)


def test_nothing_is_copied() -> None:
    buffer = Unset(1 << 20)
    buffer.view[:] = bytes(1 << 20)
    address = np.frombuffer(buffer.view, "u1").ctypes.data
    assert np.frombuffer(buffer.done(), "u1").ctypes.data == address


def test_a_view_keeps_the_memory() -> None:
    buffer = Unset(1 << 20)
    view = np.frombuffer(buffer.view, "u1")
    view[:] = 7
    del buffer
    others = [b"x" * (1 << 20) for _ in range(8)]
    assert (view == 7).all()
    assert len(others) == 8


def test_goes_with_a_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    buffer = Buffer(1000)
    cycle = [buffer, buffer.view]
    cycle.append(cycle)
    gone = weakref.ref(buffer._file)
    del buffer, cycle
    gc.collect()
    assert gone() is None
    assert not complaints  # Python 3.13 and later report what finalizers raise
