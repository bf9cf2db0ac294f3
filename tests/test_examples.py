"""The examples run, and print what the README says they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(script: str, *arguments: Path) -> str:
    """Run an example in an interpreter of its own, warnings as errors where they are ours to avoid."""
    command = [sys.executable, "-W", "error::UserWarning", EXAMPLES / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_then_the_library(tmp_path: Path) -> None:
    lines = run("quickstart.py", tmp_path).splitlines()
    assert lines[0] == f"$ refmaker scan {tmp_path}/model.nc -o {tmp_path}/model.nc.json"
    identical = [line.split()[0] for line in lines if line.endswith("is identical")]
    assert identical == ["reference://", "reference://forecast", "refmaker://", "refmaker://forecast"]
    differences = [line.rsplit(maxsplit=1)[1] for line in lines if "max difference" in line]
    assert len(differences) == 12
    assert set(differences) == {"0", "0.0"}
    assert lines[-1] == "all identical: 21 chunks read in place, 1 (the strings) kept in the manifest"

    output = run("scan_and_open.py", tmp_path / "model.nc", tmp_path / "again.json")
    assert "mapped   dataset  /t2m\n" in output
    assert "t2m: 16 of 16 chunks" in output
    assert "<xarray.Dataset>" in output
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "model.nc.json").read_bytes()


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["quickstart.py", "scan_and_open.py"]
