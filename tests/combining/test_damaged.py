"""Checksums that are verified for many files together: what is damaged is refused as a scan refuses it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import FormatError


def files(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        paths.append(folder / f"{number}.h5")
        with h5py.File(paths[-1], "w", libver="latest") as file:
            file["t"] = np.arange(4.0) + 4 * number
            file["t"].make_scale("t")
            for name in ("good", "odd"):
                made = file.create_dataset(name, data=np.arange(4), chunks=(2,))
                made.dims[0].attach_scale(file["t"])
                made.attrs["marked" if name == "odd" else "left"] = 1
    return paths


def test_refused_by_name(tmp_path: Path) -> None:
    paths = files(tmp_path, 70)
    content = paths[66].read_bytes()
    assert content.count(b"marked") == 1
    paths[66].write_bytes(content.replace(b"marked", b"barked"))
    manifest = refmaker.combine(paths)
    assert set(manifest.arrays) == {"t", "good"}
    assert "checksum" in manifest.refusals["/odd"]
    assert manifest.refusals["/odd"].endswith("(in 1 of 70 inputs)")
    assert manifest.refusals["/odd"].startswith(refmaker.scan(str(paths[66])).refusals["/odd"])
    assert manifest.arrays["good"].metadata.document["shape"] == [280]


def test_root(tmp_path: Path) -> None:
    paths = files(tmp_path, 3)
    with h5py.File(paths[1], "a", libver="latest") as file:
        file.attrs["rooted"] = 1
    paths[1].write_bytes(paths[1].read_bytes().replace(b"rooted", b"footed"))
    with pytest.raises(FormatError, match="checksum") as error:
        refmaker.combine(paths)
    assert error.value.source == str(paths[1])


def test_many_blocks_are_verified_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(300):
            file.create_dataset(f"d{number}", data=np.arange(3)).attrs["marked"] = np.zeros(200)
    content = bytearray(path.read_bytes())
    at = content.index(b"marked")
    content[at] ^= 1
    path.write_bytes(content)
    assert len(refmaker.combine([path]).refusals) == 1
