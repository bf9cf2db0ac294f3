"""Fixed strings with bytes behind their NUL, read back by zarr as h5py reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array

DIRTY = np.array([b"swe\0et", b"sour", b"\0bitte", b"saltyy"], "S6")


def write(path: Path, padding: int, values: np.ndarray, *, deflate: bool, chunks: tuple[int, ...] | None) -> np.ndarray:
    """Write strings as they are; return what h5py reads."""
    with h5py.File(path, "w") as file:
        stored = h5py.h5t.C_S1.copy()
        stored.set_size(values.dtype.itemsize)
        stored.set_strpad(padding)
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if chunks is not None:
            create.set_chunk(chunks)
        if deflate:
            create.set_deflate(4)
        dataset = h5py.h5d.create(file.id, b"d", stored, h5py.h5s.create_simple(values.shape), create)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values, stored)
    with h5py.File(path) as file:
        return np.asarray(file["d"][...])


@pytest.mark.parametrize(("chunks", "deflate"), [(None, False), ((2,), False), ((2,), True)])
@pytest.mark.parametrize("padding", [h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD])
@pytest.mark.parametrize("limit", [1 << 20, 10])
def test_what_follows_the_nul(
    tmp_path: Path, padding: int, chunks: tuple[int, ...] | None, deflate: bool, limit: int
) -> None:
    path = tmp_path / "a.h5"
    expected = write(path, padding, DIRTY, deflate=deflate, chunks=chunks)
    assert (expected[0] == b"swe\0et") == (padding == h5py.h5t.STR_NULLPAD)
    manifest = scan(str(path), inline_limit=limit)
    assert manifest.refusals == {}
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], expected)


def test_clean_strings_stay_plain_references(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    expected = write(path, h5py.h5t.STR_NULLTERM, np.array([b"a", b"bcd"], "S6"), deflate=False, chunks=None)
    manifest = scan(str(path))
    assert len(manifest.arrays["d"].references.cell) == 1
    assert not any(line.codecs_need_refmaker for line in manifest.objects)
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], expected)


def test_only_the_chunks_that_need_it_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    values = np.array([b"a", b"bcd", b"swe\0et", b"x"], "S6")
    write(path, h5py.h5t.STR_NULLTERM, values, deflate=True, chunks=(2,))
    references = scan(str(path)).arrays["d"].references
    assert references.cell.tolist() == [0]
    assert list(references.inline) == [1]


def test_large_and_portable_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, h5py.h5t.STR_NULLTERM, DIRTY, deflate=False, chunks=None)
    refusals: dict[str, Any] = scan(str(path), portable=True, inline_limit=10).refusals
    assert "null-terminated" in refusals["/d"]
