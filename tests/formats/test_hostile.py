"""Damaged TIFF, FITS and GRIB files: an answer or a RefmakerError, whatever the libraries do to their process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("astropy")
pytest.importorskip("cfgrib")
pytest.importorskip("eccodes")
pytest.importorskip("imagecodecs")
pytest.importorskip("kerchunk")
pytest.importorskip("tifffile")

from refmaker.errors import RefmakerError
from refmaker.scanning.scan import scan
from tests.formats.test_kerchunk_scan import KINDS

COUNT = 40


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a copy that is still told to be of its format."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(10, min(len(changed), 3000))
        action = rng.randrange(4)
        if action == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif action == 2:
            changed[at : at + 4] = rng.randbytes(len(changed[at : at + 4]))
        elif rng.random() < 0.3:
            del changed[at:]
            break
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    make: Callable[[Path], object] = KINDS[kind]
    path, rng, outcomes = tmp_path / f"a.{kind}", random.Random(kind), {"answer": 0, "refused": 0}
    make(path)
    sound = path.read_bytes()
    scan(str(path))
    for number in range(COUNT):
        path.write_bytes(damaged(sound, rng))
        begin = time.monotonic()
        try:
            manifest = scan(str(path))
        except RefmakerError:
            outcomes["refused"] += 1
        else:
            outcomes["answer"] += 1
            size = path.stat().st_size
            for array in manifest.arrays.values():
                ends = array.references.offset + array.references.size
                assert (ends <= size).all(), number
        assert time.monotonic() - begin < 60, number
    assert outcomes["answer"] > 0
    assert outcomes["refused"] > 0
