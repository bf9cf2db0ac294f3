"""Whether an output directory still says what the archive is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import pytest

from refmaker.batch.check import check
from refmaker.errors import BatchError

from .archives import run, write_archive, write_file


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive")


@pytest.fixture
def out(archive: Path, tmp_path: Path) -> Path:
    run(archive, tmp_path / "out")
    return tmp_path / "out"


def test_all_is_as_it_was(archive: Path, out: Path) -> None:
    found = check(str(out))
    assert (found.sources, found.same, found.differs, list(found.failed)) == (4, 3, False, [f"{archive}/damaged.nc"])


def test_everything_that_differs(archive: Path, out: Path) -> None:
    os.utime(archive / "a.nc", (1, 1))
    (archive / "deep/er/b.h5").unlink()
    write_file(archive / "new.h5")
    (out / "deep/refused.h5.json").write_text("{}")
    (archive / "damaged.nc").write_bytes(b"otherwise")
    found = check(str(out))
    assert found.new == [f"{archive}/new.h5"]
    assert list(found.changed) == [f"{archive}/a.nc", f"{archive}/damaged.nc"]
    assert "modified" in found.changed[f"{archive}/a.nc"]
    assert found.gone == [f"{archive}/deep/er/b.h5"]
    assert found.missing == {f"{archive}/deep/refused.h5": "deep/refused.h5.json"}
    assert (found.same, found.failed, found.unreadable, found.differs) == (0, {}, {}, True)


@pytest.mark.parametrize("change", ["new", "changed", "gone", "missing"])
def test_each_difference_by_itself(archive: Path, out: Path, change: str) -> None:
    if change == "new":
        write_file(archive / "new.h5")
    elif change == "changed":
        with open(archive / "a.nc", "ab") as file:
            file.write(b"more")
    elif change == "gone":
        (archive / "a.nc").unlink()
    else:
        (out / "a.nc.json").unlink()
    found = check(str(out))
    assert found.differs
    assert [name for name in ("new", "changed", "gone", "missing") if getattr(found, name)] == [change]
    run(archive, out, prune=True)
    assert not check(str(out)).differs


def test_all_runs_count(archive: Path, out: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "second/x.h5")
    run(f"{tmp_path}/second/*.h5", out)
    (tmp_path / "third.bin").write_bytes(write_file(tmp_path / "second/y.h5").read_bytes())
    run(tmp_path / "third.bin", out)
    write_file(archive / "new.h5")
    found = check(str(out))
    assert found.new == [f"{archive}/new.h5", f"{tmp_path}/second/y.h5"]
    assert found.sources == 6


def test_an_archive_that_is_gone(archive: Path, out: Path) -> None:
    shutil.rmtree(archive)
    found = check(str(out))
    assert (len(found.gone), found.unreadable) == (4, {})


def test_a_file_behind_a_manifest(tmp_path: Path) -> None:
    archive, out = tmp_path / "in", tmp_path / "out"
    archive.mkdir()
    (archive / "raw").write_bytes(bytes(40))
    with h5py.File(archive / "x.h5", "w") as file:
        file.create_dataset("x", shape=(5,), dtype="<i8", external=[("raw", 0, 40)])
    run(archive, out)
    assert not check(str(out)).differs
    os.utime(archive / "raw", (1, 1))
    assert f"{archive}/raw: modified" in check(str(out)).changed[f"{archive}/x.h5"]
    (archive / "raw").unlink()
    assert check(str(out)).changed == {f"{archive}/x.h5": f"{archive}/raw: it is gone"}


def test_a_directory_that_cannot_be_listed(archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str = ".") -> object:
        if str(path).endswith("deep/er"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert check(str(out)).unreadable == {f"{archive}/deep/er": "cannot be listed: Permission denied"}


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="no ledger here"):
        check(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
