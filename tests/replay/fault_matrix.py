"""All that can go wrong, by every reader: what each of them gets.

    python -m tests.replay.fault_matrix [--also PYTHON …]

prints the matrix as a table of Markdown: a row for each fault, a column for each reader, and in the cell the error that
the reader raises, through both views. `--also` adds the readers of other interpreters, such as one with zarr 2.18. A
cell that says SILENT got values though there was a fault; then the status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from refmaker.manifest.manifest import Manifest
from refmaker.replay import range_reader
from tests.replay.readers import READERS
from tests.replay.scenes import DATA, FILL, VALUES, scene
from tests.servers import RangeServer

__all__ = ["CASES", "EXPECTED", "Case", "outcome"]

Case = Callable[[Path, RangeServer], dict[str, Any]]
"""Makes a manifest and the fault; gives the options to read it with."""

EXPECTED = VALUES.copy()
EXPECTED[2:4] = FILL


def written(held: Manifest, folder: Path) -> str:
    held.to_json(folder / "m.json")
    return str(folder / "m.json")


def of_server(fault: str) -> Case:
    """Return a case in which every request for the target goes wrong."""

    def case(folder: Path, server: RangeServer) -> dict[str, Any]:
        url = server.add("a.nc", DATA)
        server.faults["a.nc"] = fault
        return {"fo": written(scene(url), folder), "timeout": 0.2 if fault == "hang" else 30.0}

    return case


def rewritten(data: bytes, *, local: bool) -> Case:
    """Return a case in which the target was written anew."""

    def case(folder: Path, server: RangeServer) -> dict[str, Any]:
        if local:
            (folder / "a.nc").write_bytes(data)
            os.utime(folder / "a.nc", (9, 9))
            return {"fo": written(scene("a.nc", size=len(DATA), mtime=5.0), folder)}
        url = server.add("a.nc", DATA)
        recorded = {"size": len(DATA), "etag": server.files["a.nc"].etag}
        server.add("a.nc", data)
        return {"fo": written(scene(url, **recorded), folder)}

    return case


def separator(folder: Path, server: RangeServer) -> dict[str, Any]:
    """The metadata say another separator than the keys have."""
    fo = written(scene(server.add("a.nc", DATA)), folder)
    document = json.loads(Path(fo).read_text())
    metadata = json.loads(document["refs"]["g/x/.zarray"])
    document["refs"]["g/x/.zarray"] = json.dumps({**metadata, "dimension_separator": "/"})
    document["refs"].pop(".zmetadata", None)
    document.pop("refmaker", None)
    Path(fo).write_text(json.dumps(document))
    return {"fo": fo}


def refused(folder: Path, server: RangeServer) -> dict[str, Any]:
    """The scan refused the array."""
    held = scene(server.add("a.nc", DATA))
    del held.arrays["g/x"]
    held.refusals = {"/g/x": "time datatype"}
    return {"fo": written(held, folder)}


def sound(folder: Path, server: RangeServer) -> dict[str, Any]:
    """A chunk that the manifest does not record, and no fault: what is not there is the fill value."""
    return {"fo": written(scene(server.add("a.nc", DATA)), folder)}


def shard(change: Callable[[Path], None]) -> Case:
    """Return a case in which a file of a Parquet set is not what it was."""

    def case(folder: Path, server: RangeServer) -> dict[str, Any]:
        from refmaker.kerchunk.parquet_writer import write_parquet

        write_parquet(scene(server.add("a.nc", DATA)), folder / "m.parq", record_size=1)
        change(folder / "m.parq/g/x/refs.0.parq")
        return {"fo": str(folder / "m.parq")}

    return case


def remote_shard(fault: str) -> Case:
    """Return a case in which a server does not give a shard."""

    def case(folder: Path, server: RangeServer) -> dict[str, Any]:
        shard(lambda path: None)(folder, server)
        for file in (folder / "m.parq").rglob("*"):
            if file.is_file():
                server.add(f"m.parq/{file.relative_to(folder / 'm.parq').as_posix()}", file.read_bytes())
        server.faults["m.parq/g/x/refs.0.parq"] = fault
        return {"fo": f"{server.url}/m.parq", "allow_local": True}

    return case


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


CASES: dict[str, Case] = {
    "404": of_server("404"),
    "403": of_server("403"),
    "500": of_server("500"),
    "connection reset": of_server("reset"),
    "body truncated": of_server("truncated"),
    "206, shorter": of_server("short"),
    "200 for 206": of_server("ignore-range"),
    "HTML page": of_server("html"),
    "HTML page of that length": of_server("html-of-that-length"),
    "hang": of_server("hang"),
    "rewritten, same layout": rewritten(DATA[:16] + (VALUES + 1).tobytes() + DATA[-16:], local=False),
    "rewritten, other layout": rewritten(b"more" + DATA, local=False),
    "rewritten locally, same layout": rewritten(DATA[:16] + (VALUES + 1).tobytes() + DATA[-16:], local=True),
    "rewritten locally, other layout": rewritten(b"more" + DATA, local=True),
    "wrong separator": separator,
    "array refused by the scan": refused,
}
if find_spec("pyarrow"):
    CASES |= {
        "Parquet shard missing": shard(Path.unlink),
        "Parquet shard truncated": shard(cut),
        "Parquet shard garbage": shard(lambda path: path.write_bytes(b"PAR1" + bytes(200) + b"PAR1") and None),
        "Parquet shard 404": remote_shard("404"),
        "Parquet shard 500": remote_shard("500"),
        "Parquet shard, connection reset": remote_shard("reset"),
    }


def outcome(reader: Callable[..., np.ndarray], options: dict[str, Any]) -> str | np.ndarray:
    """Read; give the name of the error, or the values."""
    try:
        return reader(**options)
    except Exception as error:  # noqa: BLE001 - whatever it is, its name is the outcome
        return type(error).__name__


def measured() -> dict[str, dict[str, str]]:
    """Return the matrix of this interpreter: fault -> reader -> outcome."""
    fsspec.register_implementation("refmaker", "refmaker.replay.filesystem.FileSystem", clobber=True)
    range_reader.PAUSE = 0.0
    found: dict[str, dict[str, str]] = {}
    for name, case in {**CASES, "no chunk recorded, no fault": sound}.items():
        for reader, read in READERS.items():
            for view in ("transparent", "decoded"):
                if reader == "filesystem" and view == "decoded":
                    continue  # it spells the keys of chunks as they were
                with tempfile.TemporaryDirectory() as folder, RangeServer() as server:
                    got = outcome(read, case(Path(folder), server) | {"view": view, "chunk_target": 1})
                if not isinstance(got, str):
                    got = "fill value" if case is sound and (got == EXPECTED).all() else "SILENT"
                cells = found.setdefault(name, {})
                before = cells.get(column(reader), got)
                cells[column(reader)] = got if before == got else f"{before}, decoded view: {got}"
    return found


def column(reader: str) -> str:
    """Return the heading of a reader."""
    package = reader if reader in ("xarray", "dask") else "zarr"
    if reader == "filesystem":
        return "fsspec"
    lead = f"{package} {'.'.join(version(package).split('.')[:2])}"
    return lead if package != "zarr" else f"{lead} {reader}"


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", action="append", default=[], metavar="PYTHON")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = measured()
    if options.json:
        print(json.dumps(found))  # noqa: T201
        return
    for python in options.also:
        command = [python, "-m", "tests.replay.fault_matrix", "--json"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for name, cells in json.loads(text).items():
            found.setdefault(name, {}).update(cells)
    columns = list(dict.fromkeys(heading for cells in found.values() for heading in cells))
    print(f"| | {' | '.join(columns)} |")  # noqa: T201
    print("|---" * (len(columns) + 1) + "|")  # noqa: T201
    for name, cells in found.items():
        print(f"| {name} | {' | '.join(cells.get(heading, '–') for heading in columns)} |")  # noqa: T201
    sys.exit(any("SILENT" in cell for cells in found.values() for cell in cells.values()))


if __name__ == "__main__":
    main()
