"""Fresh processes and the file of results, which all benchmarks share.

A tool on a file has a *state*: `ok`; `unchecked` (it does not tell where chunks are); `wrong` (its chunk list is not
that of the file); `fails`; `hangs`; `absent` (not installed); `other format` (it is not made for the file's format).
Only the first two have figures.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks import chunk_lists
from tests.benchmarks.one import ABSENT
from tests.benchmarks.tools import OURS

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"
MEASURED = ("ok", "unchecked")
MEASURED_CODE = ("refmaker", "cli")


@dataclass(slots=True)
class Run:
    """What one process said."""

    state: str
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    lists: chunk_lists.ChunkLists | None = None

    def compare(self, expected: Run) -> None:
        """Turn the state to `wrong` where the chunk list is not the expected one."""
        if self.state != "ok":
            return
        if self.lists is None:
            self.state = "unchecked"
        elif self.figures["digest"] != expected.figures["digest"]:
            self.state = "wrong"
            self.reason = chunk_lists.difference(expected.lists or {}, self.lists)


def environment_of(folder: str | Path) -> dict[str, str]:
    """Return the environment of a process that finds this project.

    And may keep its bytecode as an installed one does.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}


def run(tool: str, path: str, *, warm: str, scratch: str, peers: str, limit: float) -> Run:
    """Scan a file with a tool in a fresh process; with `peers` (a Python) where the tool is not ours."""
    python = sys.executable if tool in OURS else peers
    chunks = os.path.join(scratch, "chunks.npz")
    Path(chunks).unlink(missing_ok=True)
    command = [python, "-m", "tests.benchmarks.one", tool, path, "--warm", warm, "--chunks", chunks]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment_of(ROOT), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return Run("hangs", f"no answer in {limit:.0f} s")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        return Run("absent" if done.returncode == ABSENT else "fails", _clean(_telling(lines)))
    figures = json.loads(done.stdout.splitlines()[-1])
    return Run("ok", "", figures, chunk_lists.load(chunks) if os.path.exists(chunks) else None)


def _telling(lines: Sequence[str]) -> str:
    """Pick the line that says what went wrong: of a panic the message behind its first line, else the last line."""
    for line, following in pairwise(lines):
        if "panicked at" in line:
            return following
    return lines[-1]


def _clean(text: str) -> str:
    """Leave nothing of this machine's folders in a message, and nothing long."""
    words = [word.rpartition("/")[2] if word.startswith(("/", "'/", '"/')) else word for word in text.split()]
    text = " ".join(words)
    return text if len(text) <= 160 else text[:157] + "..."


def environment() -> dict[str, Any]:
    """Say on what is measured."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def stamp() -> dict[str, Any]:
    """Say when and with which state of the project was measured, and how busy the machine was."""
    return {"date": time.strftime("%Y-%m-%d"), "commit": _commit(), "load": round(os.getloadavg()[0], 1)}


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except FileNotFoundError:
        models = []
    return (models or [platform.processor() or platform.machine()])[0]


def _commit() -> str:
    """Name the last commit that changed what is measured; "+" where it has been changed since."""
    log = ["git", "log", "-1", "--format=%h", "--abbrev=10", "--", *MEASURED_CODE]
    last = subprocess.run(log, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *MEASURED_CODE], cwd=ROOT, check=False).returncode
    return last + "+" * bool(changed)


def earlier(path: str | None, part: str, here: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the file of results, if it was measured on this machine: what is measured now goes into it."""
    if not path or not Path(path).exists():
        return {}
    found: dict[str, Any] = json.loads(Path(path).read_text()).get(part, {})
    return found if found.get("environment") == here else {}


def store(path: str | None, part: str, value: dict[str, Any]) -> None:
    """Put one part into the file of results, if there shall be one; the other parts stay as they are."""
    if not path:
        return
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(file.read_text()) if file.exists() else {}
    results[part] = value
    file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def compact(figures: dict[str, Any]) -> dict[str, float | int]:
    """Keep of the figures what is stored, no digit more than is meant."""
    kept = {"cpu": round(figures["cpu"], 6), "wall": round(figures["wall"], 6)}
    return {**kept, "peak": figures["peak"], "before": figures["before"]}
