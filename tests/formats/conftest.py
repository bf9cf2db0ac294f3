"""Readers find codecs of imagecodecs by entry points, which a source tree that is not installed does not have."""

from __future__ import annotations

from contextlib import suppress

import pytest

with suppress(ImportError):
    from imagecodecs.numcodecs import register_codecs

    register_codecs(verbose=False)


@pytest.fixture
def here(monkeypatch):
    """Scan in this process, where what a test puts in the place of functions is."""
    from refmaker.formats import kerchunk_scan
    from refmaker.formats.scanners import scan_here

    def scanned(kind, url, storage_options, size, *, local):
        return scan_here(kind, url, storage_options, size)

    monkeypatch.setattr(kerchunk_scan, "scan_apart", scanned)
