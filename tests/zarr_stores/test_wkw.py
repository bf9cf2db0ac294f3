"""Folders of webKnossos, held against the package wkw."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("wkw")

import wkw
import zarr

import refmaker
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.zarr_stores.wkw import decode_header, morton
from tests.zarr_stores.making import files_of, read_back

pytestmark = pytest.mark.filterwarnings("ignore")

TYPES = {
    "raw": wkw.Header.BLOCK_TYPE_RAW,
    "lz4": wkw.Header.BLOCK_TYPE_LZ4,
    "lz4hc": wkw.Header.BLOCK_TYPE_LZ4HC,
}


def write(folder: Path, kind: str, dtype: Any = "u2", channels: int = 1) -> np.ndarray:
    """Write a dataset of two files on a diagonal; give all that they cover."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    header = wkw.Header(np.dtype(dtype), num_channels=channels, block_len=4, file_len=2, block_type=TYPES[kind])
    dataset = wkw.Dataset.create(str(folder), header)
    values = np.random.default_rng(0).integers(0, 50, (channels, 8, 8, 8)).astype(dtype)
    whole = np.zeros((channels, 16, 16, 8), dtype)
    for start in (0, 8):
        dataset.write((start, start, 0), values)
        whole[:, start : start + 8, start : start + 8] = values
    dataset.close()
    return whole


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "f4", "f8", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("kind", TYPES)
def test_folders(tmp_path: Path, kind: str, dtype: str, channels: int) -> None:
    whole = write(tmp_path / "a", kind, dtype, channels)
    manifest = refmaker.scan(tmp_path / "a")
    assert manifest.refusals == {}
    found = read_back(manifest)["data"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found[...], whole)
    assert len(manifest.arrays["data"].references) == 16
    assert len(manifest.targets) == 3


def test_layers_and_magnifications(tmp_path: Path) -> None:
    for name in ("color/1", "color/2-2-1", "segmentation/1"):
        write(tmp_path / "a" / name, "lz4")
    refmaker.scan(tmp_path / "a").to_json(tmp_path / "a.json")
    report = refmaker.verify(tmp_path / "a.json", sample=None)
    assert (report.differences, report.skipped, len(report.arrays)) == (0, 0, 3)
    manifest = refmaker.scan(tmp_path / "a", group="/color/1")
    assert (list(manifest.arrays), manifest.sources) == (["data"], {"data": (0, "/color/1/data")})
    assert isinstance(read_back(manifest), zarr.Group)


def test_zarr_3_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a", "raw")
    assert "Fortran" in refmaker.scan(tmp_path / "a", zarr_format=3).refusals["/data"]


def test_background_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "a", "raw")
    (line,) = [line for line in refmaker.scan(tmp_path / "a").objects if line.kind == "dataset"]
    assert "background" in line.notes[0]


@pytest.mark.parametrize("kind", TYPES)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "a", kind)
    rng, outcomes = random.Random(kind), {"answer": 0, "error": 0}
    paths = files_of(tmp_path / "a")
    for _ in range(100):
        path = rng.choice(paths)
        sound = path.read_bytes()
        changed = bytearray(sound)
        changed[rng.randrange(min(len(changed), 80))] = rng.choice((0, 0xFF, rng.randrange(256)))
        path.write_bytes(changed[: rng.choice((len(changed), len(changed), rng.randrange(len(changed))))])
        try:
            manifest = refmaker.scan(tmp_path / "a")
        except RefmakerError:
            outcomes["error"] += 1
        else:
            outcomes["error" if manifest.refusals else "answer"] += 1
            for array in manifest.arrays.values():
                sizes = np.array([target.size for target in manifest.targets], "u8")[array.references.target]
                assert (array.references.offset + array.references.size <= sizes).all()
        path.write_bytes(sound)
    assert min(outcomes.values()) > 0


def test_headers() -> None:
    assert decode_header(bytes.fromhex("574b5701120202045000000000000000")).start == 80
    for bad in (b"WKW", b"XKW" + bytes(13), bytes.fromhex("574b5701120202035000000000000000")):
        with pytest.raises(FormatError):
            decode_header(bad)
    with pytest.raises(Unsupported):
        decode_header(bytes.fromhex("574b5701120902045000000000000000"))


def test_morton() -> None:
    assert morton(9)[[1, 2, 4, 7, 8]].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [2, 0, 0]]
