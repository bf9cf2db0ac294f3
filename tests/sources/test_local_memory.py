"""A scan of a large local file lets go of the pages it has touched."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from refmaker.sources import local
from refmaker.sources.local import LocalSource

SIZE, STEP = 1 << 26, 1 << 14


def resident(path: Path) -> int:
    """Give the resident bytes of the maps of a file."""
    found = re.findall(
        rf"{re.escape(str(path))}\n.*?^Rss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.M | re.S
    )
    return 1024 * sum(map(int, found))


@pytest.mark.skipif(sys.platform != "linux", reason="tells what is resident in /proc")
@pytest.mark.parametrize("limit", [1 << 22, None])
def test_resident_pages_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(local, "_RESIDENT", SIZE * 100 if limit is None else limit)
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for start in range(0, SIZE, STEP):
            file.write(start.to_bytes(8, "little") + bytes(STEP - 8))
    window = LocalSource.open(str(path)).window
    addresses = np.arange(0, SIZE, STEP, dtype="u8")
    most = 0
    for some in np.split(addresses, 64):
        rows = window.rows(some, 8)
        np.testing.assert_array_equal(rows.view("<u8")[:, 0], some)
        most = max(most, resident(path))
    assert most > 0
    assert (most < SIZE // 2) is (limit is not None)
    buf, pos = window.at(STEP, 8)
    assert int.from_bytes(buf[pos : pos + 8], "little") == STEP
