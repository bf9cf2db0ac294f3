"""A scan of a large local file does not make it resident, and reads what is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from refmaker.errors import TargetChanged, TruncatedError
from refmaker.sources import local
from refmaker.sources.local import LocalSource

SIZE, STEP = 1 << 26, 1 << 14


def resident(path: Path) -> int:
    """Return the resident bytes of the maps of a file."""
    found = re.findall(
        rf"{re.escape(str(path))}\n.*?^Rss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.M | re.S
    )
    return 1024 * sum(map(int, found))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for start in range(0, SIZE, STEP):
            file.write(start.to_bytes(8, "little") + bytes(STEP - 8))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="tells what is resident in /proc")
@pytest.mark.parametrize("many", [local._MANY, 1 << 40])
def test_what_is_resident(large: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(local, "_MANY", many)
    window = LocalSource.open(str(large)).window
    addresses = np.arange(0, SIZE, STEP, dtype="u8")
    for some in np.split(addresses, 64):
        np.testing.assert_array_equal(window.rows(some, 8).view("<u8")[:, 0], some)
    assert (resident(large) < SIZE // 8) is (many < 1 << 40)


@pytest.mark.parametrize("size", [1, 8, STEP, STEP + 5])
def test_rows_that_follow_one_another_overlap_or_repeat(large: Path, size: int) -> None:
    window, whole = LocalSource.open(str(large)).window, np.fromfile(large, "u1")
    rng = np.random.default_rng(1)
    places = [np.arange(40) * size, rng.integers(0, SIZE - size, 50), np.full(30, 77), np.arange(40)[::-1] * STEP]
    for addresses in places:
        expected = np.stack([whole[a : a + size] for a in addresses])
        np.testing.assert_array_equal(window.rows(addresses.astype("u8"), size), expected)
    with pytest.raises(TruncatedError):
        window.rows(np.full(40, SIZE - size + 1, "u8"), size)


def test_a_file_that_became_shorter(large: Path) -> None:
    window = LocalSource.open(str(large)).window
    with large.open("r+b") as file:
        file.truncate(SIZE // 2)
    with pytest.raises(TargetChanged, match="shorter"):
        window.rows(np.arange(0, SIZE, STEP, dtype="u8"), 8)


def test_descriptors_are_closed(large: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        LocalSource.open(str(large))
    assert len(list(Path("/dev/fd").iterdir())) <= before + 2
