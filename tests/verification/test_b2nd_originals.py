"""Files of b2nd that python-blosc2 reads as the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("blosc2")

from refmaker.verification.b2nd_originals import is_b2nd, open_b2nd
from refmaker.verification.values import MissingCounterpart
from tests.formats.b2nd_files import KINDS, write_b2nd


def test_open(tmp_path: Path) -> None:
    write_b2nd(tmp_path / "a.b2nd", "plain")
    assert is_b2nd((tmp_path / "a.b2nd").read_bytes()[:10])
    assert not is_b2nd(b"CDF\1")
    file = open_b2nd(str(tmp_path / "a.b2nd"))
    found = file.find("/0", np.dtype("<i4"))
    np.testing.assert_array_equal(found.read((slice(0, 10), slice(0, 7))), KINDS["plain"][0])
    with pytest.raises(MissingCounterpart):
        file.find("/1", np.dtype("<i4"))
