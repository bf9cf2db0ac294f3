"""Folders of webKnossos that wkw reads as the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("wkw")

from refmaker.verification.values import MissingCounterpart
from refmaker.verification.wkw_originals import open_wkw
from tests.zarr_stores.test_wkw import write


def test_open(tmp_path: Path) -> None:
    whole = write(tmp_path / "a" / "color" / "1", "lz4", "u2", 3)
    file = open_wkw(str(tmp_path / "a" / "color" / "1" / "header.wkw"))
    found = file.find("/color/1/data", np.dtype("u2"))
    assert found.shape == whole.shape
    part = (slice(1, 3), slice(2, 9), slice(0, 16), slice(1, 8))
    np.testing.assert_array_equal(found.read(part), whole[part])
    with pytest.raises(MissingCounterpart):
        file.find("/nothing/data", np.dtype("u2"))
    file.close()
