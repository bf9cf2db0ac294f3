"""Local files in bounded descriptors, however many of them are read."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest

from refmaker import descriptors, limits
from refmaker.descriptors import give_back, is_exhausted, local_file, most_open, with_room


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = [tmp_path / str(i) for i in range(40)]
    for path in found:
        path.write_bytes(path.name.encode())
    return [str(path) for path in found]


def test_so_many_are_open_at_a_time(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    give_back_all()
    monkeypatch.setattr(limits, "OPEN_FILES", 5)
    files = [local_file(path) for path in paths]
    for file in files:
        opened, _ = file.open()
        opened.used = False
    assert sum(file.opened is not None for file in files) == 5
    assert files[-1].opened is not None
    assert os.pread(files[0].open()[0].number, 9, 0) == b"0"  # who was closed is opened again
    del file, files, opened
    gc.collect()
    assert not descriptors._OPEN


def test_who_is_read_stays_open_and_who_reads_is_not_disturbed(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back_all()
    monkeypatch.setattr(limits, "OPEN_FILES", 3)
    files = [local_file(path) for path in paths[:4]]
    for file in files[:3]:
        file.open()[0].used = False
    reading = files[1].opened
    assert reading is not None
    assert files[0].opened is not None
    files[0].opened.used = True
    files[3].open()
    assert [file.opened is None for file in files] == [False, True, False, False]
    assert os.pread(reading.number, 9, 0) == b"1"  # closed behind the last read, not under it


def test_readers_of_a_path_share_one(paths: list[str]) -> None:
    assert local_file(paths[0]) is local_file(paths[0])
    assert local_file(paths[0]) is not local_file(paths[1])


def test_where_there_is_no_descriptor_left(paths: list[str]) -> None:
    give_back_all()
    held = [local_file(path) for path in paths[:8]]
    for file in held:
        file.open()[0].used = False
    calls = []

    def full(path: str) -> int:
        calls.append(path)
        if sum(file.opened is not None for file in held) > 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return 7

    assert with_room(full, "x") == 7
    assert len(calls) == 3  # 8, 4, 2 of them open
    with pytest.raises(FileNotFoundError):
        with_room(os.open, "/none/such", os.O_RDONLY)


def test_the_share_of_what_the_process_may() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert most_open(1000) == 50
        assert most_open(10) == 10
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_says_so() -> None:
    wrapped = RuntimeError()
    wrapped.__cause__ = OSError(errno.EMFILE, "")
    assert is_exhausted(wrapped)
    assert not is_exhausted(OSError(errno.ENOENT, ""))
    assert not is_exhausted(None)


def give_back_all() -> None:
    gc.collect()
    while give_back():
        pass
