"""Files of b2nd and frames of Blosc2, held against python-blosc2."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("blosc2")

import blosc2
import zarr

import refmaker
from refmaker.errors import FormatError, RefmakerError
from tests.formats.b2nd_files import KINDS, write_b2nd

pytestmark = pytest.mark.filterwarnings("ignore")


def shown(manifest: Any) -> Any:
    store = zarr.storage.FsspecStore(refmaker.FileSystem(manifest, asynchronous=True), read_only=True, path="")
    return zarr.open_group(store, mode="r")["0"]


def same(manifest: Any, tmp_path: Path) -> None:
    manifest.to_json(tmp_path / "a.json")
    report = refmaker.verify(tmp_path / "a.json", sample=None)
    assert (report.differences, report.skipped, len(report.arrays)) == (0, 0, 1), report


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", KINDS)
def test_arrays(tmp_path: Path, name: str, zarr_format: Any) -> None:
    array = write_b2nd(tmp_path / "a.b2nd", name)
    if zarr_format == 3 and name in ("big-endian", "text"):
        zarr_format = 2  # zarr-python 3 shows these in native order
    manifest = refmaker.scan(tmp_path / "a.b2nd", zarr_format=zarr_format)
    assert manifest.refusals == {}
    found = shown(manifest)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found[...], array[...] if array.shape else array[()])
    assert manifest.objects[-1].codecs_need_refmaker
    same(manifest, tmp_path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("value", [0, np.nan])
def test_special_values(tmp_path: Path, value: float, zarr_format: Any) -> None:
    make = blosc2.zeros if value == 0 else blosc2.nans
    array = make((10, 7), dtype="f4", chunks=(4, 5), blocks=(3, 2), urlpath=str(tmp_path / "a.b2nd"), mode="w")
    array[0, 0] = 1
    manifest = refmaker.scan(tmp_path / "a.b2nd", zarr_format=zarr_format)
    held = manifest.arrays["0"].references
    assert len(held.cell) == 1
    assert len(held.inline) == (0 if zarr_format == 3 and value == 0 else 5)
    np.testing.assert_array_equal(shown(manifest)[...], array[:])
    same(manifest, tmp_path)


def test_many_zeros_become_a_note(tmp_path: Path) -> None:
    blosc2.zeros((1000,), dtype="i4", chunks=(10,), blocks=(5,), urlpath=str(tmp_path / "a.b2nd"), mode="w")
    manifest = refmaker.scan(tmp_path / "a.b2nd", inline_limit=1000)
    assert len(manifest.arrays["0"].references) == 0
    assert manifest.arrays["0"].metadata.fill_value == 0
    assert "xarray masks 0" in manifest.objects[-1].notes[0]


def test_attributes_are_said_to_be_left_out(tmp_path: Path) -> None:
    array = write_b2nd(tmp_path / "a.b2nd", "plain")
    assert refmaker.scan(tmp_path / "a.b2nd").objects[-1].notes == []
    array.schunk.vlmeta["title"] = "x"
    assert "vlmeta" in refmaker.scan(tmp_path / "a.b2nd").objects[-1].notes[0]


def test_frames(tmp_path: Path) -> None:
    """A frame without the metalayer is the list of its elements; the last chunk is shorter."""
    data = np.arange(1000, dtype="i4")
    frame = blosc2.SChunk(
        chunksize=1200, data=data, urlpath=str(tmp_path / "a.b2frame"), mode="w", contiguous=True,
        cparams={"typesize": 1},
    )  # fmt: skip
    manifest = refmaker.scan(tmp_path / "a.b2frame")
    assert shown(manifest)[:].tobytes() == data.tobytes() == frame[:]
    same(manifest, tmp_path)


def test_refused_by_name(tmp_path: Path) -> None:
    write_b2nd(tmp_path / "a.b2nd", "plain")
    assert "own codec" in refmaker.scan(tmp_path / "a.b2nd", portable=True).refusals["/0"]
    data = (tmp_path / "a.b2nd").read_bytes()
    (tmp_path / "b.b2nd").write_bytes(data.replace(b"<i4", b"|O4"))
    assert "the dtype" in refmaker.scan(tmp_path / "b.b2nd").refusals["/0"]
    (tmp_path / "b.b2nd").write_bytes(data[:100])
    with pytest.raises(FormatError):
        refmaker.scan(tmp_path / "b.b2nd")


def test_damaged_files(tmp_path: Path) -> None:
    write_b2nd(tmp_path / "a.b2nd", "cube")
    sound, rng, outcomes = (tmp_path / "a.b2nd").read_bytes(), random.Random("b2nd"), {"answer": 0, "error": 0}
    for _ in range(300):
        changed = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.choice((rng.randrange(10, 200), rng.randrange(10, len(changed))))
            changed[at] = rng.choice((0, 0xFF, changed[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        (tmp_path / "b.b2nd").write_bytes(changed)
        try:
            manifest = refmaker.scan(tmp_path / "b.b2nd")
        except RefmakerError:
            outcomes["error"] += 1
            continue
        outcomes["answer"] += 1
        for array in manifest.arrays.values():
            assert (array.references.offset + array.references.size <= len(changed)).all()
    assert min(outcomes.values()) > 0
