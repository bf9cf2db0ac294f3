"""Manifests of anyone, changed at random: one manifest, or an error of ours."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refmaker
from refmaker.errors import ManifestError, RefmakerError
from refmaker.kerchunk.json_writer import iter_json

from .making import write
from .test_archives import HOURS, bounds

VALUES: list[Any] = [
    *(None, 0, -1, 2**63, 2**70, 0.5, True, "", "x", "NaN", "AAAAAAAA8H8=", [], [1], ["time"], {}, {"a": 1}),
    *("days since 2000-01-01", "months since x", "days since 99999-01-01", "hours since 2000-01-01 +1", "noleap"),
    *(
        "|O",
        "<M8[ns]",
        "|V3",
        [["a", "<i4"]],
        [["a", "|O"]],
        "string",
        "float64",
        {"id": "pickle"},
        {"id": "vlen-utf8"},
    ),
    *({"id": "zlib", "level": "x"}, {"id": "delta", "dtype": "<i4"}, [{"id": "shuffle", "elementsize": 0}]),
    *([{"id": "refmaker_hdf5"}], {"name": "regular", "configuration": {"chunk_shape": [0, 1]}}),
]
NAMES = [
    *("units", "calendar", "_FillValue", "scale_factor", "add_offset", "missing_value", "_Unsigned", "bounds"),
    *("coordinates", "grid_mapping", "_ARRAY_DIMENSIONS", "dtype", "grid_mapping_name", "climatology"),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    folder = tmp_path_factory.mktemp("files")
    packed: dict[str, Any] = {"attributes": {"scale_factor": 0.5}, "dtype": "i2", "fill": -1}
    days = [write(folder / f"{n}.nc", 4 * n, extra={"orog": (("lat",), np.ones(4))}, **packed) for n in range(2)]
    with_bounds = [folder / "a.nc", folder / "b.nc"]
    for path, units in zip(with_bounds, (HOURS, "days since 2000-01-02"), strict=True):
        bounds(units).write(path)
    return [
        [b"".join(iter_json(refmaker.scan(str(path), zarr_format=number))) for path in paths]  # type: ignore[arg-type]
        for paths in (days, with_bounds)
        for number in (2, 3)
    ]


def mutate(chance: random.Random, refs: dict[str, Any]) -> None:
    key = chance.choice(list(refs))
    value = refs[key]
    if isinstance(value, list):
        offset, size = value[1] + chance.choice([-1, 1, 2**62]), max(value[2] + chance.choice([0, -1, 5]), 0)
        refs[key] = chance.choice([[value[0], offset, size], "base64:AAAA", "base64:"])
        return
    document = json.loads(value) if value.startswith("{") else None
    if not isinstance(document, dict):
        refs[key] = chance.choice(["", "base64:AAAA", "abc"])
        return
    inner = document.get("attributes")
    place = inner if isinstance(inner, dict) and chance.random() < 0.5 else document
    name = chance.choice([*place, *NAMES] if chance.random() < 0.5 else NAMES)
    if chance.random() < 0.15:
        place.pop(name, None)
    else:
        place[name] = chance.choice(VALUES)
    refs[key] = json.dumps(document)


@pytest.mark.parametrize("part", range(4))
def test_an_answer_or_an_error_of_ours(part: int, pairs: list[list[bytes]], tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(100 * part, 100 * part + 100):
        chance = random.Random(seed)
        paths = []
        for number, text in enumerate(chance.choice(pairs)):
            document = json.loads(text)
            for _ in range(chance.choice([0, 1, 1, 2])):
                mutate(chance, document["refs"])
            paths.append(tmp_path / f"m{number}.json")
            paths[-1].write_text(json.dumps(document))
        options: dict[str, Any] = {"on_mismatch": chance.choice(["refuse", "inline", "split", "drop-variable"])}
        if chance.random() < 0.3:
            options["concat"] = chance.choice(["time", "lat", "member", ("time", "lat"), r"member=m(\d)", "orog"])
        if chance.random() < 0.3:
            options["spill"] = tmp_path
        try:
            refmaker.combine(paths, **options).to_json(tmp_path / "out.json")
            outcomes.add("made")
        except RefmakerError as error:
            outcomes.add(type(error).__name__)
    assert {"made", "CombineError", "ManifestError"} <= outcomes


@pytest.mark.parametrize(("name", "value"), [("dtype", 5), ("filters", [1]), ("filters", 3), ("compressor", "zlib")])
def test_metadata_of_other_kinds(name: str, value: Any, pairs: list[list[bytes]], tmp_path: Path) -> None:
    document = json.loads(pairs[0][0])
    metadata = json.loads(document["refs"]["t2m/.zarray"])
    document["refs"]["t2m/.zarray"] = json.dumps({**metadata, name: value})
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=f"invalid {name}"):
        refmaker.combine([tmp_path / "m.json"])
