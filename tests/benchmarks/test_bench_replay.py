"""The benchmark keeps working: all ways read the same values, over few requests where they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("h5py")
pytest.importorskip("zarr")


def test_quick() -> None:
    command = [sys.executable, str(Path(__file__).with_name("bench_replay.py")), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    remote = done.stdout.partition("quick, 2 ms")[2]
    requests = {name: int(n) for name, n in re.findall(r"^  (\w+) .* (\d+) requests", remote, re.MULTILINE)}
    assert requests.keys() == {"stock", "transparent", "decoded", "raw", "decoding", "floor"}
    assert requests["stock"] >= 60
    assert requests["transparent"] <= 4
    assert requests["decoded"] <= 3
