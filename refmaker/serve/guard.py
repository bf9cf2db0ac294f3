"""Who may ask: tokens, and the names under which the server may be addressed.

Contract: a token is asked for with every request but `/healthz`, as `Authorization: Bearer TOKEN`, or as the password
of basic authentication, which browsers can send; never in a url, which gets into logs. Hosts are checked where a server
listens on this machine only: a page of another site could otherwise reach it under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from refmaker.serve.status import Failure

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine, as they stand in the header Host."""

_TOKEN = Failure(401, "token", "this server asks for a token: send it as `Authorization: Bearer TOKEN`")
_HOST = Failure(421, "host", "the server is not known by this name; `--allow-host` names others")


@dataclass(frozen=True, slots=True)
class Guard:
    """What requests must have.

    Attributes
    ----------
    token
        None: no token is asked for.
    hosts
        Names that the header Host may have, without ports; None: any.
    """

    token: str | None = field(default=None, repr=False)
    hosts: Collection[str] | None = None

    def refusal(self, path: str, headers: Mapping[bytes, bytes]) -> Failure | None:
        """Return why a request is not answered; None where it is."""
        if self.hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").lower()
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name not in self.hosts:
                return _HOST
        if self.token is None or path == "/healthz" or self._has_token(headers.get(b"authorization", b"")):
            return None
        return _TOKEN

    def _has_token(self, header: bytes) -> bool:
        scheme, _, value = header.strip().partition(b" ")
        given = value.strip()
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        elif scheme.lower() != b"bearer":
            return False
        return self.token is not None and hmac.compare_digest(given, self.token.encode())
