"""One gate for all requests to a server or bucket, in each event loop: what a scan and a replay ask it for together.

Contract: see `refmaker.retry.Gate`.
"""

from __future__ import annotations

import asyncio
import weakref

from refmaker.descriptors import most_open
from refmaker.retry import Gate

__all__ = ["gate_of"]

_ORIGINS = 1000
"""Servers whose gates are kept."""

_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Gate]] = weakref.WeakKeyDictionary()


def gate_of(url: str, most: int) -> Gate:
    """Return the gate of the server or bucket of a url, which all of its files share in the running event loop.

    Parameters
    ----------
    most
        Requests that are in flight at a time, where there are descriptors for them.
    """
    gates = _gates.setdefault(asyncio.get_running_loop(), {})
    origin = "/".join(url.partition("::")[2 if "::" in url else 0].split("/", 3)[:3])
    found = gates.get(origin)
    if found is None:
        while len(gates) >= _ORIGINS:
            del gates[next(iter(gates))]
        found = gates[origin] = Gate(most_open(most, share=3))
    return found
