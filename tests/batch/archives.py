"""Small archives for these tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refmaker.batch.discovery import Inputs
from refmaker.batch.ledger import Ledger, Row
from refmaker.batch.run import LEDGER, Batch, Result
from refmaker.engines.engine import Item


def write_file(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(12) + seed, chunks=(4,), compression="gzip")
        file["y"] = float(seed)
    return path


def write_refused(path: Path) -> Path:
    write_file(path)
    with h5py.File(path, "a") as file:
        regions = file.create_dataset("regions", shape=(1,), dtype=h5py.regionref_dtype)
        regions[0] = file["x"].regionref[2:4]
    return path


def write_archive(folder: Path) -> Path:
    """Write five files: two sound ones, one of them deeper, one with a refusal, one damaged, one that is no source."""
    write_file(folder / "a.nc", 1)
    write_file(folder / "deep/er/b.h5", 2)
    write_refused(folder / "deep/refused.h5")
    (folder / "damaged.nc").write_bytes(b"\x89HDF\r\n\x1a\n\0")
    (folder / "README.txt").write_text("not a source")
    return folder


class InProcess:
    """An engine that does it all here, one after the other."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def run(self, function: Any, items: Any) -> Any:
        for item in items:
            yield [self.one(function, item)]

    def one(self, function: Any, item: Item) -> tuple[Item, Any]:
        self.done.append(os.path.basename(item.argument.seen.url))
        return item, function(item.argument)

    def close(self) -> None:
        pass


def run(
    source: Path | str | list[str], out: Path | str, *, engine: Any = None, observer: Any = None, **options: Any
) -> Result:
    names = tuple(source) if isinstance(source, list) else (str(source),)
    of_roots = {name: options.pop(name) for name in ("pattern", "base", "storage_options") if name in options}
    return Batch(Inputs(names, **of_roots), str(out), **options).run(engine or InProcess(), observer)


def done(result: Result) -> list[str]:
    """Return what was scanned, by the last parts of names."""
    return sorted(os.path.basename(row.seen.url) for row in result.rows)


def ledger_rows(out: Path) -> dict[str, Row]:
    with Ledger(str(out / LEDGER), read_only=True) as ledger:
        return ledger.rows()


def outputs(out: Path) -> dict[str, bytes]:
    """Return all files of an output directory but the ledger, with their contents."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(LEDGER)
    }
