"""Reading chunks of some size in some order, beside fsspec's own `reference` filesystem: seconds, and bytes in vain.

    python tests/benchmarks/bench_prefetch.py
    python tests/benchmarks/bench_prefetch.py --size 280000 --latency 30 --repeat 5 --orders zarr dask random

Every repetition reads once with each way, one after the other in turn, each with connections and caches of its own,
and compares the values. The table has the median seconds of the stock way; of the others the median, least and largest
ratio to stock of the same repetition, and the bytes read beyond those of the chunks, in per cent.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import zarr

import refmaker
from tests.benchmarks.latency_server import counted, serving

WAYS = ("stock", "transparent", "decoded")


def make_file(path: Path, chunks: int, size: int) -> None:
    """Write an array of deflated chunks that take about `size` bytes each, one below the other."""
    values = np.random.default_rng(0).integers(0, 1 << 16, (chunks, size // 2), "u2")
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=values, chunks=(1, size // 2), compression="gzip", compression_opts=1)


def through_zarr(array: Any) -> Any:
    """Read all at once."""
    return array[:]


def through_dask(array: Any) -> Any:
    """Read a chunk a task, in two threads."""
    import dask.array

    return dask.array.from_array(array, chunks=array.chunks).compute(scheduler="threads", num_workers=2)


def in_order(order: Callable[[int], list[int]]) -> Callable[[Any], Any]:
    """Read a chunk at a time, in an order."""

    def read(array: Any) -> Any:
        return np.stack([array[i] for i in order(len(array))])

    return read


ORDERS: dict[str, Callable[[Any], Any]] = {
    "zarr": through_zarr,
    "dask": through_dask,
    "down": in_order(lambda count: list(range(count - 1, -1, -1))),
    "second": in_order(lambda count: list(range(0, count, 2))),
    "random": in_order(lambda count: np.random.default_rng(1).permutation(count).tolist()),
    "short": in_order(lambda count: list(range(min(count, 10)))),
}


def opened(way: str, manifest: str) -> Any:
    """Open the array in a way, with a filesystem of its own."""
    options: dict[str, Any] = {"fo": manifest, "asynchronous": True, "skip_instance_cache": True}
    if way == "stock":
        options |= {"remote_protocol": "http", "remote_options": {"asynchronous": True, "skip_instance_cache": True}}
    else:
        options["view"] = way
    filesystem = fsspec.filesystem("reference" if way == "stock" else "refmaker", **options)
    return zarr.open_group(zarr.storage.FsspecStore(filesystem, read_only=True, path=""), mode="r", zarr_format=2)["v"]


def timed(way: str, manifest: str, url: str, read: Callable[[Any], Any]) -> tuple[float, int, Any]:
    """Read in a way; return seconds, bytes, and values."""
    array = opened(way, manifest)
    counted(url)  # from here on
    began = time.perf_counter()
    values = read(array)
    took = time.perf_counter() - began
    time.sleep(0.3)  # what is on its way in vain counts
    return took, counted(url)["bytes"], values


def measured(order: str, manifest: str, url: str, repeat: int) -> str:
    """Return a row of the table."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    read: dict[str, list[int]] = {way: [] for way in WAYS}
    for turn in range(repeat):
        expected = None
        for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            took, size, values = timed(way, manifest, url, ORDERS[order])
            expected = values if expected is None else expected
            np.testing.assert_array_equal(values, expected)
            seconds[way].append(took)
            read[way].append(size)
    row = f"| {order} | {statistics.median(seconds['stock']):.2f} s |"
    least = statistics.median(read["stock"])
    for way in WAYS[1:]:
        ratios = [stock / ours for stock, ours in zip(seconds["stock"], seconds[way], strict=True)]
        vain = 100 * (statistics.median(read[way]) / least - 1)
        row += f" {statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f}), {vain:+.1f} % |"
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=280_000, help="bytes of a chunk")
    parser.add_argument("--chunks", type=int, default=150)
    parser.add_argument("--latency", type=int, default=30, help="milliseconds")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as url:
        make_file(Path(folder) / "v.h5", args.chunks, args.size)
        manifest = Path(folder) / "v.json"
        refmaker.scan(f"{url}/{args.latency}/v.h5").to_json(str(manifest))
        print(f"{args.chunks} chunks of {args.size} bytes, {args.latency} ms, {args.repeat} times")
        print("\n| order | stock | transparent | decoded |\n|---|---|---|---|")
        for order in args.orders:
            print(measured(order, str(manifest), url, args.repeat), flush=True)


if __name__ == "__main__":
    main()
