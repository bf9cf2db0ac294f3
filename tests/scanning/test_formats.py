"""The table of formats: what is told by content, and a format that is added from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.errors import FormatError
from refmaker.manifest.manifest import Manifest, ObjectReport, Target
from refmaker.model import Tree
from refmaker.scanning import formats
from refmaker.scanning.formats import FORMATS, Format, ScanJob, format_named, format_of, register
from refmaker.scanning.recognise import has_known_suffix, head_is_recognised, is_recognised
from refmaker.scanning.scan import scan, scan_file
from refmaker.sources.open import open_source
from refmaker.window import Window


class Noted:
    """A format of one line: `NOTED` and the title of the group it stands for."""

    name = "noted"
    title = "Noted text"
    suffixes = (".noted",)

    def is_installed(self) -> bool:
        return True

    def detect(self, head: bytes, window: Window) -> bool:
        return head.startswith(b"NOTED ")

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        lines: list[bytes] = []

        def step() -> list[Any]:
            buf, pos = job.window.at(6, job.window.size - 6)
            lines.append(bytes(buf[pos : pos + job.window.size - 6]))
            return []

        job.driver.run([step])
        seen = job.space.version
        tree = Tree(job.url, job.window.size, self.name)
        job.measure(tree)
        manifest = Manifest(
            zarr_format=2,
            groups={"": {"title": lines[-1].decode()}},
            arrays={},
            targets=(Target(job.space.url, seen.size, seen.etag, seen.modified),),
            objects=[ObjectReport("/", "group", "mapped")],
        )
        return manifest, tree


@pytest.fixture
def noted() -> Iterator[Format]:
    new = Noted()
    register(new)
    yield new
    FORMATS.remove(new)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.text"
    path.write_bytes(b"NOTED of the sea")
    return path


def test_a_format_from_outside(noted: Format, file: Path) -> None:
    assert format_named("noted") is noted
    result = scan_file(file, measure=True)
    assert result.manifest.groups == {"": {"title": "of the sea"}}
    assert result.tree.kind == "noted"
    assert (result.tree.metadata_size, result.tree.metadata_blocks) == (16, 1)
    assert is_recognised(str(file))
    assert head_is_recognised(file.read_bytes())
    assert has_known_suffix("b.NOTED")
    with pytest.raises(
        FormatError, match="neither HDF5 nor netCDF classic, Zarr, b2nd, TIFF, FITS, GRIB or Noted text: "
    ):
        scan(_written(file.with_name("b"), b"something else, at some length"))


def test_without_it(file: Path) -> None:
    assert not is_recognised(str(file))
    assert not head_is_recognised(file.read_bytes())
    assert not has_known_suffix("b.noted")
    with pytest.raises(FormatError, match="neither HDF5 nor netCDF classic, Zarr, b2nd, TIFF, FITS or GRIB: "):
        scan(file)


def test_names_are_taken_once(noted: Format) -> None:
    with pytest.raises(ValueError, match="'noted'"):
        register(Noted())
    names = [known.name for known in formats.FORMATS]
    assert len(set(names)) == len(names)


def _written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def _hdf5(path: Path, block: bytes) -> bytes:
    with h5py.File(path, "w", userblock_size=512) as made:
        made["x"] = np.arange(4)
    return block.ljust(512, b"\0") + path.read_bytes()[512:]


@pytest.mark.parametrize(
    ("block", "name"),
    [(b"", "hdf5"), (b"II*\0", "hdf5"), (b"GRIB", "hdf5"), (b"SIMPLE  =", "hdf5"), (b"CDF\x01", "netcdf3")],
)
def test_what_stands_before_hdf5(block: bytes, name: str, tmp_path: Path) -> None:
    """A user block may be of any format; the magic of netCDF classic is looked at first, as netCDF-C does."""
    path = _written(tmp_path / "a.data", _hdf5(tmp_path / "made.h5", block))
    found = format_of(open_source(path).window)
    assert found is not None
    assert found.name == name
    assert is_recognised(path)


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"CDF\x05", "netcdf3"), (b"MM\0*", "tiff"), (b"SIMPLE  =", "fits"), (b"GRIB", "grib"), (b"%PDF-1.7", None)],
)
def test_told_by_the_first_bytes(head: bytes, name: str | None, tmp_path: Path) -> None:
    found = format_of(open_source(_written(tmp_path / "a", head + bytes(600))).window)
    assert (found and found.name) == name
