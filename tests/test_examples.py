"""The examples run, and print what the README says they print."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.archives import write_archive, write_file, write_refused
from tests.engines.cluster import running_cluster
from tests.servers import S3Server, s3_server

__all__ = ["s3_server"]

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(script: str, *arguments: Path) -> str:
    """Run an example in an interpreter of its own, warnings as errors where they are ours to avoid."""
    command = [sys.executable, "-W", "error::UserWarning", EXAMPLES / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_then_the_library(tmp_path: Path) -> None:
    lines = run("quickstart.py", tmp_path).splitlines()
    assert lines[0] == f"$ refmaker scan {tmp_path}/model.nc -o {tmp_path}/model.nc.json"
    identical = [line.split()[0] for line in lines if line.endswith("is identical")]
    assert identical == ["reference://", "reference://forecast", "refmaker://", "refmaker://forecast"]
    differences = [line.rsplit(maxsplit=1)[1] for line in lines if "max difference" in line]
    assert len(differences) == 12
    assert set(differences) == {"0", "0.0"}
    assert lines[-1] == "all identical: 21 chunks read in place, 1 (the strings) kept in the manifest"

    output = run("scan_and_open.py", tmp_path / "model.nc", tmp_path / "again.json")
    assert "mapped   dataset  /t2m\n" in output
    assert "t2m: 16 of 16 chunks" in output
    assert "<xarray.Dataset>" in output
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "model.nc.json").read_bytes()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `refmaker` is the one that is tested."""
    command = tmp_path / "bin/refmaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refmaker_cli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_nightly(tmp_path: Path, environment: dict[str, str]) -> None:
    archive, manifests = tmp_path / "archive", tmp_path / "manifests"
    write_file(archive / "a.nc")

    def night() -> tuple[int, list[str]]:
        command = ["sh", str(EXAMPLES / "nightly.sh"), str(archive), str(manifests)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        return done.returncode, [line[20:] for line in done.stdout.splitlines() if "ended with" in line]

    steps = ["refmaker batch", "refmaker verify", "refmaker check"]
    assert night() == (0, [f"{step} ended with status 0" for step in steps])
    write_refused(archive / "refused.h5")
    (archive / "a.nc").unlink()
    assert night() == (3, [f"{step} ended with status {status}" for step, status in zip(steps, (3, 3, 0), strict=True)])
    assert [path.name for path in manifests.glob("*.json")] == ["refused.h5.json"]
    (archive / "damaged.nc").write_bytes(b"no")
    assert night()[0] == 1
    reports = tmp_path / "manifests-reports"
    assert json.loads((reports / "batch.json").read_text())["counts"]["failed"] == 1
    assert sorted(path.name for path in reports.iterdir()) == ["batch.json", "batch.xml", "check.json", "verify.json"]


def write_day(path: Path, day: int) -> None:
    """Write a day of a series."""
    import netCDF4
    import numpy as np

    path.parent.mkdir(exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        time = file.createVariable("time", "i4", ("time",), chunksizes=(24,))
        time.units = "hours since 2024-01-01"
        time[:] = np.arange(24) + 24 * day
        file.createVariable("t", "f4", ("time",), chunksizes=(24,))[:] = np.arange(24) + 24 * day


def test_archive(tmp_path: Path, environment: dict[str, str]) -> None:
    """Two nights, a day that does not fit, then served: what a client reads is what was written."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("pyarrow")
    archive, work = tmp_path / "archive", tmp_path / "work"
    command = ["sh", str(EXAMPLES / "archive.sh"), str(archive), str(work)]

    def night() -> tuple[int, list[str]]:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.returncode, [line[20:] for line in done.stdout.splitlines() if "ended with" in line]

    write_day(archive / "0.nc", 0)
    write_day(archive / "1.nc", 1)
    steps = ["refmaker batch", "refmaker combine", "refmaker verify", "refmaker convert"]
    assert night() == (0, [f"{step} ended with status 0" for step in steps])
    write_day(archive / "2.nc", 2)
    assert night()[0] == 0
    (archive / "3.nc").write_bytes(b"no")
    assert night() == (1, ["refmaker batch ended with status 1"])
    (archive / "3.nc").unlink()
    serving = subprocess.Popen(
        [*command, "serve"],
        env={**environment, "PORT": "0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert serving.stdout is not None
        address = next(found[0] for line in serving.stdout if (found := re.search(r"http://\S+", line)))
        code = (
            "import sys, xarray as xr; ds = xr.open_zarr(sys.argv[1]); "
            "print(ds.sizes['time'], float(ds.t.sum()), str(ds.time.values[-1])[:13])"
        )
        client = [sys.executable, "-W", "ignore", "-c", code, address.rstrip("/") + "/archive"]
        done = subprocess.run(client, capture_output=True, text=True, env=environment)
        assert done.stdout.split() == ["72", str(float(sum(range(72)))), "2024-01-03T23"], done.stderr
    finally:
        serving.terminate()
        serving.communicate(timeout=60)


def test_github_actions(tmp_path: Path, environment: dict[str, str], s3_server: S3Server) -> None:
    """Every step that is a command is run as the runner does, with a bucket on loopback."""
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    for path in write_archive(tmp_path / "archive").rglob("*.h5"):
        s3_server.add(f"workflow/in/{path.name}", path.read_bytes())
    given = {
        "ARCHIVE": "s3://bucket/workflow/in/**/*.h5",
        "MANIFESTS": "s3://bucket/workflow/out",
        "OPTIONS": json.dumps(s3_server.options),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    assert given.keys() == workflow["env"].keys()
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["manifests"]["steps"] if "run" in step}
    assert re.fullmatch(r"pip install 'refmaker\[[a-z0-9,]+\]'", steps.pop("install"))
    for run_on in (1, 2):
        for name, script in steps.items():
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
            done = subprocess.run(
                command, capture_output=True, text=True, env={**environment, **given}, cwd=tmp_path / "bin"
            )
            assert done.returncode == 0, (name, done.stdout, done.stderr)
        counts = json.loads((tmp_path / "bin/report.json").read_text())["counts"]
        assert (counts["done"], counts["refused"], counts["scanned"]) == (1, 1, 2 if run_on == 1 else 0)
        (tmp_path / "bin/ledger.sqlite").unlink()  # the next runner is another machine
    there = [path.rpartition("/")[2] for path in s3_server.filesystem().find("bucket/workflow/out")]
    assert there == ["b.h5.json", "refmaker.sqlite", "refused.h5.json"]


def test_on_dask(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("distributed")
    for i in range(6):
        write_file(tmp_path / f"archive/{i}.h5", i)
    (tmp_path / "archive/damaged.h5").write_bytes(b"no")
    with running_cluster() as cluster:
        command = [
            sys.executable,
            EXAMPLES / "on_dask.py",
            cluster.address,
            tmp_path / "archive",
            tmp_path / "out",
            "x",
        ]
        for scanned in (7, 1):
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines() == [
                f"7 files: {scanned} scanned, 1 failed",
                "mean of x over 72 values: 8",
            ]


def test_every_example_is_run() -> None:
    tested = Path(__file__).read_text()
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.is_file())
    assert names == [
        "Dockerfile",  # needs a Docker engine; its command is the one that the README names
        "archive.sh",
        "github-actions.yml",
        "nightly.sh",
        "on_dask.py",
        "quickstart.py",
        "quickstart.sh",  # makes an environment, then runs the program; CI runs it
        "refmaker-serve.service",  # needs systemd; its command is one of tests/serve
        "scan_and_open.py",
        "serve.Dockerfile",  # as the other
    ]
    assert all(name in tested for name in names)
