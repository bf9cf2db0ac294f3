"""Files of b2nd in the table of formats."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("blosc2")

from refmaker.scanning.b2nd_source import B2nd
from refmaker.scanning.formats import FORMATS
from refmaker.scanning.recognise import is_recognised
from refmaker.scanning.scan import scan_file
from tests.formats.b2nd_files import write_b2nd


def test_told_by_content(tmp_path: Path) -> None:
    assert any(isinstance(one, B2nd) for one in FORMATS)
    write_b2nd(tmp_path / "a.bin", "plain")
    assert is_recognised(str(tmp_path / "a.bin"))
    found = scan_file(tmp_path / "a.bin")
    assert (found.tree.kind, list(found.manifest.arrays)) == ("b2nd", ["0"])
    assert scan_file(tmp_path / "a.bin", exclude=["/0"]).manifest.arrays == {}
