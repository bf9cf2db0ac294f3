"""Rows in a temporary file are what rows in memory are."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from refmaker.combining import rows as module
from refmaker.combining.rows import Columns, FileRows, MemoryRows, Spill
from refmaker.errors import OutputError


def columns(first: int, count: int) -> Columns:
    cell = np.arange(first, first + count)
    return cell, (cell % 7).astype("u1"), cell.astype("u8") * np.uint64(1000), np.full(count, 5, "u8")


def test_same_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 2000)
    spill = Spill(tmp_path)
    several = [(FileRows(spill), MemoryRows()) for _ in range(3)]
    for turn in range(40):
        for number, (one, other) in enumerate(several):
            count = (turn * 5 + number) % 17
            for rows in (one, other):
                rows.add(columns(len(rows), count))
    assert spill.size > 2000
    for one, other in several:
        assert len(one) == len(other)
        for start, stop in ((0, len(one)), (0, 0), (3, 4), (17, 230), (len(one), len(one))):
            for left, right in zip(one.read(start, stop), other.read(start, stop), strict=True):
                assert left.tolist() == right.tolist()
        assert [one.find(cell, 5, 200) for cell in (0, 5, 77, 199, 500)] == [5, 5, 77, 199, 200]
        assert [other.find(cell, 5, 200) for cell in (0, 5, 77, 199, 500)] == [5, 5, 77, 199, 200]


def test_nothing_stays(tmp_path: Path) -> None:
    rows = FileRows(Spill(tmp_path))
    rows.add(columns(0, 100))
    rows.flush()
    if os.name == "posix":
        assert os.listdir(tmp_path) == []
    descriptor = rows.spill._descriptor
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot keep rows in a temporary file"):
        Spill(tmp_path / "none")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_no_room(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, spill._descriptor)
    os.close(full)
    rows = FileRows(spill)
    rows.add(columns(0, 100))
    with pytest.raises(OutputError, match="No space left"):
        rows.flush()


def test_stay_in_their_process(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(FileRows(Spill(tmp_path)))
