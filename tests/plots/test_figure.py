"""Pictures are written whole, in the format that the name says, and say what they show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import refmaker
from refmaker.errors import OutputError
from tests.plots.test_layout import write

HEADS = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", sorted(HEADS))
def test_formats(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    scanned = refmaker.scan_file(str(write(tmp_path / "a.h5")), measure=True)
    out = tmp_path / f"a{suffix}"
    figure = scanned.manifest.plot(out, tree=scanned.tree)
    assert out.read_bytes().startswith(HEADS[suffix])
    texts = " ".join(
        text.get_text() for part in figure.subfigs for axes in part.axes for text in axes.get_yticklabels()
    )
    assert re.search(r"/t\n.*16 chunks", texts)
    assert "metadata" in texts
    assert "gaps" in texts


def test_nothing_in_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    refmaker.Manifest(2, {"": {}}, {}, []).plot(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_names_with_mathematics(tmp_path: Path) -> None:
    """A name is text, never a formula that matplotlib would fail on."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("matplotlib")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["$x^{"] = [1.0]
        file["a\nb"] = [1.0]
    refmaker.scan(str(tmp_path / "a.h5")).plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_unknown_format(tmp_path: Path) -> None:
    manifest = refmaker.scan(str(write(tmp_path / "a.h5")))
    with pytest.raises(OutputError, match="has to end in"):
        manifest.plot(tmp_path / "a.doc")
    assert not (tmp_path / "a.doc").exists()


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = refmaker.scan(str(write(tmp_path / "a.h5")))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OutputError, match=r"matplotlib: .*\[plot\]"):
        manifest.plot(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
