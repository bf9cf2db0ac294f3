"""Inputs and targets behind a server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import xarray as xr

import refmaker
from refmaker.combining import loading
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


def test_manifests_are_one_request_each_and_fetched_together(server: RangeServer, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.nc", 4 * number) for number in range(8)]
    urls = [
        server.add(
            f"bucket/{path.name}.json", b"".join(iter_json(refmaker.scan(server.add(path.name, path.read_bytes()))))
        )
        for path in paths
    ]
    server.served.clear()
    server.peak = 0
    server.before = lambda number, path: time.sleep(0.05)
    manifest = refmaker.combine(urls)
    server.before = None
    asked = [request.path for request in server.served if request.path.endswith(".json")]
    assert sorted(one.rpartition("/")[2] for one in asked) == sorted(f"{path.name}.json" for path in paths)
    assert server.peak > 1
    xr.testing.assert_identical(shown(manifest), joined(*paths))


def test_a_manifest_that_is_longer_than_its_first_request(
    server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_WHOLE", 100)
    urls, paths = served(server, tmp_path, 2)
    held = [server.add(f"bucket/m{i}.json", b"".join(iter_json(refmaker.scan(url)))) for i, url in enumerate(urls)]
    xr.testing.assert_identical(shown(refmaker.combine(held)), joined(*paths))


def test_which_of_many_inputs_cannot_be_read(server: RangeServer, tmp_path: Path) -> None:
    urls, _ = served(server, tmp_path, 2)
    held = [server.add(f"bucket/m{i}.json", b"".join(iter_json(refmaker.scan(url)))) for i, url in enumerate(urls)]
    gone = f"{held[0]}.gone.json"
    with pytest.raises(SourceError) as error:
        refmaker.combine([*held, gone])
    assert error.value.source == gone
