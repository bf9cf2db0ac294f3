"""Batches: an archive whole, killed three times and gone on, on a Dask cluster with a worker killed; and one unchanged.

    python tests/benchmarks/bench_batch.py ARCHIVE [--unchanged N] [--jobs N]
    python tests/benchmarks/bench_batch.py --quick

Prints what each run printed last and how long it took. What the killed runs and the cluster end with has to be what
the whole run ends with, manifests byte for byte and ledgers but for times: if not, the status is 1. Wall time, each run
a process of its own, started with empty output directories. ARCHIVE is only read.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from refmaker.batch.check import check  # noqa: E402
from refmaker.batch.ledger import Ledger, Row  # noqa: E402
from refmaker.batch.run import LEDGER  # noqa: E402
from refmaker.manifest.manifest import Target  # noqa: E402
from tests.batch.archives import ledger_rows, outputs, run, write_archive, write_file  # noqa: E402
from tests.engines.cluster import running_cluster  # noqa: E402


def start(archive: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "refmaker_cli", "batch", str(archive), "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], what: str, began: float) -> float:
    _, err = process.communicate()
    passed = time.monotonic() - began
    print(f"{what}: status {process.returncode} after {passed:.1f} s; {err.splitlines()[-1].partition(': ')[2]}")
    if process.returncode not in (0, 1, 3):
        sys.exit(err)
    return passed


def manifests(out: Path) -> int:
    return sum(1 for _ in out.rglob("*.json"))


def wait_for_more(out: Path, process: subprocess.Popen[str], number: int) -> None:
    """Wait until a run has written some manifests."""
    wanted = manifests(out) + number
    while manifests(out) < wanted and process.poll() is None:
        time.sleep(0.005)


def essence(out: Path) -> tuple[dict[str, bytes], dict[str, tuple[Any, ...]]]:
    """Return what does not depend on when, how and where a run was."""
    rows = {
        url: (row.seen, row.output, row.status, row.mapped, row.inlined, row.refusals, row.error, row.output_size)
        for url, row in ledger_rows(out).items()
    }
    return outputs(out), rows


def kill_and_go_on(archive: Path, out: Path, jobs: str, whole: float) -> None:
    chance = random.Random()
    for _ in range(3):
        process = start(archive, out, "--jobs", jobs)
        wait_for_more(out, process, 1)
        pause = chance.uniform(0, whole / 5)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = sum(1 for _ in out.rglob(".refmaker-*"))
        rows = len(ledger_rows(out)) if (out / LEDGER).exists() else 0
        print(
            f"SIGKILL {pause:.2f} s after the first manifest: status {process.returncode}, "
            f"{rows} rows, {manifests(out)} manifests, {left} temporary files"
        )
    finish(start(archive, out, "--jobs", jobs), "gone on", time.monotonic())


def on_dask(archive: Path, out: Path, number: int) -> None:
    with running_cluster() as cluster:
        began = time.monotonic()
        process = start(archive, out, "--engine", "dask", "--scheduler", cluster.address)
        wait_for_more(out, process, number)
        cluster.workers[0].kill()
        cluster.workers[0].wait()
        print(f"a Dask worker of two killed when {manifests(out)} manifests were there")
        finish(process, "on Dask", began)


def unchanged(folder: Path, number: int) -> None:
    """Have a batch over files that are as they were; links to one file stand for all of them."""
    archive, out = folder / "unchanged", folder / "unchanged-out"
    source = write_file(folder / "one.h5")
    status = source.stat()
    options = options_text(source, folder / "options")
    rows = []
    for i in range(number):
        name = f"{i // 1000}/{i}.h5"
        if i % 1000 == 0:
            (archive / str(i // 1000)).mkdir(parents=True)
            (out / str(i // 1000)).mkdir(parents=True)
        os.link(source, archive / name)
        (out / f"{name}.json").touch()
        seen = Target(str(archive / name), status.st_size, None, status.st_mtime)
        rows.append(Row(seen, f"{name}.json", "done", output_size=0, options=options))
    with measured(f"ledger of {number} files written"), Ledger(str(out / LEDGER)) as ledger:
        ledger.add(rows)
    print(f"{(out / LEDGER).stat().st_size / number:.0f} bytes a file")
    with measured("batch, nothing has changed"):
        result = run(archive, out)
    print(f"{len(result.unchanged)} unchanged, {len(result.rows)} scanned")
    with measured("check"):
        found = check(str(out))
    print(f"{found.same} as recorded, {found.sources - found.same} not")


def options_text(source: Path, out: Path) -> str:
    run(source, out)
    return ledger_rows(out)[str(source)].options


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.3f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", type=Path)
    parser.add_argument("--unchanged", type=int, default=50_000, metavar="N")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--quick", action="store_true", help="a small archive, to see that all of this works")
    given = parser.parse_args()
    if not given.quick and given.archive is None:
        parser.error("name an ARCHIVE, or --quick")
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as temporary:
        folder = Path(temporary)
        archive = small_archive(folder / "archive") if given.quick else given.archive
        whole, killed, dask = (folder / name for name in ("whole", "killed", "dask"))
        seconds = finish(start(archive, whole, "--jobs", given.jobs), "whole", time.monotonic())
        kill_and_go_on(archive, killed, given.jobs, seconds)
        on_dask(archive, dask, manifests(whole) // 4)
        same = [essence(out) == essence(whole) for out in (killed, dask)]
        print(f"the same after kills: {same[0]}; on Dask: {same[1]}")
        unchanged(folder, 500 if given.quick else given.unchanged)
    return 0 if all(same) else 1


def small_archive(folder: Path) -> Path:
    for i in range(40):
        write_file(folder / f"{i}.nc", i)
    return write_archive(folder)


if __name__ == "__main__":
    sys.exit(main())
