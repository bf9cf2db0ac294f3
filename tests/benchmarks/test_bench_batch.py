"""The benchmark of batches keeps working, and what it compares is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")


def test_quick() -> None:
    command = [sys.executable, str(Path(__file__).with_name("bench_batch.py")), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same after kills: True; on Dask: True" in done.stdout
    assert "500 unchanged, 0 scanned" in done.stdout
    assert "500 as recorded, 0 not" in done.stdout
