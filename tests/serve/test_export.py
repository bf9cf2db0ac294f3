from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import refmaker
from refmaker.errors import OutputError, RefmakerError
from refmaker.path_filter import PathFilter
from refmaker.serve import export
from refmaker.serve.export import STATE, ExportOptions, export_tree
from refmaker.serve.export_files import LocalFiles
from refmaker.serve.tree import TreeKind


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("zarr_format", [2, 3, None])
@pytest.mark.parametrize("view", ["as-stored", "decoded"])
def test_a_store_of_its_own(air: Path, tmp_path: Path, zarr_format: Any, view: Any) -> None:
    out = tmp_path / "out"
    report = export_tree(str(air), LocalFiles(str(out)), ExportOptions(TreeKind(zarr_format, view)), verify=True)
    assert report.verified == report.chunks > 0
    found = zarr.open_consolidated(str(out))
    with h5py.File(air.parent / "air.h5") as file:
        os.rename(air.parent / "air.h5", air.parent / "gone.h5")  # nothing of it is needed
        for name in ("t", "sparse", "group/plain", "group/one"):
            if name in report.refusals or f"/{name}" in report.refusals:
                continue
            np.testing.assert_array_equal(found[name][...], file[name][...])


def test_it_goes_on_where_it_stopped(air: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(export, "BATCH", 100)
    write = LocalFiles.write
    count = 0

    def cut(self: LocalFiles, name: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise ZeroDivisionError
        write(self, name, data)

    monkeypatch.setattr(LocalFiles, "write", cut)
    with pytest.raises(ZeroDivisionError):
        export_tree(str(air), LocalFiles(str(out)), ExportOptions())
    assert not [name for name in LocalFiles(str(out)).sizes() if ".z" in name], "what is not whole opens nowhere"
    monkeypatch.setattr(LocalFiles, "write", write)
    report = export_tree(str(air), LocalFiles(str(out)), ExportOptions(), verify=True)
    assert report.kept == 2
    again = export_tree(str(air), LocalFiles(str(out)), ExportOptions())
    assert (again.chunks, again.kept) == (0, report.chunks + 2)


def test_another_export_is_not_gone_on_with(air: Path, tmp_path: Path) -> None:
    out = LocalFiles(str(tmp_path / "out"))
    export_tree(str(air), out, ExportOptions())
    with pytest.raises(OutputError, match="another export"):
        export_tree(str(air), out, ExportOptions(paths=PathFilter("", ("t",), ())))
    manifest = refmaker.open_manifest(air)
    os.unlink(air)
    refmaker.write_manifest(manifest, air)
    with pytest.raises(OutputError, match="another export"):
        export_tree(str(air), out, ExportOptions())
    with pytest.raises(OutputError, match="other files"):
        export_tree(str(air), LocalFiles(str(tmp_path)), ExportOptions())


def test_what_cannot_be_read_ends_it_without_metadata(air: Path, tmp_path: Path) -> None:
    os.truncate(air.parent / "air.h5", 5000)
    out = LocalFiles(str(tmp_path / "out"))
    with pytest.raises(RefmakerError):
        export_tree(str(air), out, ExportOptions())
    assert not [name for name in out.sizes() if ".z" in name]


def test_a_damaged_file_is_found(air: Path, tmp_path: Path) -> None:
    out = LocalFiles(str(tmp_path / "out"))
    export_tree(str(air), out, ExportOptions())
    data = out.read("t/0.0") or b""
    out.write("t/0.0", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(OutputError, match="not what the sources hold"):
        export_tree(str(air), out, ExportOptions(), verify=True)
    assert b"false" in (out.read(STATE) or b"")


def test_batches_are_bounded(air: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 90_000)
    opened = export._tree(str(air), ExportOptions())
    from fsspec.asyn import get_loop, sync

    batches = list(export._batches(sync(get_loop(), opened.opened)))
    sizes = [sum(size or 0 for size in held) for _, held in batches]
    assert len(batches) > 2
    assert all(total <= 90_000 or len(held) == 1 for total, (held, _) in zip(sizes, batches, strict=True))
