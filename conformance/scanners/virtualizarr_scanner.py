"""VirtualiZarr's HDFParser; what it makes is read as the Zarr store that it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))

import zarr
from serving import Keys, Values, answer_with
from virtualizarr.parsers import HDFParser
from virtualizarr_reader import REGISTRY


def scan(request: dict[str, Any]) -> tuple[Values, Keys]:
    url = f"file://{request['manifest']}"

    def values(path: str) -> Any:
        group, _, name = path.rpartition("/")
        parsed = HDFParser(group=group or None)(url, REGISTRY)
        return zarr.open_group(parsed, mode="r", zarr_format=3)[name][...]

    return values, None


if __name__ == "__main__":
    answer_with(scan, "virtualizarr", "h5py", "zarr")
