"""Fixtures of the tests of sources."""

from __future__ import annotations

from tests.servers import range_server, s3_server

__all__ = ["range_server", "s3_server"]
