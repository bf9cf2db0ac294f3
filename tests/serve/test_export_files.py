from __future__ import annotations

from pathlib import Path

import pytest

from refmaker.errors import OutputError
from refmaker.serve.export_files import StoreFiles, files_at


@pytest.mark.parametrize("place", ["{}", "memory://export/tree"])
def test_written_read_and_listed(tmp_path: Path, place: str) -> None:
    files = files_at(place.format(tmp_path / "out"))
    assert files.sizes() == {}
    assert files.read("t/0.0") is None
    files.write("t/0.0", b"abc")
    files.write(".zgroup", b"{}")
    assert files.sizes() == {"t/0.0": 3, ".zgroup": 2}
    assert files.read("t/0.0") == b"abc"


def test_nothing_outside(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="lead out"):
        files_at(str(tmp_path / "out")).write("../x", b"")


def test_a_store_that_fails() -> None:
    files = StoreFiles("http://127.0.0.1:9/x", {})
    with pytest.raises(OutputError):
        files.write("a", b"")
