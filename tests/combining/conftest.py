"""Servers for the tests of combining."""

from tests.servers import range_server

__all__ = ["range_server"]
