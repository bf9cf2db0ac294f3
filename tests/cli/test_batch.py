"""`refmaker batch`: as a command, killed at any moment, interrupted, on a Dask cluster."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
from refmaker_cli.batch_progress import Progress, human_time
from refmaker_cli.main import main

import refmaker
from refmaker.batch.ledger import Row
from refmaker.batch.plan import Plan
from refmaker.batch.run import LEDGER, Result
from refmaker.batch.scan_task import Task
from refmaker.manifest.manifest import Target
from tests.batch.archives import ledger_rows, outputs, write_archive, write_file, write_refused
from tests.engines.cluster import Cluster, cluster, running_cluster

from .conftest import Run

__all__ = ["cluster"]

COMMAND = (sys.executable, "-m", "refmaker_cli", "batch")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **options.pop("env", {})}
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)


def essence(out: Path) -> dict[str, tuple[Any, ...]]:
    """Return what does not depend on when and how a run was."""
    return {
        url: (row.seen, row.output, row.status, row.mapped, row.inlined, row.refused, row.error, row.output_size)
        for url, row in ledger_rows(out).items()
    }


def test_an_archive(run: Run, archive: Path, out: Path) -> None:
    result = run("batch", archive, "--out", out, "--jobs", 2)
    assert result.exit_code == 1
    assert sorted(outputs(out)) == ["a.nc.json", "deep/er/b.h5.json", "deep/refused.h5.json"]
    lines = result.stderr.splitlines()
    assert lines[0] == f"{out}: 4 files, 4 to scan"
    assert lines[1].startswith(f"refmaker: {archive}/damaged.nc: ")
    assert lines[2:] == [
        f"{archive}/deep/refused.h5: 1 refused",
        f"{out}: 4 files: 4 scanned, 0 unchanged, 1 failed, 1 with something refused",
    ]
    assert result.stdout == ""


@pytest.mark.parametrize(("names", "status"), [(["a.nc"], 0), (["a.nc", "r.nc"], 3), (["a.nc", "r.nc", "f.nc"], 1)])
def test_exit_statuses(run: Run, tmp_path: Path, out: Path, names: list[str], status: int) -> None:
    write_file(tmp_path / "in/a.nc")
    if "r.nc" in names:
        write_refused(tmp_path / "in/r.nc")
    if "f.nc" in names:
        (tmp_path / "in/f.nc").write_bytes(b"no")
    for _ in range(2):
        assert run("batch", tmp_path / "in", "-o", out, "-j", 1).exit_code == status
    assert run("batch", tmp_path / "in", "-o", out, "-j", 1, "--no-retry-failed").exit_code == status


def test_help_names_all(run: Run) -> None:
    text = run("batch", "--help").stdout
    for option in ("--engine", "--max-failures", "--log-json", "--junit", "--zarr-format", "--include", "--ledger"):
        assert option in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--jobs", "2", "--engine", "dask"],
        ["--scheduler", "tcp://127.0.0.1:1"],
        ["--form", "xml"],
        ["--max-failures", "0"],
        ["--report", "same", "--junit", "same"],
    ],
)
def test_wrong_usage(run: Run, archive: Path, out: Path, arguments: list[str]) -> None:
    assert run("batch", archive, "-o", out, *arguments).exit_code == 2
    assert not out.exists()


def test_nothing_is_begun_that_cannot_end(run: Run, archive: Path, out: Path, tmp_path: Path) -> None:
    result = run("batch", archive, "-o", out, "--report", tmp_path / "none/report.json")
    assert (result.exit_code, out.exists()) == (1, False)
    result = run("batch", archive, "-o", out, "--template", "{stem}.txt")
    assert result.exit_code == 1
    assert "end with .json" in result.stderr


def test_options_of_scan(run: Run, archive: Path, out: Path) -> None:
    of_scan = ("--zarr-format", 3, "--include", "x", "--no-verify-checksums", "--inline-limit", 0)
    run("batch", archive, "-o", out, "-j", 1, *of_scan)
    manifest = refmaker.open_manifest(str(out / "a.nc.json"))
    assert (manifest.zarr_format, list(manifest.arrays)) == (3, ["x"])
    with sqlite3.connect(out / LEDGER) as connection:
        (options,) = {options for (options,) in connection.execute("SELECT options FROM source")}
    connection.close()
    assert json.loads(options) == {
        "include": ["x"],
        "inline_limit": 0,
        "relative": False,
        "verify_checksums": False,
        "zarr_format": 3,
    }


def test_secrets_stay_out_of_the_ledger(run: Run, archive: Path, out: Path) -> None:
    options = '{"s3": {"secret": "hunter2"}}'
    run("batch", f"{archive}/a.nc", "-o", out, "-j", 1, "--storage-options", options, "--out-storage-options", options)
    assert (out / "a.nc.json").exists()
    assert b"hunter2" not in (out / LEDGER).read_bytes()


def test_a_list_on_standard_input(archive: Path, out: Path) -> None:
    names = [f"{archive}/a.nc", "", f"{archive}/deep/er/b.h5", f"{archive}/none.nc"]
    arguments = ["batch", "-", "-o", str(out), "-j", "1", "--base", str(archive)]
    result = click.testing.CliRunner().invoke(main, arguments, input="\n".join(names))
    assert result.exit_code == 1
    assert sorted(outputs(out)) == ["a.nc.json", "deep/er/b.h5.json"]
    assert f"{archive}/none.nc: " in result.stderr


def test_reports(run: Run, archive: Path, out: Path, tmp_path: Path) -> None:
    run("batch", archive, "-o", out, "-j", 1, "--report", tmp_path / "r.json", "--junit", tmp_path / "j.xml", "-q")
    assert json.loads((tmp_path / "r.json").read_text())["counts"]["failed"] == 1
    assert (tmp_path / "j.xml").read_text().count("<testcase") == 4


def test_quiet_and_json(run: Run, archive: Path, out: Path) -> None:
    result = run("batch", archive, "-o", out, "-j", 1, "--quiet")
    assert (result.stdout, len(result.stderr.splitlines())) == ("", 1)
    result = run("batch", archive, "-o", out, "-j", 1, "--force", "--log-json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["planned", *["source"] * 4]
    assert events[0]["todo"] == 4
    assert sorted(event["status"] for event in events[1:]) == ["done", "done", "failed", "refused"]


def test_crashes_and_hangs_are_rows(archive: Path, out: Path, tmp_path: Path) -> None:
    """The codec path brings libhdf5 into the process, which may take it down."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import ctypes, time\n"
        "import refmaker.scanning.scan as scanning\n"
        "real = scanning.scan_file\n"
        "def inspect(url, **options):\n"
        "    if url.endswith('a.nc'): ctypes.string_at(0)\n"
        "    if url.endswith('b.h5'): time.sleep(60)\n"
        "    return real(url, **options)\n"
        "scanning.scan_file = inspect\n"
    )
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
    process = started(archive, "-o", out, "-j", 1, "--timeout", 3, env={"PYTHONPATH": path})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    rows = {os.path.basename(url): row for url, row in ledger_rows(out).items()}
    assert {name: row.error_kind for name, row in rows.items()} == {
        "a.nc": "crashed",
        "b.h5": "timeout",
        "damaged.nc": "TruncatedError",
        "refused.h5": None,
    }
    assert "SIGSEGV" in str(rows["a.nc"].error)
    assert rows["refused.h5"].status == "refused"


GOOD = 60
ALL = GOOD + 6


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for i in range(GOOD):
        write_file(folder / f"{i % 7}/{i}.nc", i)
    for i in range(5):
        (folder / f"{i}/damaged.nc").write_bytes(b"\x89HDF\r\n\x1a\n\0")
    write_refused(folder / "refused.h5")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output directory of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    process = started(many, "-o", out, "-j", 2)
    process.communicate()
    assert process.returncode == 1
    assert len(outputs(out)) == GOOD + 1
    return out


def wait_for_rows(out: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many manifests are there."""
    until = time.monotonic() + 60
    while len(list(out.rglob("*.json"))) < number and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)


def test_killed_three_times_and_gone_on(many: Path, uninterrupted: Path, out: Path) -> None:
    chance = random.Random(4)
    done: list[int] = []
    for _ in range(3):
        process = started(many, "-o", out, "-j", 2)
        wait_for_rows(out, (done[-1] if done else 0) + chance.randint(3, 15), process)
        time.sleep(chance.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done.append(len(ledger_rows(out)))
        for path in out.rglob("*.json"):
            refmaker.open_manifest(str(path))
    assert 0 < done[0] < done[1] < done[2] < ALL
    process = started(many, "-o", out, "-j", 2)
    process.communicate()
    assert process.returncode == 1
    assert outputs(out) == outputs(uninterrupted)
    assert essence(out) == essence(uninterrupted)
    assert not list(out.rglob(".refmaker-*"))


def test_what_was_finished_is_not_done_again(many: Path, out: Path) -> None:
    process = started(many, "-o", out, "-j", 1)
    wait_for_rows(out, 20, process)
    process.kill()
    process.communicate()
    before = ledger_rows(out)
    process = started(many, "-o", out, "-j", 1, "--no-retry-failed")
    process.communicate()
    after = ledger_rows(out)
    assert len(before) >= 19
    assert {url: after[url] for url in before} == before
    assert len(after) == ALL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(many: Path, uninterrupted: Path, out: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = started(many, "-o", out, "-j", 2, "--report", tmp_path / "report.json")
    wait_for_rows(out, 10, process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not list(out.rglob(".refmaker-*"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["outcome"] == "interrupted"
    assert report["counts"]["scanned"] == len(ledger_rows(out)) < ALL
    with sqlite3.connect(out / LEDGER) as connection:
        assert connection.execute("SELECT outcome FROM run").fetchall() == [("interrupted",)]
    connection.close()
    process = started(many, "-o", out, "-j", 2)
    process.communicate()
    assert outputs(out) == outputs(uninterrupted)
    assert essence(out) == essence(uninterrupted)


def test_a_second_run_is_told(many: Path, out: Path, run: Run) -> None:
    process = started(many, "-o", out, "-j", 1)
    wait_for_rows(out, 3, process)
    process.send_signal(signal.SIGSTOP)
    try:
        result = run("batch", many, "-o", out, "-j", 1)
    finally:
        process.kill()
        process.communicate()
    assert result.exit_code == 1
    assert f"another run is using this ledger: process {process.pid} on" in result.stderr


@pytest.fixture
def dask_cluster() -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with running_cluster() as found:
        yield found


def test_on_a_cluster_with_a_worker_killed(many: Path, uninterrupted: Path, out: Path, dask_cluster: Cluster) -> None:
    process = started(many, "-o", out, "--engine", "dask", "--scheduler", dask_cluster.address, stdout=subprocess.PIPE)
    wait_for_rows(out, 10, process)
    dask_cluster.workers[0].kill()
    dask_cluster.workers[0].wait()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert outputs(out) == outputs(uninterrupted)
    assert essence(out) == essence(uninterrupted)
    with sqlite3.connect(out / LEDGER) as connection:
        assert connection.execute("SELECT done, refused, failed FROM run").fetchall() == [(GOOD, 1, 5)]
    connection.close()


def test_a_cluster_that_is_not_there(run: Run, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    import dask

    with dask.config.set({"scheduler-address": None}):
        result = run("batch", archive, "-o", out, "--engine", "dask")
    assert result.exit_code == 1
    assert "--scheduler" in result.stderr


def row(name: str, status: Any = "done") -> Row:
    return Row(Target(name), name, status, error="it went wrong" if status == "failed" else None)


def test_progress_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    progress = Progress("out", clock=lambda: now[0], terminal=False)
    plan = Plan(todo=[(Task(Target(str(i)), str(i)), "new") for i in range(200)])
    progress.planned(plan, Result("out", "run", 0.0))
    for i in range(20):
        now[0] += 1
        progress.finished(row(str(i), "failed" if i == 3 else "done"))
    assert capsys.readouterr().err.splitlines() == [
        "out: 200 files, 200 to scan",
        "refmaker: 3: it went wrong",
        "out: 10 of 200 files (5 %), 1 a second, 3 min 10 s left, 1 failed",
        "out: 20 of 200 files (10 %), 1 a second, 3 min 0 s left, 1 failed",
    ]


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    progress = Progress("out", clock=lambda: now[0], terminal=True)
    plan = Plan(todo=[(Task(Target(str(i)), str(i)), "new") for i in range(3)])
    progress.planned(plan, Result("out", "run", 0.0))
    for i in range(3):
        now[0] += 1
        progress.finished(row(str(i), "failed" if i == 1 else "done"))
    err = capsys.readouterr().err
    assert "\r\x1b[Kout: [######              ] 1 of 3 files (33 %), 1 a second, 2 s left" in err
    assert "\r\x1b[Krefmaker: 1: it went wrong\n" in err
    assert err.endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3600 * 5 + 730, "5 h 12 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert human_time(seconds) == text
