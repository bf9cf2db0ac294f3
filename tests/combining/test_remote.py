"""Inputs and targets behind a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

import refmaker
from refmaker.errors import RefmakerError, SourceError, TargetChanged
from refmaker.kerchunk.json_writer import iter_json
from tests.servers import RangeServer

from .making import joined, shown, write


@pytest.fixture
def server(range_server: RangeServer) -> RangeServer:
    return range_server


def served(server: RangeServer, folder: Path, count: int) -> tuple[list[str], list[Path]]:
    paths = [write(folder / f"{number}.nc", 4 * number) for number in range(count)]
    return [server.add(f"bucket/{path.name}", path.read_bytes()) for path in paths], paths


def test_files_and_manifests(server: RangeServer, tmp_path: Path) -> None:
    urls, paths = served(server, tmp_path, 3)
    text = b"".join(iter_json(refmaker.scan(urls[1]))).replace(urls[1].encode(), b"1.nc")
    manifest = refmaker.combine([urls[0], server.add("bucket/m.json", text), urls[2]])
    assert [target.url for target in manifest.targets] == urls
    xr.testing.assert_identical(shown(manifest), joined(*paths))


def test_changed(server: RangeServer, tmp_path: Path) -> None:
    urls, paths = served(server, tmp_path, 2)
    held = refmaker.scan(urls[0])
    server.add("bucket/0.nc", paths[0].read_bytes()[:-1] + b"x")
    with pytest.raises(TargetChanged):
        refmaker.combine([held, urls[1]])


@pytest.mark.parametrize("fault", ["404", "500", "short", "html", "ignore-range"])
def test_faults(fault: str, server: RangeServer, tmp_path: Path) -> None:
    """A coordinate that cannot be read is an error, not the fill value."""
    urls, _ = served(server, tmp_path, 2)
    held = [refmaker.scan(url) for url in urls]
    server.fault = fault
    with pytest.raises(SourceError) as error:
        refmaker.combine(held)
    assert error.value.path == "/time"


def test_a_manifest_does_not_lead_to_this_machine(server: RangeServer, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc")
    url = server.add("bucket/m.json", b"".join(iter_json(refmaker.scan(str(path)))))
    with pytest.raises(RefmakerError, match="a file of this machine"):
        refmaker.combine([url, write(tmp_path / "b.nc", 4)])
