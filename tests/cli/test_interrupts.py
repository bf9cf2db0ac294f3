"""Ctrl-C at any moment of any command: one line at most, status 130, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

pytestmark = pytest.mark.alone  # its times, or its moments, are those of an idle machine

# What the interpreter does before the console script's first statement is not ours: the script says when it begins.
BEGIN = "import os, sys; from refmaker_cli.main import main; os.write(1, b'!'); sys.argv[0] = 'refmaker'; main()"
LINE = "refmaker: interrupted, nothing half-written\n"
MOMENTS = (1, 3, 10, 20, 40, 70, 110, 160, 220, 300, 400, 600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a file that takes a second or so."""
    made = tmp_path_factory.mktemp("interrupts")
    with h5py.File(made / "many.h5", "w") as file:
        for i in range(4000):
            file.create_group(f"g{i}")["x"] = i
    subprocess.run([sys.executable, "-m", "refmaker_cli", "scan", "many.h5", "-q"], cwd=made, check=True)
    return made


def interrupted(command: str, folder: Path, milliseconds: int, times: int = 1) -> tuple[int, str]:
    """Start a command, send Ctrl-C after a time; give exit status and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, *command.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    time.sleep(milliseconds / 1000)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02 * (times > 1))
    _, err = process.communicate(timeout=60)
    return process.returncode, err.decode()


@pytest.mark.parametrize(
    "command",
    [
        "scan many.h5 -q -o m.json",
        "info many.h5",
        "batch many.h5 --out out -q",
        "verify many.h5.json -q --full",
        "combine many.h5.json -q -o c.json",
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_at_any_moment(folder: Path, command: str, times: int) -> None:
    outcomes = {moment: interrupted(command, folder, moment, times) for moment in MOMENTS[times - 1 :: 2]}
    wrong = {moment: found for moment, found in outcomes.items() if found not in ((130, LINE), (0, ""))}
    assert wrong == {}
    assert (130, LINE) in outcomes.values()


def test_ignored_where_the_parent_has_it_ignored(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "refmaker_cli", "scan", "many.h5", "-q", "-o", "kept.json"],
        cwd=folder,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert (folder / "kept.json").exists()


def test_in_a_destructor() -> None:
    """What is raised there is swallowed by the interpreter; the command ends all the same."""
    code = (
        "import os, signal, sys, time\n"
        "from refmaker_cli.interrupts import interrupts\n"
        "interrupts.install(); interrupts.working = True\n"
        "class Slow:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)\n"
        "try:\n"
        "    Slow(); time.sleep(5); print('went on')\n"
        "except KeyboardInterrupt:\n"
        "    interrupts.end()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", LINE)
