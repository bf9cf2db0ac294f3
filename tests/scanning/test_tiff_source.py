"""TIFF in the table of formats: walked here, of some vendors handed over."""

from __future__ import annotations

import pytest

pytest.importorskip("tifffile")
pytest.importorskip("kerchunk")
pytest.importorskip("imagecodecs")

import tifffile

from refmaker.scanning.scan import scan
from refmaker.scanning.tiff_source import Tiff
from tests.formats.reading import counting
from tests.windows import MemoryWindow


def test_told_by_content():
    head = b"II*\0\x08\0\0\0\0\0"
    assert Tiff().detect(head, MemoryWindow(head))
    assert not Tiff().detect(b"GRIB000000", MemoryWindow(b"GRIB000000"))


@pytest.mark.parametrize(("text", "by"), [("of mine", ""), ("Aperio Image", " with kerchunk")])
def test_who_scans(tmp_path, text, by):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counting("u1", 64, 64), tile=(32, 32), description=text, metadata=None)
    (line,) = scan(str(path)).history
    assert line == f"scanned {path}{by}"
