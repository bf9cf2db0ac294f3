"""json and ujson on documents of the kinds that refmaker reads and writes: prints how many times as fast ujson is.

Run: python tests/benchmarks/bench_json.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import ujson

ZARRAY = {
    "chunks": [1, 721, 1440],
    "compressor": {"id": "zlib", "level": 4},
    "dtype": "<f4",
    "fill_value": "NaN",
    "filters": None,
    "order": "C",
    "shape": [1000, 721, 1440],
    "zarr_format": 2,
}


def report(sources: int) -> dict[str, Any]:
    """Return a report of an archive."""
    row = {
        "status": "done",
        "mapped": 12,
        "inlined": 3,
        "refused": 1,
        "refusals": {"/a/b": "an unknown filter"},
    }
    return {"sources": [{"source": f"s3://b/c/{i}.nc", "seconds": i / 7, "chunks": i, **row} for i in range(sources)]}


DOCUMENTS = {
    "report": report(20000),
    "metadata": {f"v{i}/.zarray": json.dumps(ZARRAY) for i in range(2000)},
    "references": {f"v/{i}.{j}.0": ["s3://b/a.nc", 1000 * i + j, 12345] for i in range(300) for j in range(300)},
}


def best(call: Callable[[], object], times: int = 5) -> float:
    """Return the least seconds of some calls."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    """Print the table."""
    for name, content in DOCUMENTS.items():
        text = json.dumps(content)
        indented = best(lambda content=content: json.dumps(content, indent=1)) / best(
            lambda content=content: ujson.dumps(content, indent=1, separators=(",", ": "))
        )
        plain = best(lambda content=content: json.dumps(content)) / best(lambda content=content: ujson.dumps(content))
        read = best(lambda text=text: json.loads(text)) / best(lambda text=text: ujson.loads(text))
        print(f"{name:12} written indented {indented:5.2f}x, written {plain:5.2f}x, read {read:5.2f}x")


if __name__ == "__main__":
    main()
