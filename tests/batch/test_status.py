"""How an archive stands: what the ledger records, and nothing else."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from refmaker.batch.status import status
from refmaker.errors import BatchError
from tests.batch.archives import run, write_archive


def test_what_failed_and_what_is_refused(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive")
    run(archive, tmp_path / "out")
    shutil.rmtree(archive)  # nothing is asked of the files
    found = status(tmp_path / "out")
    assert (found.sources, found.complete, found.outcome) == (4, 2, "complete")
    assert found.chunks == 3 * (12 // 4 + 1)
    (failed,) = found.failed
    (refused,) = found.refused
    assert failed.url == f"{archive}/damaged.nc"
    assert list(failed.reasons) == ["TruncatedError"]
    assert (refused.url, list(refused.reasons), refused.number) == (f"{archive}/deep/refused.h5", ["/regions"], 1)
    assert found.last_run is not None
    assert datetime.fromisoformat(refused.since) <= datetime.fromisoformat(found.last_run)
    assert found.reasons() == [("failed: TruncatedError", 1), (f"refused: {refused.reasons['/regions']}", 1)]
    assert found.to_dict()["refused"][0]["url"] == refused.url


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="no ledger"):
        status(tmp_path)
