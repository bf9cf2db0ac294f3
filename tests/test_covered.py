"""The table of combinations counts what tests read, and only where they pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.covered import Recorder, main, table

TESTS = """
import h5py, numpy as np, pytest
from refmaker import scan

def write(path, **options):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("d", (4,), ">f4", **options)
    return scan(str(path))

def test_passes(tmp_path):
    write(tmp_path / "a.h5", chunks=(2,), compression="gzip")

def test_fails(tmp_path):
    write(tmp_path / "a.h5")
    raise ValueError
"""


def test_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    assert main([str(tmp_path), "-c", str(tmp_path / "pytest.ini")]) == 1
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("| chunked")]
    assert row == "| chunked, layout 5, fixed array | deflate | 1m |"
    assert not any("contiguous" in line for line in lines)
    assert "1 datasets in 1 combinations" in lines
    assert any("without shuffle, fletcher32" in line and "filter masks" in line for line in lines)


def test_of_nothing() -> None:
    assert table(Recorder()).endswith("0 datasets in 0 combinations")
