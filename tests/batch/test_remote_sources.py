"""Sources behind a network: the files of one process share their rounds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from refmaker.engines.engine import TOGETHER
from refmaker.engines.local import LocalEngine
from tests.servers import RangeServer, range_server

from .archives import ledger_rows, outputs, run, write_file

__all__ = ["range_server"]

COUNT = 40


@pytest.fixture
def urls(range_server: RangeServer, tmp_path: Path) -> list[str]:
    data = [write_file(tmp_path / "in" / f"{i}.nc", i).read_bytes() for i in range(COUNT)]
    return [range_server.add(f"x/{i}.nc", content) for i, content in enumerate(data)]


def test_rounds_of_many_files_together(range_server: RangeServer, urls: list[str], tmp_path: Path) -> None:
    range_server.latency = 0.05
    with closing(LocalEngine(1)) as engine:
        result = run(urls, tmp_path / "out", engine=engine)
    assert result.counts == {"done": COUNT}
    assert range_server.peak > 4
    assert len(outputs(tmp_path / "out")) == COUNT
    scans = [request for request in range_server.gets() if request.first is not None]
    assert len(scans) == COUNT, "one request each"
    row = ledger_rows(tmp_path / "out")[urls[3]]
    assert row.seen.etag == range_server.files["x/3.nc"].etag


def test_at_most_so_many_at_a_time(range_server: RangeServer, urls: list[str], tmp_path: Path) -> None:
    began: list[str] = []
    peak = []

    def before(number: int, path: str) -> None:
        began.append(path)
        peak.append(range_server.current)

    listing = run(urls, tmp_path / "first").rows
    assert len(listing) == COUNT
    range_server.forget()
    range_server.before, range_server.latency = before, 0.02
    with closing(LocalEngine(1)) as engine:
        run(urls, tmp_path / "out", engine=engine)
    gets = [request for request in range_server.gets() if request.first is not None]
    assert len(gets) == COUNT
    assert max(peak) <= 2 * TOGETHER


def test_again_asks_for_versions_only(range_server: RangeServer, urls: list[str], tmp_path: Path) -> None:
    run(urls, tmp_path / "out")
    range_server.forget()
    again = run(urls, tmp_path / "out")
    assert again.rows == []
    assert range_server.gets() == []
    range_server.add("x/5.nc", write_file(tmp_path / "other.nc", 99).read_bytes())
    assert [row.seen.url for row in run(urls, tmp_path / "out").rows] == [urls[5]]


def test_servers_that_do_not_tell_versions(range_server: RangeServer, urls: list[str], tmp_path: Path) -> None:
    """Size alone is no proof that a file is the same."""
    range_server.validators = False
    run(urls[:2], tmp_path / "out")
    assert set(run(urls[:2], tmp_path / "out").why.values()) == {"changed"}


def test_failures_of_the_network_are_rows(range_server: RangeServer, urls: list[str], tmp_path: Path) -> None:
    range_server.faults["x/1.nc"] = "403"
    with closing(LocalEngine(1)) as engine:
        result = run(urls[:4], tmp_path / "out", engine=engine)
    assert result.counts == {"done": 3, "failed": 1}
    row = ledger_rows(tmp_path / "out")[urls[1]]
    assert (row.status, row.error_kind) == ("failed", "SourceError")
    range_server.faults.clear()
    assert [row.status for row in run(urls[:4], tmp_path / "out").rows] == ["done"]
