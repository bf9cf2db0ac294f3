"""Local targets: descriptors that stay open, and files that change under them."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refmaker.manifest.manifest import Target
from refmaker.replay import local
from refmaker.replay.local import LocalStore
from refmaker.replay.read_errors import VersionMismatch

DATA = bytes(range(256)) * 4096

linux = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="needs preadv without waiting")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(DATA)
    return tmp_path / "a"


def store(path: Path, check: str = "strict") -> LocalStore:
    status = path.stat()
    return LocalStore(str(path), Target(str(path), status.st_size, None, status.st_mtime), check)  # type: ignore[arg-type]


def read(held: LocalStore, start: int, stop: int | None) -> bytes:
    return asyncio.run(held.read(start, stop))


def test_ranges(path: Path) -> None:
    held = store(path)
    assert held.read_nowait(0, 10) is None  # not open yet
    assert read(held, 3, 9) == DATA[3:9]
    assert read(held, 0, None) == DATA
    assert read(held, len(DATA) - 2, len(DATA) + 5) == DATA[-2:]
    assert read(held, 2**80, 2**80 + 5) == b""


@linux
def test_now(path: Path) -> None:
    held = store(path)
    read(held, 0, 1)
    assert held.read_nowait(3, 9) == DATA[3:9]
    assert held.read_nowait(0, local._NOW + 1) is None
    assert held.read_nowait(len(DATA) - 2, len(DATA) + 5) is None
    assert held.read_nowait(2**80, 2**80 + 5) is None


@linux
@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_what_is_not_in_memory_is_read_in_a_thread(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    held = store(path)
    read(held, 0, 1)
    asked = []

    def preadv(*args: object) -> int:
        asked.append(args)
        raise OSError(code, "")

    monkeypatch.setattr(os, "preadv", preadv)
    assert [held.read_nowait(3, 9), held.read_nowait(3, 9)] == [None, None]
    assert len(asked) == (2 if code == errno.EAGAIN else 1)
    assert read(held, 3, 9) == DATA[3:9]


@pytest.mark.parametrize("way", ["written", "touched", "replaced", "replaced by the same", "gone", "a folder"])
def test_changes_after_it_was_opened(path: Path, way: str) -> None:
    held = store(path)
    read(held, 0, 1)
    if way == "written":
        path.write_bytes(DATA + b"1")
    elif way == "touched":
        os.utime(path, (5, 5))
    elif way in ("gone", "a folder"):
        path.unlink()
        if way == "a folder":
            path.mkdir()
    else:
        status = path.stat()
        other = path.with_name("b")
        other.write_bytes(DATA[::-1] if way == "replaced" else DATA)
        if way != "replaced":
            os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            os.utime(other, (5, 5))
        other.rename(path)
    assert held.read_nowait(0, 10) is None or way == "replaced by the same"
    if way == "replaced by the same":
        assert read(held, 0, 10) == DATA[:10]
        assert held.read_nowait(0, 10) in (None, DATA[:10])
        return
    with pytest.raises((VersionMismatch, OSError)) as error:
        read(held, 0, 10)
    assert isinstance(error.value, OSError) == (way in ("gone", "a folder"))


def test_a_file_that_is_written_to_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread

    def slowly(*args: int) -> bytes:
        data = pread(*args)
        os.utime(path, (5, 5))
        return data

    monkeypatch.setattr(os, "pread", slowly)
    with pytest.raises(VersionMismatch):
        read(store(path), 0, 10)
    os.utime(path, (9, 9))
    with pytest.raises(OSError, match="written to"):  # also where nobody knows what it was when it was scanned
        read(LocalStore(str(path), Target("a"), "strict"), 0, 10)


def test_what_the_system_gives_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda number, size, start: pread(number, min(size, 1000), start))
    assert read(store(path), 5, 5005) == DATA[5:5005]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_descriptors_are_closed(path: Path) -> None:
    def descriptors() -> int:
        gc.collect()
        return sum(
            os.path.realpath(f"/proc/self/fd/{name}") == str(path.resolve()) for name in os.listdir("/proc/self/fd")
        )

    held = [store(path) for _ in range(5)]
    for one in held:
        read(one, 0, 1)
        read(one, 0, 1)
    assert descriptors() == 1  # all readers of a path share one
    del one
    held.clear()
    assert descriptors() == 0


def test_reads_do_not_wait_for_others_who_use_the_threads_of_the_loop(path: Path) -> None:
    """Such as zarr, which decodes in them."""
    release = threading.Event()

    async def busy() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(threads := ThreadPoolExecutor(1))
        threads.submit(release.wait)
        try:
            return await asyncio.wait_for(store(path).read(0, None), 30)
        finally:
            release.set()

    assert asyncio.run(busy()) == DATA
