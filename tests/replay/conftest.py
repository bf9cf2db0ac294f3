"""Fixtures of the replay tests, and the protocol where the package is not installed."""

from __future__ import annotations

import fsspec

from tests.servers import range_server, s3_server

__all__ = ["range_server", "s3_server"]

fsspec.register_implementation("refmaker", "refmaker.replay.filesystem.FileSystem", clobber=True)
