"""Formats are told by content, and what is not installed is named."""

from __future__ import annotations

import pytest

from refmaker.errors import FormatError, Unsupported
from refmaker.formats import detect
from refmaker.formats.detect import HEAD_SIZE, format_of, require
from refmaker.scanning.scan import scan


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"II*\0\x08\0\0\0", "tiff"),
        (b"MM\0*\0\0\0\x08", "tiff"),
        (b"II+\0\x08\0\0\0\x10\0", "tiff"),
        (b"MM\0+\0\x08\0\0\0\0", "tiff"),
        (b"SIMPLE  =                    T", "fits"),
        (b"GRIB\0\0\0\x02", "grib"),
        (b"", None),
        (b"II", None),
        (b"SIMPLE = T", None),
        (b"CDF\x01", None),
        (b"\x89HDF\r\n\x1a\n", None),
    ],
)
def test_told_by_the_first_bytes(head, kind):
    assert format_of(head[:HEAD_SIZE]) == kind


def test_not_by_the_name(tmp_path):
    for name in ("a.tif", "a.fits", "a.grib2"):
        (tmp_path / name).write_bytes(b"something else, at some length")
        with pytest.raises(FormatError, match="neither HDF5 nor netCDF classic, Zarr, b2nd, TIFF, FITS or GRIB"):
            scan(str(tmp_path / name))


@pytest.mark.parametrize(("kind", "head"), [("tiff", b"II*\0"), ("fits", b"SIMPLE  ="), ("grib", b"GRIB")])
def test_missing_packages_are_named(tmp_path, monkeypatch, kind, head):
    path = tmp_path / "a.nc"
    path.write_bytes(head + bytes(100))
    gone = detect.PACKAGES[kind][1]
    monkeypatch.setattr(detect, "find_spec", lambda name: None if name == gone else object())
    with pytest.raises(Unsupported, match=rf"needs {gone} .*pip install .*\[formats\]'"):
        scan(str(path))


def test_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(detect, "find_spec", lambda name: object())
    for kind in detect.PACKAGES:
        require(kind)
