"""Outputs appear whole or not at all."""

import os
import stat
import sys
from pathlib import Path

import pytest

from refmaker import atomic
from refmaker.atomic import atomic_write
from refmaker.errors import OutputError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file modes and devices")


def put(path, data):
    with atomic_write(path) as file:
        file.write(data)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "m.json"
    put(path, b"one")
    put(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["m.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_failure_in_the_block_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "m.json"
    path.write_bytes(b"old")

    def fail():
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.json"]


def test_nothing_is_seen_before_the_end(tmp_path):
    path = tmp_path / "m.json"
    with atomic_write(path) as file:
        file.write(b"x" * 10**6)
        file.flush()
        assert not path.exists()
    assert path.stat().st_size == 10**6


@pytest.mark.parametrize("durable", [True, False])
def test_all_of_it_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch, durable):
    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    synced = []

    def fsync(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        assert path.read_bytes() == b"old"

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path, durable=durable) as file:
        file.write(b"new data")
    assert synced == [8] * durable  # what Python buffered is with the system by then
    assert path.read_bytes() == b"new data"


def test_durable_unless_told_otherwise(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    put(tmp_path / "m.json", b"data")
    assert len(synced) == 1


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_of_a_new_file_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        put(tmp_path / "ours", b"")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes[0] == modes[1] == 0o666 & ~umask


@posix
def test_permissions_of_a_replaced_file_stay(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    path.chmod(0o640)
    put(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_symbolic_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.json"
    link = tmp_path / "m.json"
    link.symlink_to(real)
    put(link, b"data")
    assert link.is_symlink()
    assert real.read_bytes() == b"data"
    assert os.listdir(real.parent) == ["real.json"]


@posix
def test_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("n" * 255)
    put(path, b"data")
    assert path.read_bytes() == b"data"


@posix
def test_devices_are_written_not_replaced():
    put("/dev/null", b"data")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda d: d / "missing" / "m.json", "No such file or directory"),
        (lambda d: d, "Is a directory"),
        (lambda d: d / "file" / "m.json", "Not a directory"),
        (lambda d: str(d / "nul\0"), "NUL"),
        (lambda d: d / ("n" * 300), "File name too long"),
    ],
)
@posix
def test_error_names_path_and_reason(tmp_path, make, reason):
    (tmp_path / "file").write_bytes(b"old")
    path = make(tmp_path)
    with pytest.raises(OutputError) as caught:
        put(path, b"data")
    assert repr(os.fspath(path)) in str(caught.value)
    assert reason in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_write_protected_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(OutputError, match="Permission denied"):
        put(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_full_device():
    with pytest.raises(OutputError, match=r"'/dev/full': No space left on device"):
        put("/dev/full", b"data")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE without a signal")
def test_write_that_the_system_cuts_short(tmp_path):
    import resource

    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            put(path, b"x" * 10**5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.json"]


def test_a_file_that_readers_have_open_is_replaced_when_they_have_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where that is a `PermissionError` meanwhile."""
    replace, tries, pauses = os.replace, [], []

    def busy(before: str, after: str) -> None:
        tries.append(after)
        if len(tries) < 4:
            raise PermissionError(13, "in use", after)
        replace(before, after)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(atomic, "_IN_USE", True)
    monkeypatch.setattr(atomic.time, "sleep", pauses.append)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert pauses == [0.01, 0.02, 0.04]


def test_readers_that_do_not_finish_fail_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(before: str, after: str) -> None:
        raise PermissionError(13, "in use", after)

    pauses: list[float] = []
    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(atomic, "_IN_USE", True)
    monkeypatch.setattr(atomic.time, "sleep", pauses.append)
    with pytest.raises(OutputError, match="in use"), atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    assert list(tmp_path.iterdir()) == []
    assert 4 < sum(pauses) < 8


def test_other_systems_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(before: str, after: str) -> None:
        raise PermissionError(13, "not yours", after)

    monkeypatch.setattr(os, "rename", busy)
    monkeypatch.setattr(atomic, "_IN_USE", False)
    monkeypatch.setattr(atomic.time, "sleep", lambda pause: pytest.fail("waited"))
    with pytest.raises(PermissionError):
        atomic.renamed("a", "b")


def test_macos_writes_through_the_cache_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(atomic.sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda *given: asked.append(given))
    atomic.synced(7)
    assert asked == [(7, 51)]
