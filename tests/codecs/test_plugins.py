from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs import plugins
from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.exact import widened
from refmaker.codecs.plugins import require_filters
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.datatype import decode_datatype
from refmaker.model import Filter

from .stored import store, store_as

WALK = (np.cumsum(np.random.default_rng(3).integers(-3, 4, (30, 45)), 1) + 500).astype("<i4")


def test_missing_filters_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_available", lambda number: number == 1)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    deflate = Filter(1, "deflate", False, ())
    require_filters([deflate])
    cases = [
        (Filter(32026, "", False, ()), r"filter 32026 \(blosc2\).*pip install .*\[filters\]"),
        (Filter(307, "my bzip2", False, ()), r"307 \(bzip2, stored as 'my bzip2'\)"),
        (Filter(4, "szip", False, ()), r"filter 4 \(szip\).*built without"),
        (Filter(40000, "unheard of", True, ()), r"40000 .*'unheard of'.*HDF5_PLUGIN_PATH"),
    ]
    for one, text in cases:
        with pytest.raises(Unsupported, match=text):
            require_filters([deflate, one])


def test_hdf5plugin_is_imported_when_it_is_needed_only() -> None:
    pytest.importorskip("hdf5plugin")
    script = """
import sys, numcodecs
from refmaker.codecs.hdf5 import Hdf5Codec
from refmaker.codecs.plugins import require_filters
from refmaker.model import Filter
assert "h5py" not in sys.modules
require_filters([Filter(1, "", False, ()), Filter(32000, "", False, ())])
assert "h5py" in sys.modules and "hdf5plugin" not in sys.modules
require_filters([Filter(32015, "", False, ())])
assert "hdf5plugin" in sys.modules
"""
    # netCDF4 names its own plugins there, which would make hdf5plugin needless.
    environment = {name: value for name, value in os.environ.items() if name != "HDF5_PLUGIN_PATH"}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)


def plugin_options() -> list[Any]:
    names = [
        ("BZip2", {}),
        ("LZ4", {}),
        ("LZ4", {"nbytes": 1024}),
        ("Bitshuffle", {}),
        ("Bitshuffle", {"cname": "none"}),
        ("Bitshuffle", {"cname": "zstd"}),
        ("Blosc", {}),
        ("Blosc", {"cname": "zstd", "shuffle": 2}),
        ("Blosc2", {}),
        ("Blosc2", {"cname": "zstd", "filters": 2}),
        ("Zstd", {}),
        ("Zfp", {"reversible": True}),
        ("Zfp", {"accuracy": 0.5}),
        ("SZ3", {"absolute": 0.5}),
        ("SZ", {"absolute": 0.5}),
        ("Sperr", {"peak_signal_to_noise_ratio": 60}),
        ("FciDecomp", {}),
    ]
    return [pytest.param(name, options, id=f"{name}-{options}") for name, options in names]


@pytest.mark.parametrize(("name", "options"), plugin_options())
def test_plugins(name: str, options: Any) -> None:
    """Lossy ones as well give exactly what libhdf5 reads."""
    hdf5plugin = pytest.importorskip("hdf5plugin")
    if not hasattr(hdf5plugin, name):
        pytest.skip(f"hdf5plugin without {name}")
    floats = name in ("SZ3", "SZ", "Sperr") or "accuracy" in options
    values = WALK.astype("<f4") / 4 if floats else WALK.astype("<u2") if name == "FciDecomp" else WALK
    stored = store(values, **getattr(hdf5plugin, name)(**options))
    mask, raw = stored.chunk()
    assert mask == 0
    got = decode_chunk(raw, stored.datatype, values.shape, stored.filters, mask, values.dtype)
    assert got == stored.read(values.dtype).tobytes()
    if not floats:
        assert got == values.tobytes()


@pytest.mark.parametrize(
    "numbers", [(2, 32015), (3, 32015), (32015, 2), (32001, 32015), (32015, 1, 3), (307, 1), (1, 307)]
)
def test_plugins_beside_other_filters(numbers: tuple[int, ...]) -> None:
    pytest.importorskip("hdf5plugin")
    parameters = {2: (), 3: (), 1: (5,), 307: (9,), 32001: (2, 2, 4, 5400, 5, 1, 0), 32015: (3,)}
    stored = store_as(h5t.STD_I32LE, WALK, [(n, 0, parameters[n]) for n in numbers])
    mask, raw = stored.chunk()
    dtype = widened(decode_datatype(stored.datatype))
    assert decode_chunk(raw, stored.datatype, WALK.shape, stored.filters, mask, dtype) == WALK.tobytes()
    with pytest.raises(FormatError):
        decode_chunk(raw[: len(raw) // 2], stored.datatype, WALK.shape, stored.filters, mask, dtype)


def test_error_codes_of_zstandard_are_errors() -> None:
    """The plugin returns them as if they were sizes, and libhdf5 then reads what the memory held."""
    hdf5plugin = pytest.importorskip("hdf5plugin")
    stored = store(WALK, **hdf5plugin.Zstd())
    raw = stored.chunk()[1]
    for size in (1, 3, 10, len(raw) // 2, len(raw) - 1):
        with pytest.raises(FormatError):
            decode_chunk(raw[:size], stored.datatype, WALK.shape, stored.filters, 0, "<i4")
