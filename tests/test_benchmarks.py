"""The benchmarks run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_bench_open() -> None:
    command = [sys.executable, "tests/benchmarks/bench_open.py", "--quick"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    for line in ("JSON, first open", "JSON, second open", "stock JSON", "3 processes at once,"):
        assert re.search(rf"^{line} .*\d", done.stdout, re.MULTILINE), done.stdout
