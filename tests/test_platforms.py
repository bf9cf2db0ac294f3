"""What Windows and macOS have not, taken away: everything is imported, scanned, replayed, run as a batch without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = """
import os, signal, subprocess, sys
import fcntl as locks
locks.lockf = (lambda lockf: lambda number, how, size: lockf(number, how, size, 0, os.SEEK_CUR))(locks.lockf)
for name in {modules!r}:
    sys.modules[name] = None
for name in {calls!r}:
    if hasattr(os, name):
        delattr(os, name)
os.supports_fd = set()
"""
"""Run before anything else is imported."""

WINDOWS = (
    # subprocess itself asks for these where it is made for Unix: `fcntl`, `pwd` and `fork` are not among them.
    ("fcntl", "resource", "pwd", "grp", "termios"),
    (
        *("pread", "preadv", "pwrite", "pwritev", "RWF_NOWAIT", "register_at_fork", "fork", "geteuid", "getuid"),
        *("sched_getaffinity", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "mkfifo", "statvfs"),
        *("posix_fadvise", "posix_fallocate", "sendfile", "copy_file_range"),
    ),
)
MACOS = ((), ("RWF_NOWAIT", "sched_getaffinity", "posix_fadvise", "posix_fallocate", "copy_file_range"))

IMPORTS = """
import importlib, pkgutil, refmaker
for found in pkgutil.walk_packages(refmaker.__path__, "refmaker."):
    if not found.name.startswith({optional!r}):
        importlib.import_module(found.name)
print("imported")
"""

AS_ON_WINDOWS = """
import types
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
msvcrt.locking = lambda number, mode, size: locks.lockf(number, locks.LOCK_EX | locks.LOCK_NB, size)
sys.modules["msvcrt"] = msvcrt
"""
"""After what is of Unix is gone, with what there is for it: `msvcrt` locks from where a file is at, as `lockf` can."""

CLOSED = """
import refmaker.atomic, refmaker.leftovers
for module in (refmaker.atomic, refmaker.leftovers):
    module.CLOSES = True  # what is open cannot be renamed, so it is closed before
"""

WORK = """
import json, h5py, numpy as np, refmaker
from refmaker.replay.filesystem import FileSystem
values = np.arange(4096.0)
os.mkdir("in")
with h5py.File("in/a.h5", "w") as file:
    file.create_dataset("v", data=values, chunks=(512,))
refmaker.write_manifest(refmaker.scan("in/a.h5"), "m.json")
filesystem = FileSystem("m.json")
read = b"".join(filesystem.cat_file(f"v/{i}") for i in range(8))
assert np.frombuffer(read, "f8").tolist() == values.tolist()
many = filesystem.cat([f"v/{i}" for i in range(8)])
assert b"".join(many[f"v/{i}"] for i in range(8)) == read
result = refmaker.scan_many(["in/a.h5"])
assert len(list(result)) == 1
from contextlib import closing
from refmaker.batch.discovery import Inputs
from refmaker.batch.run import Batch
from refmaker.engines.local import LocalEngine
for expected in ({"done": 1}, {}):
    with closing(LocalEngine(1)) as engine:
        result = Batch(Inputs(("in",)), "out").run(engine)
    assert result.counts == expected, result.counts
from refmaker.errors import BatchError
from refmaker.locks.file_lock import Lock
with Lock("a.lock", "a"):
    code = "import fcntl; file = open('a.lock', 'r+'); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 << 30)"
    if sys.modules.get("msvcrt"):
        assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 1
assert not refmaker.check("out").differs
assert refmaker.verify("m.json", xarray=False).differences == 0
print("worked")
"""


def ran(folder: Path, system: tuple[tuple[str, ...], tuple[str, ...]], code: str) -> str:
    modules, calls = system
    script = BEFORE.replace("{modules!r}", repr(modules)).replace("{calls!r}", repr(calls)) + code
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()[-1]


SYSTEMS = pytest.mark.parametrize("system", [WINDOWS, MACOS], ids=["windows", "macos"])


@SYSTEMS
def test_local_files_are_scanned_replayed_and_checked(
    system: tuple[tuple[str, ...], tuple[str, ...]], tmp_path: Path
) -> None:
    code = AS_ON_WINDOWS + CLOSED + WORK if system is WINDOWS else WORK
    assert ran(tmp_path, system, code) == "worked"


def test_every_module_is_imported_without_what_is_of_unix(tmp_path: Path) -> None:
    optional = ("refmaker.replay.xarray_backend", "refmaker.bridges", "refmaker.serve")
    assert ran(tmp_path, WINDOWS, IMPORTS.replace("{optional!r}", repr(optional))) == "imported"
