"""Files that differ at random in many things at once: refused, or what xarray makes of them, whatever is asked for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.kerchunk.json_writer import iter_json
from refmaker.verification.verify import verify

from .making import LAT, original, shown, values, write


def differing(chance: random.Random, base: dict[str, Any]) -> dict[str, Any]:
    """Change some of the options of a file."""
    options = dict(base)
    for name, probability, choices in (
        ("dtype", 0.25, ["i2", "i4", "f4", "f8"]),
        ("endian", 0.15, ["little", "big"]),
        ("chunks", 0.3, [(1, 4, 5), (2, 4, 5), (2, 2, 5), (3, 3, 2), None]),
        ("compression", 0.3, [None, "zlib"]),
        ("shuffle", 0.2, [True, False]),
        ("fill", 0.3, [None, -1, -2, 7]),
        ("lat", 0.05, [LAT, LAT + 1]),
    ):
        if chance.random() < probability:
            options[name] = chance.choice(choices)
    attributes = dict(options.get("attributes", {}))
    for name, probability, numbers in (
        ("scale_factor", 0.2, [0.5, 0.25, 1.0, 2.0, 0.1]),
        ("add_offset", 0.15, [1.0, 8.0, 0.3]),
    ):
        if chance.random() < probability:
            attributes[name] = chance.choice(numbers)
    if chance.random() < 0.1:
        options |= {"dims": ("time", "lon", "lat"), "chunks": chance.choice([(2, 5, 4), (1, 2, 3)])}
    elif "dims" in options and options.get("chunks") is not None:
        options["chunks"] = (2, 5, 4)
    return options | {"attributes": attributes}


def archive(chance: random.Random, folder: Path) -> list[Path]:
    base, start, paths = differing(chance, {}), 0, []
    for number in range(chance.choice([2, 2, 3])):
        own = differing(chance, base) if chance.random() < 0.6 else dict(base)
        rows = chance.choice([4, 4, 2, 3, 6])
        raw = values(start, rows)
        if chance.random() < 0.3:
            raw = np.where(raw % 7 == 0, chance.choice([-1, -2, 7]), raw)
        units = chance.choice([None, None, "days since 2000-01-01", f"hours since 2000-01-01 {start:02d}:00"])
        if units is not None:
            own |= {"times": np.arange(start, start + rows) / 24 if units[0] == "d" else np.arange(rows)}
            own |= {"time_attributes": {"units": units}}
        paths.append(write(folder / f"{number}.nc", start, rows, raw=raw, **own))
        start += rows
    return paths


def together(datasets: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat(
        datasets, "time", data_vars="minimal", coords="minimal", compat="equals", join="exact", combine_attrs="override"
    )


@pytest.mark.parametrize("how", ["refuse", "inline", "split", "drop-variable"])
@pytest.mark.parametrize("seed", range(8))
def test_never_anything_else(seed: int, how: Any, tmp_path: Path) -> None:
    chance = random.Random(f"{seed} {how}")
    paths = archive(chance, tmp_path)
    order = chance.sample(paths, len(paths))
    options: dict[str, Any] = {"on_mismatch": how, "zarr_format": chance.choice([2, 3])}
    try:
        manifest = refmaker.combine(order, **options)
    except refmaker.CombineError:
        return  # which ones are is in test_mismatches and test_combine
    spilled = refmaker.combine(order, spill=tmp_path, **options)
    assert b"".join(iter_json(spilled)) == b"".join(iter_json(manifest))
    report = verify(manifest, sample=None)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []
    datasets = original(*paths)
    parts = sorted({path.partition("/")[0] for path in manifest.arrays if path.startswith("part_")})
    seen = 0
    for part in parts or [None]:
        found = shown(manifest, part)
        seen += found.sizes["time"]
        own = [one for one in datasets if np.isin(one.time.values, found.time.values).all()]
        if how == "drop-variable":
            own = [one.drop_vars([name for name in one.data_vars if name not in found]) for one in own]
        xr.testing.assert_equal(found, together(own))
    assert seen == sum(one.sizes["time"] for one in datasets)
