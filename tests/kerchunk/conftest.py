from __future__ import annotations

from tests.servers import range_server

__all__ = ["range_server"]
