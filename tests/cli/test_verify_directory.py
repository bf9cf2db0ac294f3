"""`refmaker verify` of the output directory of a batch: some manifests, by chance."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from tests.batch.archives import run as run_batch
from tests.batch.archives import write_file, write_refused

from .conftest import Run


@pytest.fixture(autouse=True)
def _not_through_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what `tests/test_verify_xarray.py` tests: it takes a process for each call."""
    monkeypatch.setattr("refmaker.verification.verify.compare_shown", lambda *_, **__: None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for i in range(8):
        write_file(tmp_path / f"in/{i}.h5", i)
    (tmp_path / "in/damaged.nc").write_bytes(b"no")
    run_batch(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def verified(lines: str) -> list[str]:
    return [line.partition(".json:")[0].rpartition("/")[2] for line in lines.splitlines()]


def test_all_of_a_small_one(run: Run, out: Path) -> None:
    result = run("verify", out)
    assert result.exit_code == 0
    assert verified(result.stdout) == [f"{i}.h5" for i in range(8)]


def test_some(run: Run, out: Path) -> None:
    first = verified(run("verify", out, "--manifests", 3).stdout)
    assert len(set(first)) == 3
    assert verified(run("verify", out, "--manifests", 3).stdout) == first
    others = {tuple(verified(run("verify", out, "--manifests", 3, "--seed", seed).stdout)) for seed in range(1, 4)}
    assert len({tuple(first), *others}) > 1


def test_what_differs_is_found(run: Run, out: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "in/3.h5", "a") as file:
        file["x"][:] = 0
    write_refused(tmp_path / "in/4.h5")
    (out / "5.h5.json").write_text("{")
    result = run("verify", out, "--report", tmp_path / "report.json")
    assert result.exit_code == 1
    assert f"{tmp_path}/in/3.h5: changed" in result.stdout
    assert f"{out}/5.h5.json" in result.stderr
    reports = json.loads((tmp_path / "report.json").read_text())["manifests"]
    assert len(reports) == 8
    assert [report["manifest"] for report in reports if "error" in report] == [f"{out}/5.h5.json"]
    (out / "5.h5.json").unlink()
    run_batch(tmp_path / "in", out)
    assert run("verify", out, "--manifests", 8).exit_code == 3, "a region reference is refused"


def test_no_ledger(run: Run, tmp_path: Path) -> None:
    assert "no ledger here" in run("verify", tmp_path, "--manifests", 2).stderr
