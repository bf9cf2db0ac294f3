"""Fixtures of the replay tests, and the protocol where the package is not installed."""

from __future__ import annotations

import fsspec
import pytest

from refmaker.replay import range_reader
from tests.servers import range_server, s3_server

__all__ = ["range_server", "s3_server"]

fsspec.register_implementation("refmaker", "refmaker.replay.filesystem.FileSystem", clobber=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: nobody gains by waiting for a server in this process."""
    monkeypatch.setattr(range_reader, "PAUSE", 0.0)
