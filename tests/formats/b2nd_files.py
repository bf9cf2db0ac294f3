"""Files of b2nd for tests, written by python-blosc2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import numpy as np

__all__ = ["KINDS", "write_b2nd"]

R = np.random.default_rng(0)


def _codec(codec: Any, *filters: Any) -> dict[str, Any]:
    return {"cparams": blosc2.CParams(codec=codec, filters=[*filters] or [blosc2.Filter.SHUFFLE])}


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (np.arange(70, dtype="<i4").reshape(10, 7), {"chunks": (4, 5), "blocks": (3, 2)}),
    "one axis": (np.linspace(0, 1, 1000), {"chunks": (300,), "blocks": (64,)}),
    "cube": (R.integers(0, 9, (7, 8, 9), "u2"), {"chunks": (4, 4, 4), "blocks": (2, 3, 4)}),
    "scalar": (np.array(3.5), {}),
    "lz4": (R.random((20, 20)), {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.LZ4)}),
    "lz4hc": (R.random((20, 20)), {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.LZ4HC)}),
    "zlib": (R.random((20, 20)), {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.ZLIB)}),
    "blosclz": (np.zeros((20, 20), "i1") + 3, {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.BLOSCLZ)}),
    "bitshuffle": (
        np.arange(400, dtype="i8").reshape(20, 20),
        {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.ZSTD, blosc2.Filter.BITSHUFFLE)},
    ),
    "delta": (
        np.arange(400, dtype="i8").reshape(20, 20),
        {"chunks": (8, 8), "blocks": (4, 4), **_codec(blosc2.Codec.ZSTD, blosc2.Filter.DELTA, blosc2.Filter.SHUFFLE)},
    ),
    "big-endian": (np.arange(12, dtype=">f4").reshape(3, 4), {"chunks": (2, 2), "blocks": (2, 2)}),
    "complex": (R.random(10) + 1j, {"chunks": (4,), "blocks": (2,)}),
    "flags": (R.random(10) > 0.5, {"chunks": (4,), "blocks": (2,)}),
    "text": (np.array(["a", "bc", "ü"]), {"chunks": (2,), "blocks": (1,)}),
    "bytes": (np.array([b"a", b"bc"]), {"chunks": (2,), "blocks": (1,)}),
    "members": (np.array([(1, 2.5), (3, 4.5)], [("a", "<i4"), ("b", "<f8")]), {"chunks": (1,), "blocks": (1,)}),
}
"""Name -> values, and options of `blosc2.asarray`."""


def write_b2nd(path: Path, name: str) -> Any:
    """Write a file; give the array as blosc2 shows it."""
    values, options = KINDS[name]
    return blosc2.asarray(values, urlpath=str(path), mode="w", **options)
