from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "bench_remote.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}


def test_it_works():
    """The figures are nobody's business here, but that the script runs and compares what it measured."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick"], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [
        word for kind in ("HTTP,", "HTTP,", "S3", "S3") for word in (kind, "file", "small.h5", "several")
    ]
    assert [line[-3:-1] for line in lines if line[0] == "small.h5"] == [["1", "1"]] * 4
