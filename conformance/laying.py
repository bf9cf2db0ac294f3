"""Lay a case out: its manifest and its targets in a folder of its own."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from building import data_file

CASES = Path(__file__).resolve().parent / "cases"


def load_cases(folder: Path = CASES) -> list[dict[str, Any]]:
    """Return all cases, by name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def lay_out(case: dict[str, Any], folder: Path) -> Path:
    """Write a case below a folder; return the path of its manifest.

    Raises
    ------
    ImportError
        It is a Parquet set, and pyarrow is not there.
    """
    root = folder / case["name"]
    root.mkdir(parents=True)
    (root / "data.bin").write_bytes(data_file())
    for name, data in case.get("targets", {}).items():
        (root / name).write_bytes(b64decode(data))
    for name, what in case.get("sparse", {}).items():
        _special(root / name, what)
    manifest = root / f"manifest{case['suffix']}"
    if "manifest" in case:
        manifest.write_text(case["manifest"].replace("@ROOT@", str(root)), "utf-8")
    elif "parquet" in case:
        _parquet(case["parquet"], manifest, str(root))
    else:
        manifest.write_bytes(b"")
    return manifest


def _special(path: Path, what: dict[str, Any]) -> None:
    """Make a link, or a large file of which only a few bytes are written."""
    if "link" in what:
        path.symlink_to(what["link"])
        return
    with path.open("wb") as file:
        file.truncate(what["size"])
        for offset, data in what["at"].items():
            file.seek(int(offset))
            file.write(bytes.fromhex(data))


def _parquet(files: dict[str, Any], folder: Path, root: str) -> None:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content.replace("@ROOT@", root), "utf-8")
        elif content is not None:
            _shard(path, content, root)


def _shard(path: Path, columns: dict[str, Any], root: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = {}
    for name, column in columns.items():
        values = column["values"]
        if column["type"] == "binary":
            values = [None if value is None else b64decode(value) for value in values]
        elif name == "path":
            values = [None if value is None else value.replace("@ROOT@", root) for value in values]
        kind = pa.string() if column["type"] == "dictionary" else getattr(pa, column["type"])()
        made[name] = pa.array(values, kind)
        if column["type"] == "dictionary":
            made[name] = made[name].dictionary_encode()
    pq.write_table(pa.table(made), path, compression="zstd")
