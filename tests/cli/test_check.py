"""`refmaker check`: lines, exit statuses, the report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.batch.archives import run as run_batch
from tests.batch.archives import write_archive, write_file

from .conftest import Run

FAILED = "1 failed when scanned, unchanged since"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive")


@pytest.fixture
def out(archive: Path, tmp_path: Path) -> Path:
    run_batch(archive, tmp_path / "out")
    return tmp_path / "out"


def test_all_is_as_it_was(run: Run, out: Path) -> None:
    result = run("check", out)
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 3 of 4 files as recorded, {FAILED}\n"


def test_differences(run: Run, archive: Path, out: Path, tmp_path: Path) -> None:
    os.utime(archive / "a.nc", (1, 1))
    (archive / "deep/er/b.h5").unlink()
    write_file(archive / "new.h5")
    (out / "deep/refused.h5.json").unlink()
    result = run("check", out, "--report", tmp_path / "report.json")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0] == f"{archive}/new.h5: new"
    assert lines[1].startswith(f"{archive}/a.nc: changed: modified ")
    assert lines[2:] == [
        f"{archive}/deep/er/b.h5: gone",
        f"{archive}/deep/refused.h5: its manifest deep/refused.h5.json is not as it was written",
        f"{out}: 0 of 4 files as recorded, 1 new, 1 changed, 1 gone, 1 manifest missing, {FAILED}",
    ]
    assert json.loads((tmp_path / "report.json").read_text())["gone"] == [f"{archive}/deep/er/b.h5"]
    quiet = run("check", out, "--quiet")
    assert (quiet.exit_code, quiet.stdout) == (3, "")


def test_what_cannot_be_looked_at(run: Run, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str = ".") -> object:
        if str(path).endswith("deep/er"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = run("check", out)
    assert result.exit_code == 1
    assert result.stderr == f"refmaker: {archive}/deep/er: cannot be listed: Permission denied\n"


def test_no_ledger(run: Run, tmp_path: Path) -> None:
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "no ledger here" in result.stderr


def test_report_that_cannot_be_written(run: Run, out: Path) -> None:
    assert run("check", out, "--report", "none/report.json").exit_code == 1
