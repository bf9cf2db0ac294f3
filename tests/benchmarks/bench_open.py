"""Opening manifests and looking things up: JSON, the cache, Parquet sets; stock fsspec beside them in one run.

Every figure is from a process of its own, wall time, imports not counted; memory is what the process holds more after
than before, garbage collected. One array on a three-dimensional grid, no chunk missing, one target.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEY = "data/0.0.1"


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its outcome."""
    start = time.perf_counter()
    outcome = function()
    return time.perf_counter() - start, outcome


def ours(path: str) -> dict[str, float]:
    """Open a manifest with refmaker, and ask for this and that."""
    import fsspec

    if path.endswith(".parq"):
        import pyarrow.parquet  # noqa: F401

    import refmaker
    from refmaker.replay.filesystem import FileSystem

    fsspec.asyn.get_loop()
    before = resident()
    filesystem = FileSystem(path, skip_instance_cache=True)
    found = {"open": timed(lambda: filesystem.info(KEY))[0]}
    found["memory"] = resident() - before
    found["exists"] = timed(lambda: filesystem.exists("data/0.0.2"))[0]
    found["ls"], listed = timed(lambda: filesystem.ls("data"))
    found["find"], names = timed(lambda: filesystem.find(""))
    found["names"] = len(names)
    found["pickle"] = len(pickle.dumps(filesystem))
    del listed, names
    refmaker.open_manifest(path).load()
    return found


def stock(path: str) -> dict[str, float]:
    """Open a manifest with fsspec's `reference`, and ask for this and that."""
    from fsspec.implementations.reference import LazyReferenceMapper, ReferenceFileSystem

    if path.endswith(".parq"):
        import pandas  # noqa: F401, ICN001
        import pyarrow.parquet  # noqa: F401
    before = resident()
    held: list[Any] = []

    def start() -> None:
        fo: Any = path
        if path.endswith(".parq"):
            import fsspec

            fo = LazyReferenceMapper(path, fs=fsspec.filesystem("file"), engine="pyarrow")
        held.append(ReferenceFileSystem(fo, remote_protocol="memory", skip_instance_cache=True))
        held[0]._cat_common(KEY)

    found = {"open": timed(start)[0]}
    found["memory"] = resident() - before
    found["exists"] = timed(lambda: held[0].exists("data/0.0.2"))[0]
    found["ls"] = timed(lambda: held[0].ls("data"))[0]
    found["find"], names = timed(lambda: held[0].find(""))
    found["names"] = len(names)
    found["pickle"] = len(pickle.dumps(held[0])) if not path.endswith(".parq") else 0
    return found


def child(kind: str, path: str, **environment: str) -> subprocess.Popen[str]:
    """Start a process that measures."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, __file__, "--child", kind, path]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths, **environment}
    )


def measured(kind: str, path: str, **environment: str) -> dict[str, float]:
    """Return what a process measured."""
    process = child(kind, path, **environment)
    text = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"measuring {kind} on {path} failed")
    found: dict[str, float] = json.loads(text)
    return found


def row(name: str, found: dict[str, float], refs: int) -> None:
    """Print one line of the table."""
    print(
        f"{name:34}{found['open']:10.4f}{found['memory'] / refs:10.1f}{found['exists'] * 1e3:10.3f}"
        f"{found['ls']:9.2f}{found['find']:9.2f}{int(found['pickle']):12,}"
    )


def old(path: str) -> None:
    """Make a file as old as files are that nobody is writing."""
    os.utime(path, (1e9, 1e9))


def compare(folder: str, refs: int, repeat: int, processes: int, *, with_stock: bool, with_dask: bool) -> None:
    """Measure everything on one manifest."""
    from tests.benchmarks.bench_json_writer import make_manifest

    manifest = make_manifest(refs)
    text, packed, columns = (os.path.join(folder, name) for name in ("m.json", "m.json.zst", "m.parq"))
    for path in (text, packed):
        manifest.to_json(path)
        old(path)
    print(f"{refs:,} references, {os.path.getsize(text) / 1e6:.1f} MB of JSON")
    print(f"{'':34}{'open s':>10}{'B/ref':>10}{'exists ms':>10}{'ls s':>9}{'find s':>9}{'pickle B':>12}")
    for name, path in (("JSON", text), ("JSON packed with zstd", packed)):
        runs = []
        for number in range(repeat):
            runs.append(measured("ours", path, REFMAKER_CACHE_DIR=os.path.join(folder, f"{name}{number}")))
        row(f"{name}, first open", middle(runs), refs)
        time.sleep(2.1)  # younger files are not known by their times
        cache = os.path.join(folder, "cache" + name)
        measured("ours", path, REFMAKER_CACHE_DIR=cache)
        row(
            f"{name}, second open",
            middle([measured("ours", path, REFMAKER_CACHE_DIR=cache) for _ in range(repeat)]),
            refs,
        )
    together(text, os.path.join(folder, "together"), processes)
    if with_dask and importable("distributed"):
        workers(text, os.path.join(folder, "workers"), processes)
    if importable("pyarrow"):
        seconds = timed(lambda: manifest.to_parquet(columns))[0]
        row("Parquet, open and first chunk", middle([measured("ours", columns) for _ in range(repeat)]), refs)
        size = sum(file.stat().st_size for file in Path(columns).rglob("*") if file.is_file())
        print(f"  (written in {seconds:.2f} s, {size / 1e6:.1f} MB)")
    if with_stock:
        row("stock JSON", measured("stock", text), refs)
        if importable("pyarrow") and importable("pandas"):
            row("stock Parquet", measured("stock", columns), refs)


def together(path: str, cache: str, processes: int) -> None:
    """Open one manifest in several processes at once."""
    seconds, found = timed(
        lambda: [
            process.communicate()[0]
            for process in [child("once", path, REFMAKER_CACHE_DIR=cache) for _ in range(processes)]
        ]
    )
    parsed = sum(json.loads(text)["parsed"] for text in found)
    print(f"{processes} processes at once, with imports  {seconds:9.4f} s, JSON parsed {parsed} times")


def workers(path: str, cache: str, processes: int) -> None:
    """Open one manifest in the workers of a Dask cluster on this machine, all at once."""
    os.environ["REFMAKER_CACHE_DIR"] = cache
    from distributed import Client

    from tests.engines.cluster import running_cluster

    with running_cluster(processes) as cluster, Client(cluster.address, set_as_default=False) as client:
        client.run(imported)
        seconds, found = timed(lambda: client.run(once, path))
        parsed = int(sum(each["parsed"] for each in found.values()))
        print(f"{processes} Dask workers at once             {seconds:9.4f} s, JSON parsed {parsed} times")
        seconds, found = timed(lambda: client.run(once, path))
        parsed = int(sum(each["parsed"] for each in found.values()))
        print(f"{processes} Dask workers, once more          {seconds:9.4f} s, JSON parsed {parsed} times")
    del os.environ["REFMAKER_CACHE_DIR"]


def imported() -> None:
    """Import what opening needs."""
    import refmaker.replay.filesystem  # noqa: F401


def once(path: str) -> dict[str, float]:
    """Open a manifest; return whether it was parsed."""
    from refmaker.kerchunk import cache
    from refmaker.replay.filesystem import FileSystem

    calls = []
    plain = cache.read_json
    cache.read_json = lambda data, source: calls.append(1) or plain(data, source=source)
    try:
        FileSystem(path).info(KEY)
    finally:
        cache.read_json = plain
    return {"parsed": len(calls)}


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of every figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def importable(name: str) -> bool:
    """Return whether a package is installed."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refs", type=int, default=1_000_000, help="references")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--no-stock", action="store_true", help="without fsspec's reader, which takes minutes")
    parser.add_argument("--quick", action="store_true", help="60,000 references, one run, three processes at once")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"ours": ours, "stock": stock, "once": once}[options.child[0]](options.child[1])))
        return
    sys.path.insert(0, str(ROOT))
    refs, repeat, processes = (60_000, 1, 3) if options.quick else (options.refs, options.repeat, 8)
    with tempfile.TemporaryDirectory() as folder:
        compare(folder, refs, repeat, processes, with_stock=not options.no_stock, with_dask=not options.quick)


if __name__ == "__main__":
    main()
