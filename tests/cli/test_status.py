"""`refmaker status`: lines, JSON, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

from tests.batch.archives import run as run_batch
from tests.batch.archives import write_archive, write_file, write_refused

from .conftest import Run


def test_lines(run: Run, tmp_path: Path) -> None:
    archive, out = write_archive(tmp_path / "archive"), tmp_path / "out"
    run_batch(archive, out)
    result = run("status", out)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{archive}/damaged.nc: failed since 20")
    assert f"{archive}/deep/refused.h5: refused since 20" in lines[1]
    assert "/regions: " in lines[1]
    assert lines[2] == "1 file: failed: TruncatedError"
    assert lines[-1].startswith(
        f"{out}: 2 of 4 files complete, 12 chunks, 1 failed, 1 with something refused; last run"
    )


def test_json_and_statuses(run: Run, tmp_path: Path) -> None:
    write_file(tmp_path / "archive/a.nc")
    run_batch(tmp_path / "archive", tmp_path / "out")
    result = run("status", tmp_path / "out", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["complete"] == 1
    write_refused(tmp_path / "archive/b.nc")
    run_batch(tmp_path / "archive", tmp_path / "out")
    assert run("status", tmp_path / "out").exit_code == 3
    assert run("status", tmp_path).exit_code == 1
