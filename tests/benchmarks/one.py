"""One measured scan in a process of its own.

    python -m tests.benchmarks.one TOOL FILE [--warm SMALL_FILE] [--chunks OUT]

Prints one line of JSON: CPU and wall seconds of the scan alone (after a scan of `SMALL_FILE` with the same tool, which
has everything imported), peak memory of the process and what it held before, in bytes, and what the scan found. With
`--chunks` the chunk lists are written to a file. Exit status 4: the tool, or something that it needs, is not installed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import tempfile
import time
from importlib import metadata
from typing import Any

from tests.benchmarks import chunk_lists
from tests.benchmarks.chunk_lists import ChunkLists
from tests.benchmarks.tools import TOOLS, Tool

ABSENT = 4


def memory(field: str) -> int:
    """Return a line of /proc/self/status in bytes (VmHWM: the peak); elsewhere than on Linux the peak, whatever is
    asked.

    `ru_maxrss` would do on Linux as well, were it not inherited from the parent.
    """
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(lines[field].split()[0]) * 1024


def measure(tool: Tool, path: str, warm: str | None, folder: str) -> tuple[dict[str, Any], ChunkLists | None]:
    """Scan a file once; give the figures and the chunk lists."""
    output = os.path.join(folder, "output")
    if warm:
        tool.scan(warm, output)
    gc.collect()
    # kerchunk waits for zarr's thread while it holds h5py's lock, for which a collection in that thread would wait.
    gc.disable()
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result = tool.scan(path, output)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    figures = {"cpu": cpu, "wall": wall, "peak": memory("VmHWM"), "before": before}
    return figures, tool.chunk_lists(result, path, output)


def versions(tool: Tool) -> dict[str, str]:
    """Return the versions of what was measured."""
    found = {"python": sys.version.split()[0]}
    for package in tool.packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = sys.modules[package].__version__
    if "h5py" in found:
        import h5py

        found["libhdf5"] = h5py.version.hdf5_version
    return found


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("file")
    parser.add_argument("--warm")
    parser.add_argument("--chunks")
    options = parser.parse_args()
    tool = TOOLS[options.tool]
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures, lists = measure(tool, options.file, options.warm, folder)
        except ModuleNotFoundError as error:
            print(error, file=sys.stderr)
            sys.exit(ABSENT)
    figures["versions"] = versions(tool)
    if lists is not None:
        figures["arrays"] = len(lists)
        figures["chunks"] = sum(columns.shape[1] for columns in lists.values())
        figures["digest"] = chunk_lists.digest(lists)
        if options.chunks:
            chunk_lists.save(lists, options.chunks)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
