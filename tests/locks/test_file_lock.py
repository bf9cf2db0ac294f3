"""One run at a time: who holds the lock is told, the dead do not hold it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refmaker.errors import BatchError, OutputError
from refmaker.locks import file_lock as lock
from refmaker.locks.file_lock import Lock
from refmaker.locks.holder import Holder

HOLD = """
import sys
from refmaker.locks.file_lock import Lock
with Lock(sys.argv[1], "x"):
    print(flush=True)
    input()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=pipe, stdout=pipe, text=True, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def end_of(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_two_processes(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock")
    try:
        with pytest.raises(BatchError, match=rf"DEST: another run.*process {process.pid} on {socket.gethostname()}"):
            Lock(str(tmp_path / "lock"), "DEST").__enter__()
    finally:
        process.kill()
        end(process)
    with Lock(str(tmp_path / "lock"), "DEST") as taken:
        assert taken.taken_over is not None
        assert f"process {process.pid}" in taken.taken_over


def test_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(3):
        with Lock(str(tmp_path / "lock"), "DEST") as taken:
            assert taken.taken_over is None
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_holder_that_was_told_to_end(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    end(process)
    with Lock(str(tmp_path / "lock"), "DEST"):
        pass


def test_a_holder_on_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 7, "host": "far.example", "began": 0}))
    with pytest.raises(BatchError, match=r"process 7 on far\.example"):
        Lock(str(path), "DEST").__enter__()
    silent = time.time() - lock.DEAD_AFTER - 5
    os.utime(path, (silent, silent))
    with Lock(str(path), "DEST") as taken:
        assert "far.example" in str(taken.taken_over)
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    path = tmp_path / "lock"
    with Lock(str(path), "DEST"):
        os.utime(path, (1, 1))
        until = time.monotonic() + 10
        while path.stat().st_mtime < 2 and time.monotonic() < until:
            time.sleep(0.005)
        assert path.stat().st_mtime > 2


def test_a_damaged_lock_file_is_nobodys(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"[1]", b'{"pid": '):
        (tmp_path / "lock").write_bytes(content)
        with Lock(str(tmp_path / "lock"), "DEST"):
            pass


def test_no_place_for_a_lock(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="cannot create the lock"):
        Lock(str(tmp_path / "none/lock"), "DEST").__enter__()


def test_one_that_waits(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock")
    began = time.monotonic()
    with pytest.raises(BatchError, match="another run is at it"):
        Lock(str(tmp_path / "lock"), "DEST", wait=0.3, doing="at it").__enter__()
    assert time.monotonic() - began > 0.25
    assert process.stdin is not None
    print(file=process.stdin, flush=True)
    with Lock(str(tmp_path / "lock"), "DEST", wait=20, keep=False) as taken:
        assert taken.taken_over is None
    end_of(process)
    assert not (tmp_path / "lock").exists()


def test_a_lock_that_was_removed_or_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(str(path), "DEST") as taken:
        taken.check()
        content = path.read_bytes()
        path.write_bytes(Holder("other", "far.example", 1).encoded())
        with pytest.raises(OutputError, match="lost the lock"):
            taken.check()
        path.write_bytes(content)
        path.unlink()
        path.write_bytes(content)
        with pytest.raises(OutputError, match="lost the lock"):
            taken.check()
    assert path.read_bytes() == content, "what another put there stays"
