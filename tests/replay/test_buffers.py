"""Bytes that are written in place."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from refmaker.replay.buffers import Buffer


@pytest.mark.parametrize("size", [0, 1, 2, 4096, 1 << 20])
def test_what_is_written_is_given(size: int) -> None:
    buffer = Buffer(size)
    assert len(buffer.view) == size
    assert bytes(buffer.view) == bytes(size)
    data = bytes(i % 251 for i in range(size))
    buffer.view[:] = data
    found = buffer.done()
    assert type(found) is bytes
    assert found == data


def test_who_still_holds_the_view_changes_nothing() -> None:
    """Bytes never change, whatever a thread does that comes late."""
    buffer = Buffer(10)
    held = buffer.view
    found = buffer.done()
    held[:] = b"x" * 10
    assert found == bytes(10)


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
