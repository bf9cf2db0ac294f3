"""Zarr stores in the table of formats, and by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from refmaker.scanning.formats import FOLDERS, FORMATS
from refmaker.scanning.recognise import is_recognised
from refmaker.scanning.scan import scan_file
from refmaker.scanning.zarr_sources import ZarrFolder, ZarrZip
from tests.cli.conftest import Run, run
from tests.zarr_stores.making import write_store

__all__ = ["run"]

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_table_has_both() -> None:
    assert any(isinstance(one, ZarrZip) for one in FORMATS)
    assert any(isinstance(one, ZarrFolder) for one in FOLDERS)


def test_kinds(tmp_path: Path) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    store = zarr.storage.ZipStore(tmp_path / "a.bin", mode="w")
    write_store(store, 2)
    store.close()
    for name in ("a.zarr", "a.bin"):
        assert scan_file(tmp_path / name).tree.kind == "zarr"
    assert is_recognised(str(tmp_path / "a.bin"))


def test_command_line(tmp_path: Path, run: Run) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    done = run("scan", str(tmp_path / "a.zarr"), "-o", str(tmp_path / "a.json"))
    assert (done.exit_code, "7 arrays" in done.stderr) == (0, True)
    assert run("verify", str(tmp_path / "a.json"), "--full").exit_code == 0
