"""One gate for all requests to a server or bucket, in each event loop: what a scan and a replay ask it for together.

Contract: see `refmaker.retry.Gate`. The gates of all servers lie within one for the event loop, so that an archive on
many hosts does not take more descriptors than one on a single host.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Final

from refmaker.descriptors import most_open
from refmaker.retry import Gate

__all__ = ["gate_of", "most_in_flight"]

_ORIGINS: Final = 1000
"""Servers whose gates are kept."""

_ALL: Final = 256
"""Requests in flight to all servers together."""

_SHARE: Final = 4
"""A request in flight is a connection, and clients may keep as many beside them that are idle or being made: two of
so many parts of what the process may open. The rest is for files, other processes and modules."""

_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Gate]] = weakref.WeakKeyDictionary()
_EVERYWHERE: Final = ""


def most_in_flight(most: int) -> int:
    """Return how many requests may be in flight where `most` are worth it: there have to be descriptors for them."""
    return most_open(most, share=_SHARE)


def gate_of(url: str, most: int) -> Gate:
    """Return the gate of the server or bucket of a url, which all of its files share in the running event loop.

    Parameters
    ----------
    most
        Requests that are in flight at a time, where there are descriptors for them.
    """
    gates = _gates.setdefault(asyncio.get_running_loop(), {_EVERYWHERE: Gate(most_in_flight(_ALL))})
    origin = "/".join(url.partition("::")[2 if "::" in url else 0].split("/", 3)[:3])
    found = gates.get(origin)
    if found is None:
        while len(gates) > _ORIGINS:
            del gates[next(one for one in gates if one != _EVERYWHERE)]
        found = gates[origin] = Gate(most_in_flight(most), within=gates[_EVERYWHERE])
    return found
